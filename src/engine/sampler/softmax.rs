//! A row's peak and the mass of its blocks, from what is known of each block.
//!
//! Sums go in a fixed order, and the system's `exp` is not used, so that the bits are the same everywhere.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::LogitBlock;

/// The largest logit; [`NonFinite`](ErrorKind::NonFinite) for a row with NaN or +inf, or with nothing above -inf.
pub(super) fn peak(blocks: &[LogitBlock]) -> Result<f32> {
    if blocks.iter().any(|block| block.sum.is_nan()) {
        return Err(Error::new(
            ErrorKind::NonFinite,
            "the logits hold NaN or infinity: the model file is damaged or its type overflows",
        ));
    }
    let peak = blocks.iter().fold(f32::NEG_INFINITY, |peak, block| peak.max(block.max));
    if peak == f32::NEG_INFINITY {
        return Err(Error::new(ErrorKind::NonFinite, "every logit is -infinity: no token can follow"));
    }
    Ok(peak)
}

/// The sum of `exp((logit - peak) * inverse)` for each block, whose own sums are relative to its own maximum, into
/// `masses`; returns their total.
pub(super) fn masses(blocks: &[LogitBlock], peak: f32, inverse: f32, masses: &mut Vec<f64>) -> f64 {
    masses.clear();
    masses.extend(blocks.iter().map(|block| f64::from(exp((block.max - peak) * inverse)) * f64::from(block.sum)));
    masses.iter().sum()
}

/// e^x for x <= 0, to 1e-7 relative; 0 below -87, where the result would be subnormal.
///
/// Cody and Waite's reduction to |r| <= ln2/2 and Cephes' polynomial (`expf.c`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let e = (p * r) * r + r + 1.0;
    let scaled = f32::from_bits(e.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < -87.0 { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{LOGIT_BLOCK, logit_block_count, row_logit_blocks};
    use crate::simd::Isa;

    fn blocks(logits: &[f32]) -> Vec<LogitBlock> {
        let mut blocks = vec![LogitBlock::EMPTY; logit_block_count(logits.len())];
        row_logit_blocks(Isa::detect(), logits, &mut blocks);
        blocks
    }

    #[test]
    fn exp_is_as_good_as_the_systems() {
        for i in 0..=87_000 {
            let x = -(i as f32) / 1000.0;
            let truth = f64::from(x).exp();
            let relative = ((f64::from(exp(x)) - truth) / truth).abs();
            assert!(relative < 1.2e-7, "exp({x}) is off by {relative:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn masses_cover_every_length() {
        for n in [1usize, 15, 16, 17, 511, 512, 513, 2000] {
            let logits: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin() * 4.0).collect();
            let blocks = blocks(&logits);
            let peak = peak(&blocks).unwrap();
            assert_eq!(peak, logits.iter().copied().fold(f32::MIN, f32::max));
            let mut by_block = Vec::new();
            let total = masses(&blocks, peak, 1.0, &mut by_block);
            let truth: f64 = logits.iter().map(|&x| f64::from(x - peak).exp()).sum();
            assert!((total - truth).abs() / truth < 1e-6);
            assert_eq!(by_block.len(), n.div_ceil(LOGIT_BLOCK));
        }
    }

    #[test]
    fn a_row_without_a_finite_peak_is_an_error_wherever_the_fault_stands() {
        let peak = |logits: &[f32]| peak(&blocks(logits));
        for at in [0, 15, 16, 40] {
            for fault in [f32::NAN, f32::INFINITY] {
                let mut logits = vec![0f32; 41];
                logits[at] = fault;
                assert_eq!(peak(&logits).unwrap_err().kind(), ErrorKind::NonFinite);
            }
        }
        assert_eq!(peak(&[f32::NEG_INFINITY; 33]).unwrap_err().kind(), ErrorKind::NonFinite);
        assert_eq!(peak(&[]).unwrap_err().kind(), ErrorKind::NonFinite);
        assert_eq!(peak(&[f32::NEG_INFINITY, -3.0]).unwrap(), -3.0);
    }
}
