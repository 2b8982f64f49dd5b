//! Sums over rows: by a thread team, in an order that does not depend on it.

use std::ops::Range;

use crate::exec::Team;

/// `len` sums over `n_rows` rows: `add` adds the rows of a range to a part's sums, and `parts` parts are added up in order.
pub(super) fn over_rows(
    team: &Team,
    n_rows: usize,
    parts: usize,
    len: usize,
    add: impl Fn(Range<usize>, &mut [f64]) + Sync,
) -> Vec<f64> {
    let part = n_rows.div_ceil(parts.max(1));
    let mut sums = vec![0.0; parts.max(1) * len];
    team.for_each_chunk_mut(&mut sums, len, |i, sums| add((i * part).min(n_rows)..((i + 1) * part).min(n_rows), sums));
    let mut total = vec![0.0; len];
    for sums in sums.chunks_exact(len.max(1)) {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    total
}

/// The scalar product, in eight sums that the processor can add up side by side.
pub(super) fn dot(x: &[f32], w: &[f64]) -> f64 {
    let (xs, x_tail) = x.as_chunks::<8>();
    let (ws, w_tail) = w.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, w) in xs.iter().zip(ws) {
        for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
            *sum += f64::from(x) * w;
        }
    }
    let tail: f64 = x_tail.iter().zip(w_tail).map(|(&x, &w)| f64::from(x) * w).sum();
    sums.iter().sum::<f64>() + tail
}

/// Adds `factor * x` to `sums`.
pub(super) fn add_scaled(sums: &mut [f64], factor: f64, x: &[f32]) {
    sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += factor * f64::from(x));
}

/// The loss of a group of logits whose probabilities' product is held against a label from 0 to 1, in nats, and its slope in
/// each logit. For a single logit that is the log loss, for a label in between the cross entropy.
pub(super) fn product_loss(logits: &[f64], label: f64) -> (f64, Vec<f64>) {
    // -ln of each probability, without overflow.
    let cost = |z: f64| (-z).max(0.0) + (-z.abs()).exp().ln_1p();
    let cost: f64 = logits.iter().map(|&z| cost(z)).sum();
    // Below this the product is 1 to the last digit, and the loss of a wrong one would be infinite.
    let least = cost.max(1e-12);
    let loss = label * cost - (1.0 - label) * (-(-least).exp_m1()).ln();
    let slope = (1.0 - label) / least.exp_m1() - label;
    (loss, logits.iter().map(|&z| slope / (1.0 + z.exp())).collect())
}
