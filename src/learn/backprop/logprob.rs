//! Log-probabilities of chosen tokens, and their gradients at the final norm's output.
//!
//! Logits exist for a few rows at a time: all of them would be the largest buffer of training (152k numbers a token for Qwen 2.5).

use super::{Buffer, Compute, Forest, norm};
use crate::error::Result;
use crate::kernels::{matmul_f32, matmul_f32_back};
use crate::model::Model;

/// Bytes of logits that exist at once.
const LOGITS_BYTES: usize = 64 << 20;

/// What the targets of a forest come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Logprobs {
    /// By target.
    pub targets: Vec<f32>,
    /// Sums by sequence.
    pub sequences: Vec<f64>,
    /// Targets by sequence.
    pub lengths: Vec<usize>,
    /// By target, the gradient of its log-probability at the normed state that it was read from; empty unless asked for.
    pub(super) grads: Vec<f32>,
}

/// The log-probabilities of the forest's targets, given the residual stream `x` after the last layer.
pub(super) fn forward(on: Compute<'_>, model: &Model, forest: &Forest, x: &[f32], grads: bool) -> Result<Logprobs> {
    let (config, weights) = (model.config(), model.weights());
    let output = weights.output.view()?;
    let (n_embd, n_vocab, targets) = (config.n_embd, config.n_vocab, forest.targets());
    let mut out = Logprobs {
        targets: Vec::with_capacity(targets.len()),
        sequences: vec![0.0; forest.n_sequences()],
        lengths: vec![0; forest.n_sequences()],
        grads: vec![0.0; if grads { targets.len() * n_embd } else { 0 }],
    };
    let mut grads = grads.then_some(&mut out.grads[..]);
    let at_once = (LOGITS_BYTES / size_of::<f32>() / n_vocab).max(1);
    for targets in targets.chunks(at_once) {
        let states: Vec<&[f32]> = targets.iter().map(|t| &x[t.row * n_embd..(t.row + 1) * n_embd]).collect();
        let h = norm::forward(on, &on.buffers.concat(&states), &weights.output_norm, config.norm_eps);
        let mut logits = on.buffers.scratch(targets.len() * n_vocab);
        matmul_f32(on.team, &output, &h, targets.len(), &mut logits, on.interrupt)?;
        let mut logprobs = vec![0.0; targets.len()];
        // A row of logits ends in the gradient at them.
        let rows = std::sync::Mutex::new(&mut logprobs);
        on.team.for_each_chunk_mut(&mut logits, n_vocab, |i, row| {
            if on.interrupt.check().is_err() {
                return;
            }
            if let (Some(bias), row) = (&weights.output_bias, &mut *row) {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
            let logprob = row_grad(row, targets[i].token as usize, config.logit_softcap);
            rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[i] = logprob;
        });
        on.interrupt.check()?;
        for (target, &logprob) in targets.iter().zip(&logprobs) {
            out.sequences[target.sequence] += f64::from(logprob);
            out.lengths[target.sequence] += 1;
        }
        out.targets.extend(logprobs);
        if let Some(rest) = grads.take() {
            let (mine, rest) = rest.split_at_mut(targets.len() * n_embd);
            matmul_f32_back(on.team, &output, &logits, targets.len(), mine, false, on.interrupt)?;
            grads = Some(rest);
        }
    }
    Ok(out)
}

/// The gradient of `sum(weights[sequence] * logprob)` at the residual stream `x` after the last layer, `[row][n_embd]`.
pub(super) fn backward(
    on: Compute<'_>,
    model: &Model,
    forest: &Forest,
    x: &[f32],
    logprobs: &Logprobs,
    weights: &[f64],
) -> Buffer {
    let (config, n_embd) = (model.config(), model.config().n_embd);
    let mut d_norm = on.buffers.zeros(x.len());
    for (target, grad) in forest.targets().iter().zip(logprobs.grads.chunks_exact(n_embd)) {
        let weight = weights.get(target.sequence).copied().unwrap_or(0.0) as f32;
        let row = &mut d_norm[target.row * n_embd..(target.row + 1) * n_embd];
        row.iter_mut().zip(grad).for_each(|(d, grad)| *d += weight * grad);
    }
    let mut dx = on.buffers.zeros(x.len());
    norm::backward(on, x, &model.weights().output_norm, config.norm_eps, &d_norm, &mut dx);
    dx
}

/// The log-probability of `token`; turns the row of logits into the gradient at them, before the soft cap.
fn row_grad(row: &mut [f32], token: usize, cap: Option<f32>) -> f32 {
    let capped = |x: f32| cap.map_or(x, |cap| cap * (x / cap).tanh());
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let max = capped(max);
    let sum: f64 = row.iter().map(|&x| f64::from((capped(x) - max).exp())).sum();
    let total = sum as f32;
    let chosen = row.get(token).copied().map_or(f32::NEG_INFINITY, capped);
    for (i, x) in row.iter_mut().enumerate() {
        let y = capped(*x);
        let grad = f32::from(u8::from(i == token)) - (y - max).exp() / total;
        *x = grad * cap.map_or(1.0, |cap| 1.0 - (y / cap) * (y / cap));
    }
    chosen - max - sum.ln() as f32
}

#[cfg(test)]
mod tests {
    use super::super::testing::gradients_agree;
    use super::*;
    use crate::kernels::testing::Noise;

    #[test]
    fn a_row_becomes_its_gradient() {
        for cap in [None, Some(2.0)] {
            let logits = Noise::new(5).normals(30);
            let mut grad = logits.clone();
            let logprob = row_grad(&mut grad, 7, cap);
            let sum: f64 = grad.iter().map(|&x| f64::from(x)).sum();
            assert!(logprob < 0.0 && (cap.is_some() || sum.abs() < 1e-6));
            gradients_agree(&logits, &grad, &[1.0], |logits| vec![row_grad(&mut logits.to_vec(), 7, cap)]);
        }
    }
}
