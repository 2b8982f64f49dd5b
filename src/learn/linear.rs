//! Logistic regression.

use std::ops::Range;

use super::design::Matrix;
use super::lbfgs;
use super::sums::{add_scaled, dot, over_rows, product_loss};
use crate::error::Result;
use crate::exec::Team;
use crate::observe::Interrupt;

/// Parts of a sum over all rows.
const PARTS: usize = 64;
const ITERATIONS: usize = 300;
const TOLERANCE: f64 = 1e-6;

/// Groups of rows, each with a label and a weight: the product of a group's probabilities is that of its label.
#[derive(Clone, Copy)]
pub(super) struct Examples<'a> {
    pub x: &'a Matrix,
    /// They may share rows.
    pub groups: &'a [Range<usize>],
    /// How right each group is, from 0 to 1.
    pub labels: &'a [f64],
    /// Of mean 1.
    pub weights: &'a [f64],
    /// Inputs whose weights cost the penalty; those behind them are known to tell something, whatever the others do.
    pub penalised: usize,
}

impl<'a> Examples<'a> {
    /// Each group of a range with its label and weight.
    pub fn range(self, groups: Range<usize>) -> impl Iterator<Item = (Range<usize>, f64, f64)> + use<'a> {
        groups.filter_map(move |i| Some((self.groups.get(i)?.clone(), *self.labels.get(i)?, *self.weights.get(i)?)))
    }
}

/// The weights of the inputs, and the bias behind them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    pub parameters: Vec<f64>,
}

impl Linear {
    pub fn zero(width: usize) -> Self {
        Self { parameters: vec![0.0; width + 1] }
    }

    pub fn logit(&self, x: &[f32]) -> f64 {
        let bias = self.parameters.last().copied().unwrap_or(0.0);
        dot(x, self.parameters.get(..x.len()).unwrap_or_default()) + bias
    }

    /// Where the mean loss plus `l2 / 2` times the squared weights is least, the bias left out of the penalty; from `self`
    /// on. [`Cancelled`](crate::ErrorKind::Cancelled) when `interrupt` fired.
    pub fn fit(self, examples: Examples<'_>, l2: f64, team: &Team, interrupt: &Interrupt) -> Result<Self> {
        let parameters = lbfgs::minimise(self.parameters, ITERATIONS, TOLERANCE, |w, gradient| {
            interrupt.check()?;
            Ok(objective(examples, l2, team, w, gradient))
        })?;
        Ok(Self { parameters })
    }
}

/// The penalised mean loss at `w`, and its gradient.
pub(super) fn objective(examples: Examples<'_>, l2: f64, team: &Team, w: &[f64], gradient: &mut [f64]) -> f64 {
    let here = Linear { parameters: w.to_vec() };
    let n = examples.groups.len();
    // The gradient, then the loss.
    let sums = over_rows(team, n, PARTS, w.len() + 1, |groups, sums| {
        for (rows, label, weight) in examples.range(groups) {
            let logits: Vec<f64> = examples.x.range(rows.clone()).map(|row| here.logit(row)).collect();
            let (loss, slopes) = product_loss(&logits, label);
            for (row, slope) in examples.x.range(rows).zip(slopes) {
                add_scaled(sums, weight * slope, row);
                if let [.., bias, _] = sums {
                    *bias += weight * slope;
                }
            }
            if let Some(total) = sums.last_mut() {
                *total += weight * loss;
            }
        }
    });
    let n = n.max(1) as f64;
    gradient.iter_mut().zip(&sums).for_each(|(g, sum)| *g = sum / n);
    let mut value = sums.last().map_or(0.0, |total| total / n);
    for (g, w) in gradient.iter_mut().zip(w).take(examples.penalised) {
        *g += l2 * w;
        value += 0.5 * l2 * w * w;
    }
    value
}
