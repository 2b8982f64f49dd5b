//! A perceptron with one hidden layer of rectified units.

use super::linear::Examples;
use super::sums::{add_scaled, dot, over_rows, product_loss};
use crate::engine::Stream;
use crate::error::Result;
use crate::exec::Team;
use crate::observe::Interrupt;

/// Parts of a sum over one batch.
const PARTS: usize = 8;
/// Groups in a batch.
const BATCH: usize = 64;
/// Adam's constants as published (Kingma and Ba, ICLR 2015).
const RATE: f64 = 1e-3;
const DECAY: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
const EPOCHS: u64 = 60;
/// Epochs without a better validation loss after which it ends.
const PATIENCE: u64 = 4;

/// `n_hidden` rows of `width` weights, their biases, the output's weights, its bias: one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mlp {
    pub width: usize,
    pub n_hidden: usize,
    pub parameters: Vec<f64>,
}

/// The parameters' parts.
pub(super) struct Layers<'a> {
    pub weights: &'a [f64],
    pub biases: &'a [f64],
    pub out: &'a [f64],
    pub out_bias: f64,
}

impl Mlp {
    /// He's initialization (He et al., ICCV 2015), uniform.
    pub fn new(width: usize, n_hidden: usize, seed: u64) -> Self {
        let (n_weights, stream) = (width * n_hidden, Stream::new(seed));
        let mut parameters = vec![0.0; n_weights + 2 * n_hidden + 1];
        for (i, w) in parameters.iter_mut().enumerate() {
            let fan_in = match i {
                i if i < n_weights => width,
                i if (n_weights + n_hidden..n_weights + 2 * n_hidden).contains(&i) => n_hidden,
                _ => continue,
            };
            *w = (2.0 * stream.uniform(i as u64) - 1.0) * (6.0 / fan_in as f64).sqrt();
        }
        Self { width, n_hidden, parameters }
    }

    pub fn layers(&self) -> Layers<'_> {
        let (weights, rest) = self.parameters.split_at(self.width * self.n_hidden);
        let (biases, rest) = rest.split_at(self.n_hidden);
        let (out, rest) = rest.split_at(self.n_hidden);
        Layers { weights, biases, out, out_bias: rest.first().copied().unwrap_or(0.0) }
    }

    pub fn logit(&self, x: &[f32]) -> f64 {
        self.forward(x).0
    }

    /// Fits with Adam in batches, and keeps what was best on `valid`, whose mean loss it gives beside it.
    /// [`Cancelled`](crate::ErrorKind::Cancelled) when `interrupt` fired.
    pub fn fit(
        mut self,
        train: Examples<'_>,
        valid: Examples<'_>,
        l2: f64,
        seed: u64,
        team: &Team,
        interrupt: &Interrupt,
    ) -> Result<(Self, f64)> {
        let order = Stream::new(seed).child(1);
        let mut adam = Adam::new(self.parameters.len());
        let mut best = (self.clone(), mean_loss(valid, team, |x| self.logit(x)));
        let mut since = 0;
        for epoch in 0..EPOCHS {
            for batch in shuffled(train.groups.len(), order.child(epoch)).chunks(BATCH) {
                interrupt.check()?;
                let mut gradient = vec![0.0; self.parameters.len()];
                self.objective(train, batch, l2, team, &mut gradient);
                adam.step(&mut self.parameters, &gradient);
            }
            let loss = mean_loss(valid, team, |x| self.logit(x));
            since = if loss < best.1 { 0 } else { since + 1 };
            if loss < best.1 {
                best = (self.clone(), loss);
            }
            if since >= PATIENCE {
                break;
            }
        }
        Ok(best)
    }

    /// The penalised mean loss over the groups of `batch`, and its gradient; biases are left out of the penalty, and inputs beyond those that cost it.
    pub fn objective(
        &self,
        examples: Examples<'_>,
        batch: &[usize],
        l2: f64,
        team: &Team,
        gradient: &mut [f64],
    ) -> f64 {
        let n = self.parameters.len();
        let sums = over_rows(team, batch.len(), PARTS, n + 1, |places, sums| {
            let groups = batch.get(places).unwrap_or_default().iter().flat_map(|&i| examples.range(i..i + 1));
            for (rows, label, weight) in groups {
                let forward: Vec<_> = examples.x.range(rows.clone()).map(|x| self.forward(x)).collect();
                let logits: Vec<f64> = forward.iter().map(|(z, _)| *z).collect();
                let (loss, slopes) = product_loss(&logits, label);
                for ((x, (_, active)), slope) in examples.x.range(rows).zip(&forward).zip(slopes) {
                    self.add_gradient(x, active, weight * slope, sums);
                }
                if let Some(total) = sums.last_mut() {
                    *total += weight * loss;
                }
            }
        });
        let count = batch.len().max(1) as f64;
        gradient.iter_mut().zip(&sums).for_each(|(g, sum)| *g = sum / count);
        let mut value = sums.last().map_or(0.0, |loss| loss / count);
        let n_weights = self.width * self.n_hidden;
        for (i, (g, w)) in gradient.iter_mut().zip(&self.parameters).enumerate() {
            let is_weight =
                i < n_weights && i % self.width < examples.penalised || (n_weights + self.n_hidden..n - 1).contains(&i);
            if is_weight {
                *g += l2 * w;
                value += 0.5 * l2 * w * w;
            }
        }
        value
    }

    /// The logit of a row, and what the hidden units make of it.
    fn forward(&self, x: &[f32]) -> (f64, Vec<f64>) {
        let Layers { weights, biases, out, out_bias } = self.layers();
        let units = weights.chunks_exact(self.width.max(1)).zip(biases);
        let active: Vec<f64> = units.map(|(w, b)| (dot(x, w) + b).max(0.0)).collect();
        (out_bias + active.iter().zip(out).map(|(a, out)| a * out).sum::<f64>(), active)
    }

    /// Adds `slope` times the gradient of one row's logit to `sums`.
    fn add_gradient(&self, x: &[f32], active: &[f64], slope: f64, sums: &mut [f64]) {
        let Layers { weights, out, .. } = self.layers();
        let (of_weights, rest) = sums.split_at_mut(weights.len());
        let (of_biases, rest) = rest.split_at_mut(self.n_hidden);
        let (of_out, rest) = rest.split_at_mut(self.n_hidden);
        let units = of_weights.chunks_exact_mut(self.width.max(1)).zip(of_biases).zip(of_out);
        for (((of_weight, of_bias), of_out), (a, out)) in units.zip(active.iter().zip(out)) {
            *of_out += slope * a;
            if *a > 0.0 {
                *of_bias += slope * out;
                add_scaled(of_weight, slope * out, x);
            }
        }
        if let Some(of_bias) = rest.first_mut() {
            *of_bias += slope;
        }
    }
}

struct Adam {
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: i32,
}

impl Adam {
    fn new(n: usize) -> Self {
        Self { mean: vec![0.0; n], square: vec![0.0; n], steps: 0 }
    }

    fn step(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        self.steps += 1;
        let [bias_mean, bias_square] = DECAY.map(|decay| 1.0 - decay.powi(self.steps));
        let [of_mean, of_square] = DECAY;
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((w, g), (mean, square)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *mean = of_mean * *mean + (1.0 - of_mean) * g;
            *square = of_square * *square + (1.0 - of_square) * g * g;
            *w -= RATE * (*mean / bias_mean) / ((*square / bias_square).sqrt() + EPSILON);
        }
    }
}

/// The weighted mean loss of a logit over all groups.
pub(super) fn mean_loss(examples: Examples<'_>, team: &Team, logit: impl Fn(&[f32]) -> f64 + Sync) -> f64 {
    let n = examples.groups.len();
    let sums = over_rows(team, n, 64, 1, |groups, sums| {
        for (rows, label, weight) in examples.range(groups) {
            let logits: Vec<f64> = examples.x.range(rows).map(&logit).collect();
            sums.iter_mut().for_each(|sum| *sum += weight * product_loss(&logits, label).0);
        }
    });
    sums.first().map_or(0.0, |sum| sum / n.max(1) as f64)
}

/// The numbers below `n` in an order that belongs to `stream` (Fisher and Yates).
fn shuffled(n: usize, stream: Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        let other = (stream.uniform(i as u64) * (i + 1) as f64) as usize;
        order.swap(i, other.min(i));
    }
    order
}
