//! The best few of a row of logits, without sorting the row.

use std::cmp::Ordering;

use super::softmax;
use crate::text::TokenId;

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub token: TokenId,
    pub logit: f32,
}

/// Logits skipped together when none of them beats the worst candidate.
const BLOCK: usize = 128;

/// The `k` largest logits above -inf, best first, the lowest token first among equals. `logits` hold no NaN.
///
/// One pass with a buffer of `2k` candidates that is cut back to `k` whenever it is full: O(n) on average and
/// O(n + n/k * k) at worst, whatever the order of the logits.
pub(super) fn best(logits: &[f32], k: usize, out: &mut Vec<Candidate>) {
    out.clear();
    let k = k.clamp(1, logits.len().max(1));
    let mut floor = f32::NEG_INFINITY;
    let mut first = 0;
    for block in logits.chunks(BLOCK) {
        if softmax::max(block) > floor {
            for (i, &logit) in block.iter().enumerate() {
                // An equal logit further on has a higher token and loses, so only a larger one matters.
                if logit > floor {
                    out.push(Candidate { token: (first + i) as TokenId, logit });
                    if out.len() >= k.saturating_mul(2) {
                        out.select_nth_unstable_by(k - 1, order);
                        out.truncate(k);
                        floor = out.last().map_or(floor, |worst| worst.logit);
                    }
                }
            }
        }
        first += block.len();
    }
    if out.len() > k {
        out.select_nth_unstable_by(k - 1, order);
        out.truncate(k);
    }
    out.sort_unstable_by(order);
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stream;

    fn by_sorting(logits: &[f32], k: usize) -> Vec<Candidate> {
        let mut all: Vec<_> =
            logits.iter().enumerate().map(|(i, &logit)| Candidate { token: i as TokenId, logit }).collect();
        all.retain(|c| c.logit > f32::NEG_INFINITY);
        all.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
        all.truncate(k);
        all
    }

    #[test]
    fn equals_a_full_sort_for_any_order_and_any_k() {
        let stream = Stream::new(3);
        let n = 1000u64;
        let random: Vec<f32> = (0..n).map(|i| (stream.uniform(i) * 20.0 - 10.0) as f32).collect();
        let ascending: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
        let descending: Vec<f32> = (0..n).map(|i| -0.5 * i as f32).collect();
        let ties: Vec<f32> = (0..n).map(|i| (stream.bits(i) % 5) as f32 + 1.0).collect();
        let mut masked = random.clone();
        masked.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
        let mut out = Vec::new();
        for logits in [random, ascending, descending, ties, masked] {
            for k in [1, 2, 40, 127, 999, 1000, 5000] {
                best(&logits, k, &mut out);
                assert_eq!(out, by_sorting(&logits, k));
            }
        }
    }
}
