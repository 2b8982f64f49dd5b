//! How sure the model is of its next token, from a row of logits.

use super::Sampler;
use super::softmax;
use crate::engine::Row;
use crate::error::Result;
use crate::kernels::LOGIT_BLOCK;

/// Tokens that [`Sampler::confidence`] looks at.
const TOP: usize = 20;
/// Blocks whose best token is less likely than the peak by this factor's exponential count as if all their tokens were as
/// likely as that one: together they hold less than 1e-5 of the entropy's mass for any vocabulary.
const FAR: f32 = 24.0;

impl Sampler {
    /// The entropy of the model's own distribution, in nats. Errors as [`sample_row`](Self::sample_row).
    pub fn entropy(&mut self, row: Row<'_>) -> Result<f64> {
        let peak = softmax::peak(row.blocks)?;
        let total = softmax::masses(row.blocks, peak, 1.0, &mut self.masses);
        let mut sum = 0.0;
        for ((block, logits), mass) in row.blocks.iter().zip(row.logits.chunks(LOGIT_BLOCK)).zip(&self.masses) {
            if peak - block.max > FAR {
                sum += mass * f64::from(block.max - peak).max(-1e4);
                continue;
            }
            for logit in logits {
                let below = f64::from(logit - peak);
                if below.is_finite() {
                    sum += below * f64::from(softmax::exp(below as f32));
                }
            }
        }
        Ok((total.ln() - sum / total).max(0.0))
    }

    /// The mean negative log-probability of the 20 most likely tokens under the model's own distribution: high where one
    /// token stands out (Fu et al., "Deep Think with Confidence", arXiv 2508.15260). Errors as
    /// [`sample_row`](Self::sample_row).
    pub fn confidence(&mut self, row: Row<'_>) -> Result<f64> {
        let peak = softmax::peak(row.blocks)?;
        let total = softmax::masses(row.blocks, peak, 1.0, &mut self.masses);
        // At least 20 tokens are as likely as the 20th best block's best one, so no other block matters.
        let mut maxima: Vec<f32> = row.blocks.iter().map(|block| block.max).collect();
        maxima.sort_unstable_by(|a, b| b.total_cmp(a));
        let least = maxima.get(TOP - 1).copied().unwrap_or(f32::NEG_INFINITY);
        let blocks = row.blocks.iter().zip(row.logits.chunks(LOGIT_BLOCK)).filter(|(block, _)| block.max >= least);
        let mut top: Vec<f32> =
            blocks.flat_map(|(_, logits)| logits).copied().filter(|&l| l >= least && l.is_finite()).collect();
        top.sort_unstable_by(|a, b| b.total_cmp(a));
        top.truncate(TOP);
        let mean = top.iter().map(|&logit| f64::from(logit - peak)).sum::<f64>() / top.len().max(1) as f64;
        Ok(total.ln() - mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::SamplerParams;
    use crate::kernels::{LogitBlock, logit_block_count, row_logit_blocks};
    use crate::simd::Isa;

    fn both(logits: &[f32]) -> (f64, f64) {
        let mut blocks = vec![LogitBlock::EMPTY; logit_block_count(logits.len())];
        row_logit_blocks(Isa::detect(), logits, &mut blocks);
        let row = Row { logits, blocks: &blocks };
        let mut sampler = Sampler::new(SamplerParams::default()).unwrap();
        (sampler.entropy(row).unwrap(), sampler.confidence(row).unwrap())
    }

    #[test]
    fn a_flat_row_has_the_logarithm_of_its_length_for_both() {
        for n in [20usize, 100, 1000] {
            let (entropy, confidence) = both(&vec![1.5; n]);
            assert!((entropy - (n as f64).ln()).abs() < 1e-6 && (confidence - (n as f64).ln()).abs() < 1e-6);
        }
    }

    // Oracle: the definitions in f64 over the whole row.
    #[test]
    fn both_equal_their_definitions() {
        for (spread, n) in [(1.0, 999), (8.0, 5000), (40.0, 3000)] {
            let logits: Vec<f32> = (0..n).map(|i| ((i as f32 * 12.9898).sin() * 43758.547).fract() * spread).collect();
            let mass: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let mut logprobs: Vec<f64> = logits.iter().map(|&l| f64::from(l) - mass.ln()).collect();
            let entropy: f64 = -logprobs.iter().map(|l| l * l.exp()).sum::<f64>();
            logprobs.sort_by(|a, b| b.total_cmp(a));
            let confidence = -logprobs[..TOP].iter().sum::<f64>() / TOP as f64;
            let (e, c) = both(&logits);
            assert!((e - entropy).abs() < 1e-4 * (1.0 + entropy), "{e} {entropy}");
            assert!((c - confidence).abs() < 1e-5 * confidence, "{c} {confidence}");
        }
    }

    #[test]
    fn one_token_alone_leaves_no_doubt() {
        let mut logits = vec![f32::NEG_INFINITY; 300];
        logits[7] = 3.0;
        assert!(both(&logits).0.abs() < 1e-9);
    }
}
