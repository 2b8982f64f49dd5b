//! The tokens that top-k, top-p and min-p leave, without sorting the row.

use std::cmp::Ordering;

use super::{SamplerParams, softmax};
use crate::engine::Row;
use crate::kernels::LOGIT_BLOCK;
use crate::text::TokenId;

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub token: TokenId,
    pub logit: f32,
}

/// Finds candidates; keeps its buffers between draws.
#[derive(Debug, Clone, Default)]
pub(super) struct Shortlist {
    list: Vec<Candidate>,
    maxima: Vec<f32>,
}

/// Without top-k, the candidates among which the nucleus is looked for before the whole row: a peaked row needs a few
/// dozen.
const GUESSES: [usize; 2] = [64, 512];
/// Candidates that are sorted rather than parted further.
const FEW: usize = 64;

impl Shortlist {
    /// What top-k, top-p and min-p leave of `row`, in any order. Its largest logit is `peak`, and the exponentials of all
    /// its logits below `peak` add up to `total`.
    pub fn cut(&mut self, row: Row<'_>, params: &SamplerParams, peak: f32, total: f64) -> &mut [Candidate] {
        let SamplerParams { top_k, top_p, min_p, .. } = *params;
        let floor = if min_p > 0.0 { peak + min_p.ln() } else { f32::NEG_INFINITY };
        let mass = |c: &Candidate| f64::from(softmax::exp(c.logit - peak));
        let total = if top_k > 0 {
            self.best(row, top_k);
            self.list.iter().map(mass).sum()
        } else {
            let reached = |list: &[Candidate]| list.iter().map(mass).sum::<f64>() >= f64::from(top_p) * total;
            let found = top_p < 1.0
                && GUESSES.into_iter().any(|k| {
                    self.best(row, k);
                    self.list.iter().any(|c| c.logit < floor) || reached(&self.list)
                });
            if !found {
                self.at_least(row, floor);
            }
            total
        };
        self.list.retain(|c| c.logit >= floor);
        if top_p < 1.0
            && let Some(crossing) = reach(&mut self.list, mass, |sum| sum >= f64::from(top_p) * total)
        {
            self.list.truncate(crossing + 1);
        }
        &mut self.list
    }

    /// The `k` largest logits above -inf, the lowest token among equals, in any order. `row` holds no NaN.
    ///
    /// At least `k` blocks reach the `k`-th largest block maximum, so nothing below it counts, and most blocks are
    /// passed over. Of the others, one pass with a buffer of `2k` candidates that is cut back to `k` whenever it is full:
    /// O(n) on average and O(n + n/k * k) at worst, whatever the order of the logits.
    fn best(&mut self, row: Row<'_>, k: usize) {
        let k = k.clamp(1, row.logits.len().max(1));
        self.maxima.clear();
        self.maxima.extend(row.blocks.iter().map(|block| block.max));
        let mut floor = f32::NEG_INFINITY;
        if k <= self.maxima.len() {
            let (_, kth, _) = self.maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            // As many logits as are wanted may equal it.
            floor = kth.next_down();
        }
        let list = &mut self.list;
        list.clear();
        for (b, (logits, block)) in row.logits.chunks(LOGIT_BLOCK).zip(row.blocks).enumerate() {
            if block.max <= floor {
                continue;
            }
            for (i, &logit) in logits.iter().enumerate() {
                // Once the buffer was cut, an equal logit further on has a higher token and loses.
                if logit > floor {
                    list.push(Candidate { token: (b * LOGIT_BLOCK + i) as TokenId, logit });
                    if list.len() >= k.saturating_mul(2) {
                        floor = floor.max(keep_best(list, k));
                    }
                }
            }
        }
        if list.len() > k {
            keep_best(list, k);
        }
    }

    /// All logits above -inf that are at least `floor`, in the order of tokens.
    fn at_least(&mut self, row: Row<'_>, floor: f32) {
        self.list.clear();
        for (b, (logits, block)) in row.logits.chunks(LOGIT_BLOCK).zip(row.blocks).enumerate() {
            if block.max >= floor {
                let tokens = (b * LOGIT_BLOCK) as TokenId..;
                let all = tokens.zip(logits).map(|(token, &logit)| Candidate { token, logit });
                self.list.extend(all.filter(|c| c.logit >= floor && c.logit > f32::NEG_INFINITY));
            }
        }
    }
}

/// Cuts `list` to its best `k`; the worst logit left.
fn keep_best(list: &mut Vec<Candidate>, k: usize) -> f32 {
    list.select_nth_unstable_by(k - 1, order);
    list.truncate(k);
    list.last().map_or(f32::NEG_INFINITY, |worst| worst.logit)
}

/// Where, going from the best candidate down, the running sum of weights becomes `enough`; `None` when it never does. The
/// candidates up to that place are then the best ones.
///
/// Quickselect by weight: of two halves only the one in which the sum becomes enough is looked at further, so a flat row
/// costs O(n) where a sort costs O(n log n).
pub(super) fn reach(
    list: &mut [Candidate],
    weight: impl Fn(&Candidate) -> f64,
    enough: impl Fn(f64) -> bool,
) -> Option<usize> {
    let (mut low, mut high, mut before) = (0, list.len(), 0.0);
    while high - low > FEW {
        let half = (high - low) / 2;
        let part = &mut list[low..high];
        part.select_nth_unstable_by(half, order);
        let with_half = before + part[..half].iter().map(&weight).sum::<f64>();
        if enough(with_half) {
            high = low + half;
        } else {
            (low, before) = (low + half, with_half);
        }
    }
    list[low..high].sort_unstable_by(order);
    for (i, candidate) in list.iter().enumerate().take(high).skip(low) {
        before += weight(candidate);
        if enough(before) {
            return Some(i);
        }
    }
    // The half was enough, and its parts one by one just miss it by rounding.
    if high < list.len() { high.checked_sub(1) } else { None }
}

/// Best first: the larger logit, the lower token among equals.
fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stream;
    use crate::kernels::{LogitBlock, logit_block_count, row_logit_blocks};
    use crate::simd::Isa;

    fn by_sorting(logits: &[f32]) -> Vec<Candidate> {
        let mut all: Vec<_> =
            logits.iter().enumerate().map(|(i, &logit)| Candidate { token: i as TokenId, logit }).collect();
        all.retain(|c| c.logit > f32::NEG_INFINITY);
        all.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
        all
    }

    fn sorted(list: &[Candidate]) -> Vec<Candidate> {
        let mut list = list.to_vec();
        list.sort_by(order);
        list
    }

    fn rows() -> Vec<Vec<f32>> {
        let stream = Stream::new(3);
        let n = 5000u64;
        let random: Vec<f32> = (0..n).map(|i| (stream.uniform(i) * 20.0 - 10.0) as f32).collect();
        let ascending: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
        let descending: Vec<f32> = (0..n).map(|i| -0.5 * i as f32).collect();
        let ties: Vec<f32> = (0..n).map(|i| (stream.bits(i) % 5) as f32 + 1.0).collect();
        let flat: Vec<f32> = (0..n).map(|i| (stream.uniform(i) * 0.01) as f32).collect();
        let equal = vec![2.0; 5000];
        let mut masked = random.clone();
        masked.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
        let mut nearly_all_masked = vec![f32::NEG_INFINITY; 5000];
        nearly_all_masked[4000..4007].copy_from_slice(&[1.0, 3.0, 3.0, -2.0, 0.5, 3.0, 0.0]);
        vec![random, ascending, descending, ties, flat, equal, masked, nearly_all_masked, vec![1.0, 2.0, 3.0]]
    }

    fn blocks(logits: &[f32]) -> Vec<LogitBlock> {
        let mut blocks = vec![LogitBlock::EMPTY; logit_block_count(logits.len())];
        row_logit_blocks(Isa::detect(), logits, &mut blocks);
        blocks
    }

    #[test]
    fn the_best_equal_a_full_sort_for_any_order_and_any_k() {
        let mut shortlist = Shortlist::default();
        for logits in rows() {
            let blocks = blocks(&logits);
            for k in [1, 2, 39, 40, 41, 127, 999, 4999, 5000, 9000] {
                shortlist.best(Row { logits: &logits, blocks: &blocks }, k);
                let want = by_sorting(&logits);
                assert_eq!(sorted(&shortlist.list), want[..k.min(want.len())]);
            }
        }
    }

    #[test]
    fn what_is_left_equals_a_full_sort_and_sums_in_f64() {
        let mut shortlist = Shortlist::default();
        for logits in rows() {
            let all = by_sorting(&logits);
            let blocks = blocks(&logits);
            let peak = all[0].logit;
            let mass = |c: &Candidate| f64::from(c.logit - peak).exp();
            let total: f64 = all.iter().map(mass).sum();
            for (top_k, top_p, min_p) in [
                (0, 0.9, 0.0),
                (0, 0.31, 0.0),
                (0, 1.0, 0.013),
                (0, 0.9, 0.013),
                (0, 0.1, 0.9),
                (7, 0.77, 0.0),
                (300, 0.95, 0.013),
                (300, 1.0, 0.0),
            ] {
                let params = SamplerParams { top_k, top_p, min_p, ..SamplerParams::default() };
                let kept = if top_k > 0 { &all[..top_k.min(all.len())] } else { &all[..] };
                let whole: f64 = kept.iter().map(mass).sum();
                let mut sum = 0.0;
                let nucleus = kept.iter().position(|c| {
                    sum += mass(c);
                    top_p < 1.0 && sum >= f64::from(top_p) * whole
                });
                let likely = kept.partition_point(|c| min_p <= 0.0 || c.logit >= peak + min_p.ln());
                let want = nucleus.map_or(likely, |n| (n + 1).min(likely));
                let row = Row { logits: &logits, blocks: &blocks };
                let got = shortlist.cut(row, &params, peak, total).len();
                // Where thousands weigh the same, f32 and f64 may cross the target one token apart.
                assert!(got.abs_diff(want) <= 1, "{params:?}: {got} of {want}");
                assert_eq!(sorted(&shortlist.list), all[..got], "{params:?}");
            }
        }
    }

    #[test]
    fn the_running_sum_reaches_its_target_where_a_sorted_one_does() {
        for logits in rows() {
            let all = by_sorting(&logits);
            // Whole weights, so that the order of a sum cannot matter.
            let weight = |c: &Candidate| f64::from(c.token % 7);
            let total: f64 = all.iter().map(weight).sum();
            for share in [0.0, 0.001, 0.3, 0.5, 0.99, 1.0, 1.1] {
                let mut sum = 0.0;
                let want = all.iter().position(|c| {
                    sum += weight(c);
                    sum > share * total
                });
                let mut list: Vec<Candidate> = all.iter().rev().copied().collect();
                assert_eq!(reach(&mut list, weight, |sum| sum > share * total), want);
                if let Some(want) = want {
                    assert_eq!(sorted(&list[..=want]), all[..=want]);
                    assert_eq!(list[want], all[want]);
                }
            }
        }
        assert_eq!(reach(&mut [], |_| 1.0, |_| true), None);
    }
}
