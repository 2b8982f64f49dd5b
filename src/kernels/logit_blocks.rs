//! What a row of logits looks like from afar: per block its largest value and its exponentials' sum.
//!
//! One sweep while the row is still in the cache replaces the passes over the vocabulary that a draw would need (peak,
//! normalizer, search for the best few), and is done by the whole team. The sums are taken relative to the block's own
//! maximum, so the row's maximum need not be known (Milakov and Gimelshein, "Online normalizer calculation for softmax",
//! arXiv 1805.02867).

use std::sync::atomic::{AtomicBool, Ordering};

use crate::exec::Team;
use crate::simd::{Isa, LANES, Simd, dispatch, exp, load_or};

/// Logits in one block; a row's last block may be shorter.
pub const LOGIT_BLOCK: usize = 128;
/// Blocks of one part of a job.
const PART: usize = 32;

/// One block of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitBlock {
    /// Its largest logit; -inf when it holds nothing above that.
    pub max: f32,
    /// The sum of `e^(logit - max)`, 0 when `max` is -inf, NaN when the block holds NaN or +inf.
    pub sum: f32,
}

impl LogitBlock {
    /// A block of nothing.
    pub const EMPTY: Self = Self { max: f32::NEG_INFINITY, sum: 0.0 };
}

/// Blocks of a row of `n_vocab` logits.
pub fn logit_block_count(n_vocab: usize) -> usize {
    n_vocab.div_ceil(LOGIT_BLOCK)
}

/// Fills `out`, [`logit_block_count`] blocks for each of the rows of `n_vocab` logits; returns whether all logits are
/// finite.
pub fn logit_blocks(team: &Team, isa: Isa, logits: &[f32], n_vocab: usize, out: &mut [LogitBlock]) -> bool {
    let per_row = logit_block_count(n_vocab).max(1);
    let finite = AtomicBool::new(true);
    team.for_each_chunk_mut(out, PART, |part, mut out| {
        let mut at = part * PART;
        while !out.is_empty() {
            let (row, block) = (at / per_row, at % per_row);
            let n = out.len().min(per_row - block);
            let (here, rest) = out.split_at_mut(n);
            (out, at) = (rest, at + n);
            let row = logits.get(row * n_vocab..).unwrap_or_default();
            let row = row.get(..n_vocab.min(row.len())).unwrap_or_default();
            if !row_logit_blocks(isa, row.get(block * LOGIT_BLOCK..).unwrap_or_default(), here) {
                finite.store(false, Ordering::Relaxed);
            }
        }
    });
    finite.into_inner()
}

dispatch! {
    /// [`logit_blocks`] of one row, or of its end, on this thread: as many blocks as `out` holds.
    pub fn row_logit_blocks(logits: &[f32], out: &mut [LogitBlock]) -> bool = blocks_with
}

dispatch! {
    /// Replaces every block's sum by that of `e^((logit - max) * inverse)`.
    pub fn temper_logit_blocks(logits: &[f32], inverse: f32, blocks: &mut [LogitBlock]) = temper_with
}

#[inline(always)]
fn blocks_with<S: Simd>(s: S, logits: &[f32], out: &mut [LogitBlock]) -> bool {
    // Infinity and NaN times zero are NaN, and stay.
    let mut zero = s.splat(0.0);
    for (logits, out) in logits.chunks(LOGIT_BLOCK).zip(out) {
        let mut max = s.splat(f32::NEG_INFINITY);
        let (full, tail) = logits.as_chunks::<LANES>();
        for x in full {
            let x = s.load(x);
            max = s.max(x, max);
            zero = s.mul_add(x, s.splat(0.0), zero);
        }
        max = s.max(load_or(s, tail, f32::NEG_INFINITY), max);
        zero = s.mul_add(load_or(s, tail, 0.0), s.splat(0.0), zero);
        let max = s.largest(max);
        *out = LogitBlock { max, sum: sum_exp(s, logits, max, 1.0) };
    }
    s.sum(zero) == 0.0
}

#[inline(always)]
fn temper_with<S: Simd>(s: S, logits: &[f32], inverse: f32, blocks: &mut [LogitBlock]) {
    for (logits, block) in logits.chunks(LOGIT_BLOCK).zip(blocks) {
        block.sum = sum_exp(s, logits, block.max, inverse);
    }
}

#[inline(always)]
fn sum_exp<S: Simd>(s: S, logits: &[f32], max: f32, inverse: f32) -> f32 {
    // -inf minus -inf would be NaN.
    let base = s.splat(if max == f32::NEG_INFINITY { 0.0 } else { max });
    let inverse = s.splat(inverse);
    let mut sum = s.splat(0.0);
    let (full, tail) = logits.as_chunks::<LANES>();
    for x in full {
        sum = s.add(sum, exp(s, s.mul(s.sub(s.load(x), base), inverse)));
    }
    if !tail.is_empty() {
        let x = load_or(s, tail, f32::NEG_INFINITY);
        sum = s.add(sum, exp(s, s.mul(s.sub(x, base), inverse)));
    }
    s.sum(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;

    fn of_row(isa: Isa, logits: &[f32]) -> (Vec<LogitBlock>, bool) {
        let mut out = vec![LogitBlock::EMPTY; logit_block_count(logits.len())];
        let finite = row_logit_blocks(isa, logits, &mut out);
        (out, finite)
    }

    #[test]
    fn blocks_match_f64_and_agree_between_instruction_sets() {
        for n in [1, 7, 8, 127, 128, 129, 300, 4099] {
            let logits: Vec<f32> = Noise::new(n as u64).normals(n).iter().map(|x| x * 9.0).collect();
            let (want, finite) = of_row(Isa::Scalar, &logits);
            assert!(finite);
            for isa in Isa::available() {
                assert_eq!(of_row(isa, &logits), (want.clone(), true), "{isa:?}");
            }
            for (logits, block) in logits.chunks(LOGIT_BLOCK).zip(&want) {
                assert_eq!(block.max, logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                let near = |got: f32, inverse: f64| {
                    let truth: f64 = logits.iter().map(|x| (f64::from(x - block.max) * inverse).exp()).sum();
                    assert!((f64::from(got) - truth).abs() < 2e-6 * truth, "{got} {truth}");
                };
                near(block.sum, 1.0);
                let mut tempered = [*block];
                temper_logit_blocks(Isa::detect(), logits, 1.5, &mut tempered);
                near(tempered[0].sum, 1.5);
            }
        }
    }

    #[test]
    fn rows_are_independent_of_threads_and_of_each_other() {
        for n_vocab in [1, 130, 5000] {
            let logits = Noise::new(9).normals(3 * n_vocab);
            let alone: Vec<LogitBlock> = logits.chunks(n_vocab).flat_map(|row| of_row(Isa::detect(), row).0).collect();
            for threads in [1, 2, 3] {
                let mut out = vec![LogitBlock::EMPTY; alone.len()];
                let team = Team::new(threads).unwrap();
                assert!(logit_blocks(&team, Isa::detect(), &logits, n_vocab, &mut out));
                assert_eq!(out, alone);
            }
        }
    }

    #[test]
    fn every_bad_value_is_found_and_only_minus_infinity_has_a_sum() {
        let team = Team::new(2).unwrap();
        for isa in Isa::available() {
            for at in [0, 127, 128, 1000, 5002] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut logits = vec![f32::MAX; 5003];
                    logits[at] = bad;
                    let mut out = vec![LogitBlock::EMPTY; logit_block_count(5003)];
                    assert!(!logit_blocks(&team, isa, &logits, 5003, &mut out), "{isa:?} {bad} at {at}");
                    assert_eq!(out[at / LOGIT_BLOCK].sum.is_nan(), bad != f32::NEG_INFINITY, "{isa:?} {bad} at {at}");
                }
            }
            let (blocks, finite) = of_row(isa, &[f32::NEG_INFINITY; 9]);
            assert!(!finite && blocks == [LogitBlock::EMPTY]);
        }
    }
}
