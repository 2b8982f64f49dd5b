//! Fully connected layers, computed in double precision: a head is small, and its values are compared with others'.

use crate::error::{Error, ErrorKind, Result};

/// `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
    n_out: usize,
}

impl Dense {
    /// A layer of `n_out` outputs: `weight` is `[n_out][n_in]`, `bias` has `n_out` numbers or none.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, n_out: usize) -> Result<Self> {
        if n_out == 0 || weight.is_empty() || !weight.len().is_multiple_of(n_out) {
            let n = weight.len();
            return Err(Error::invalid(format!("{n} weights do not make a layer of {n_out} outputs")));
        }
        if !bias.is_empty() && bias.len() != n_out {
            let n = bias.len();
            return Err(Error::invalid(format!("{n} biases for {n_out} outputs")));
        }
        Ok(Self { weight, bias, n_out })
    }

    /// Inputs.
    pub fn n_in(&self) -> usize {
        self.weight.len() / self.n_out.max(1)
    }

    /// Outputs.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The weights, `[n_out][n_in]`.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// The biases; empty for none.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The weights and the biases, to change them in place.
    pub fn parameters_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.weight, &mut self.bias)
    }

    pub(super) fn check(&self, n_in: usize) -> Result<()> {
        if self.n_in() != n_in {
            let found = self.n_in();
            return Err(Error::invalid(format!("it takes {found} numbers and is given {n_in}")));
        }
        if self.weight.iter().chain(&self.bias).all(|x| x.is_finite()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NonFinite, "its weights hold NaN or infinity"))
    }

    pub(super) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut y: Vec<f64> = self.weight.chunks_exact(self.n_in().max(1)).map(|row| dot(row, x)).collect();
        y.iter_mut().zip(&self.bias).for_each(|(y, &b)| *y += f64::from(b));
        y
    }
}

/// The scalar product, in eight sums that the processor can add up side by side.
fn dot(row: &[f32], x: &[f64]) -> f64 {
    let (rows, row_tail) = row.as_chunks::<8>();
    let (xs, x_tail) = x.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (row, x) in rows.iter().zip(xs) {
        for ((sum, &w), &x) in sums.iter_mut().zip(row).zip(x) {
            *sum += f64::from(w) * x;
        }
    }
    let tail: f64 = row_tail.iter().zip(x_tail).map(|(&w, &x)| f64::from(w) * x).sum();
    sums.iter().sum::<f64>() + tail
}

/// What stands between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// Hendrycks and Gimpel's GELU in its tanh form (arXiv 1606.08415).
    Gelu,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// Nothing.
    None,
}

impl Activation {
    pub(super) fn of(self, x: f64) -> f64 {
        match self {
            // Not `max`, which takes NaN for 0.
            Self::Relu if x < 0.0 => 0.0,
            Self::Relu => x,
            Self::Tanh => x.tanh(),
            Self::Gelu => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::None => x,
        }
    }
}
