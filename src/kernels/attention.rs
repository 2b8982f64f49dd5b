//! Attention of one query token over the keys and values of its path.
//!
//! Scores lie by absolute position, sums run over lanes by absolute position and values are added in order of position,
//! so the result does not depend on how the path is cut into pages.

use crate::simd::{Isa, LANES, Simd, dispatch, load_or, tanh};
use half::f16;
use std::cell::Cell;

/// What one call computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Elements of a head.
    pub head_dim: usize,
    /// The first position seen: 0, or the edge of a sliding window.
    pub start: usize,
    /// The position after the last one seen.
    pub end: usize,
    /// Factor on the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
}

/// Neighbouring positions of one KV head, each slice `[token][head_dim]`.
#[derive(Debug, Clone, Copy)]
pub struct KeysValues<'a> {
    /// Keys.
    pub keys: &'a [f16],
    /// Values.
    pub values: &'a [f16],
}

/// Query heads that share one load of a key or value.
const HEADS: usize = 4;

thread_local! {
    /// Scores, kept between calls so that long contexts do not allocate.
    static SCORES: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// For each query head of `q` (`[head][head_dim]`, all reading the same KV head): softmax over the positions
/// `start..end` of `scale * q . key`, then the weighted sum of the values into `out` (`[head][head_dim]`).
///
/// `path` covers positions from 0 in order; probabilities stay f32.
pub fn attention<'a>(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    path: impl IntoIterator<Item = KeysValues<'a>>,
    out: &mut [f32],
) {
    let path: Vec<_> = path.into_iter().collect();
    let mut scores = SCORES.take();
    attend(isa, shape, q, &path, &mut scores, out);
    SCORES.set(scores);
}

dispatch! {
    fn attend(shape: &AttentionShape, q: &[f32], path: &[KeysValues<'_>], scores: &mut Vec<f32>, out: &mut [f32])
        = attend_with
}

#[inline(always)]
fn attend_with<S: Simd>(
    s: S,
    shape: &AttentionShape,
    q: &[f32],
    path: &[KeysValues<'_>],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let dim = shape.head_dim.max(1);
    // Whole vectors of absolute positions; those outside start..end keep a score of minus infinity.
    let base = shape.start / LANES * LANES;
    let span = shape.end.saturating_sub(base).next_multiple_of(LANES);
    scores.clear();
    scores.resize(q.len() / dim * span, f32::NEG_INFINITY);
    let tiles = q.chunks(HEADS * dim).zip(out.chunks_mut(HEADS * dim)).zip(scores.chunks_mut((HEADS * span).max(1)));
    for ((q, out), scores) in tiles {
        let task = Task { s, shape, path, base, span, dim };
        match q.len() / dim {
            1 => task.run::<1, 4, 8>(q, scores, out),
            2 => task.run::<2, 4, 4>(q, scores, out),
            3 => task.run::<3, 2, 2>(q, scores, out),
            _ => task.run::<HEADS, 2, 2>(q, scores, out),
        }
    }
}

struct Task<'a, S> {
    s: S,
    shape: &'a AttentionShape,
    path: &'a [KeysValues<'a>],
    base: usize,
    span: usize,
    dim: usize,
}

impl<S: Simd> Task<'_, S> {
    /// All of attention for `H` query heads: scores `K` keys at a time, values `V` vectors of a head at a time.
    #[inline(always)]
    fn run<const H: usize, const K: usize, const V: usize>(&self, q: &[f32], scores: &mut [f32], out: &mut [f32]) {
        for (first, seen) in self.seen() {
            let keys = seen.keys.len() / self.dim;
            let mut t = 0;
            while t + K <= keys {
                self.score::<H, K>(q, &seen.keys[t * self.dim..(t + K) * self.dim], first + t, scores);
                t += K;
            }
            while t < keys {
                self.score::<H, 1>(q, &seen.keys[t * self.dim..(t + 1) * self.dim], first + t, scores);
                t += 1;
            }
        }
        let mut factors = [0.0; H];
        for (row, factor) in scores.chunks_exact_mut(self.span.max(1)).zip(&mut factors) {
            let (row, _) = row.as_chunks_mut();
            if let Some(cap) = self.shape.soft_cap {
                self.cap(row, cap);
            }
            *factor = 1.0 / super::softmax::exp_minus_max(self.s, row, None);
        }
        let mut first = 0;
        while first + V * LANES <= self.dim {
            self.sum_values::<H, V>(scores, &factors, first, LANES, out);
            first += V * LANES;
        }
        while first < self.dim {
            self.sum_values::<H, 1>(scores, &factors, first, LANES.min(self.dim - first), out);
            first += LANES;
        }
    }

    /// The stretches of the path that lie in sight, cut to it, each with its first place in a row of scores.
    #[inline(always)]
    fn seen(&self) -> impl Iterator<Item = (usize, KeysValues<'_>)> {
        let mut position = 0;
        let parts = self.path.iter().map(move |stretch| {
            let tokens = stretch.keys.len().min(stretch.values.len()) / self.dim;
            let first = self.shape.start.saturating_sub(position).min(tokens);
            let end = self.shape.end.saturating_sub(position).clamp(first, tokens);
            let part = first * self.dim..end * self.dim;
            let place = (position + first).saturating_sub(self.base);
            position += tokens;
            (place, KeysValues { keys: &stretch.keys[part.clone()], values: &stretch.values[part] })
        });
        parts.filter(|(_, seen)| !seen.keys.is_empty())
    }

    /// `scores[head][place + key] = scale * q[head] . keys[key]` for `K` neighbouring keys.
    #[inline(always)]
    fn score<const H: usize, const K: usize>(&self, q: &[f32], keys: &[f16], place: usize, scores: &mut [f32]) {
        let (s, dim) = (self.s, self.dim);
        let mut acc = [[s.splat(0.0); H]; K];
        assert!(q.len() >= H * dim && keys.len() >= K * dim);
        for at in (0..dim / LANES * LANES).step_by(LANES) {
            for (k, acc) in acc.iter_mut().enumerate() {
                // SAFETY: `k * dim + at + LANES` is at most `K * dim`.
                let key = s.load_f16(unsafe { vector(keys, k * dim + at) });
                for (h, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: `h * dim + at + LANES` is at most `H * dim`.
                    *acc = s.mul_add(s.load(unsafe { vector(q, h * dim + at) }), key, *acc);
                }
            }
        }
        let tail = dim % LANES;
        if tail > 0 {
            for (k, acc) in acc.iter_mut().enumerate() {
                let key = s.load_f16(&padded(&keys[(k + 1) * dim - tail..(k + 1) * dim]));
                for (h, acc) in acc.iter_mut().enumerate() {
                    let q = load_or(s, &q[(h + 1) * dim - tail..(h + 1) * dim], 0.0);
                    *acc = s.mul_add(q, key, *acc);
                }
            }
        }
        for (h, row) in scores.chunks_exact_mut(self.span).take(H).enumerate() {
            for (k, score) in row[place..place + K].iter_mut().enumerate() {
                *score = s.sum(acc[k][h]) * self.shape.scale;
            }
        }
    }

    #[inline(always)]
    fn cap(&self, row: &mut [[f32; LANES]], cap: f32) {
        let (s, cap, lowest) = (self.s, self.s.splat(cap), self.s.splat(f32::MIN));
        for scores in row {
            let x = s.load(scores);
            let capped = s.mul(cap, tanh(s, s.div(x, cap)));
            // Minus infinity marks positions out of sight and must stay so.
            s.store(s.select_lt(x, lowest, x, capped), scores);
        }
    }

    /// Elements `first..` of every head's output, `V` vectors of `width` used lanes.
    #[inline(always)]
    fn sum_values<const H: usize, const V: usize>(
        &self,
        scores: &[f32],
        factors: &[f32; H],
        first: usize,
        width: usize,
        out: &mut [f32],
    ) {
        let (s, dim, span) = (self.s, self.dim, self.span);
        let mut acc = [[s.splat(0.0); V]; H];
        for (place, seen) in self.seen() {
            let tokens = seen.values.len() / dim;
            assert!(scores.len() >= H * span && place + tokens <= span);
            assert!(V == 1 || first + V * LANES <= dim);
            for t in 0..tokens {
                let mut v = [s.splat(0.0); V];
                for (i, v) in v.iter_mut().enumerate() {
                    let at = t * dim + first + i * LANES;
                    *v = if width < LANES {
                        s.load_f16(&padded(&seen.values[at..at + width]))
                    } else {
                        // SAFETY: the vector ends inside token `t`, as the head has `first + V * LANES` elements.
                        s.load_f16(unsafe { vector(seen.values, at) })
                    };
                }
                for (h, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: checked above: `place + t` is below `span`, and there are `H` rows of scores.
                    let p = s.splat(unsafe { *scores.get_unchecked(h * span + place + t) });
                    for (acc, v) in acc.iter_mut().zip(v) {
                        *acc = s.mul_add(p, v, *acc);
                    }
                }
            }
        }
        for ((acc, factor), out) in acc.into_iter().zip(factors).zip(out.chunks_exact_mut(dim)) {
            for (acc, out) in acc.into_iter().zip(out[first..].chunks_mut(width)) {
                let mut lanes = [0.0; LANES];
                s.store(s.mul(acc, s.splat(*factor)), &mut lanes);
                out.iter_mut().zip(lanes).for_each(|(out, x)| *out = x);
            }
        }
    }
}

/// The vector of `x` that begins at `at`.
///
/// # Safety
/// `at + LANES` must not exceed the length of `x`.
#[inline(always)]
unsafe fn vector<T>(x: &[T], at: usize) -> &[T; LANES] {
    debug_assert!(at + LANES <= x.len());
    // SAFETY: the caller promises that the elements are inside `x`.
    unsafe { &*x.as_ptr().add(at).cast() }
}

#[inline(always)]
fn padded(tail: &[f16]) -> [f16; LANES] {
    let mut lanes = [f16::ZERO; LANES];
    lanes.iter_mut().zip(tail).for_each(|(lane, x)| *lane = *x);
    lanes
}

#[cfg(test)]
mod tests;
