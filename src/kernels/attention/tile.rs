//! Register tiles: scores of a few query heads with a page's keys, and sums of its values.
//!
//! A score is one chain of fused multiply-adds over the head's elements and an output element one chain over the
//! positions in order, so a tile's shape never changes a bit.

// Indices that are constant after unrolling keep the accumulators in registers; iterators did not.
#![allow(clippy::needless_range_loop)]

use super::page::{Head, PAGE_TOKENS};
use crate::exec::Shards;
use crate::simd::{Simd, WIDE, prefetch};
use half::f16;
use std::ops::Range;

/// A number format of keys and values.
pub(crate) trait Element: bytemuck::Pod {
    /// Whether every token has a scale.
    const SCALED: bool;
    fn load<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide;
}

impl Element for f16 {
    const SCALED: bool = false;
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide {
        s.wide_load_f16(x)
    }
}

impl Element for i8 {
    const SCALED: bool = true;
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide {
        s.wide_load_i8(x)
    }
}

/// Query heads, transposed: `[head_dim][lines]`.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub data: &'a [f32],
    pub dim: usize,
    pub lines: usize,
    pub scale: f32,
}

/// Scores or sums of values, `[line][stride]`, written by several threads at disjoint places.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub data: &'a Shards<'a, f32>,
    /// Where line 0 begins.
    pub first: usize,
    pub stride: usize,
}

impl Lines<'_> {
    /// Some elements of a line.
    ///
    /// # Safety
    /// As [`Shards::range`].
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn range(&self, line: usize, elements: Range<usize>) -> &mut [f32] {
        let start = self.first + line * self.stride;
        // SAFETY: the caller's promise.
        unsafe { self.data.range(start + elements.start..start + elements.end) }
    }
}

/// Tokens of one page.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    pub from: usize,
    pub to: usize,
    /// Where the score of token `from` lies in a line.
    pub place: usize,
}

/// Calls `$tile::<S, E, M, N>` for the constant `M` that equals `$m`, at most `$most`.
macro_rules! tile_of {
    ($tile:ident::<$s:ty, $e:ty, $n:literal>, $m:expr, [$($rows:literal)*], $args:tt) => {
        match $m {
            $($rows => $tile::<$s, $e, $rows, $n> $args,)*
            _ => unreachable_rows(),
        }
    };
}

/// Tiles are cut to the sizes that are matched.
fn unreachable_rows() {
    debug_assert!(false, "a tile of more rows than there are kernels for");
}

/// Lines of the next tile, when `left` are cut into tiles of nearly equal height, at most `most`.
#[inline(always)]
fn height(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most).max(1))
}

/// Scores of all `lines` with some tokens of a page. Meanwhile the keys of `next`, the page that follows, are fetched:
/// the processor cannot guess where it lies.
#[inline(always)]
pub(super) fn score<S: Simd, E: Element>(
    s: S,
    [head, next]: [&Head<'_, E>; 2],
    tokens: Tokens,
    q: &Queries<'_>,
    lines: Range<usize>,
    out: Lines<'_>,
) {
    let vectors = tokens.from / WIDE..tokens.to.div_ceil(WIDE);
    let most = if S::WIDE_REGISTERS >= 32 { 8 } else { 6 };
    let mut line = lines.start;
    while line < lines.end {
        let m = height(lines.end - line, most);
        // The first lines fetch for all.
        let head = [head, if line == lines.start { next } else { head }];
        if S::WIDE_REGISTERS >= 32 && vectors.len() == 2 {
            tile_of!(score_tile::<S, E, 2>, m, [1 2 3 4 5 6 7 8], (s, head, tokens, q, line, 0, out));
        } else {
            for vector in vectors.clone() {
                tile_of!(score_tile::<S, E, 1>, m, [1 2 3 4 5 6 7 8], (s, head, tokens, q, line, vector, out));
            }
        }
        line += m;
    }
}

/// Scores of `M` lines with `N` vectors of keys.
#[inline(always)]
fn score_tile<S: Simd, E: Element, const M: usize, const N: usize>(
    s: S,
    [head, next]: [&Head<'_, E>; 2],
    tokens: Tokens,
    q: &Queries<'_>,
    line: usize,
    vector: usize,
    out: Lines<'_>,
) {
    let keys = head.keys;
    let next = next.keys.as_ptr().wrapping_add(vector * WIDE);
    assert!(line + M <= q.lines && q.data.len() >= q.dim * q.lines);
    assert!((vector + N) * WIDE <= PAGE_TOKENS && keys.len() >= q.dim * PAGE_TOKENS);
    let mut acc = [[s.wide_splat(0.0); N]; M];
    for d in 0..q.dim {
        prefetch(next.wrapping_add(d * PAGE_TOKENS).cast());
        let mut k = [s.wide_splat(0.0); N];
        for n in 0..N {
            // SAFETY: checked above: row `d` of the keys is inside the plane, and the vector is inside the row.
            k[n] = E::load(s, unsafe { at(keys, d * PAGE_TOKENS + (vector + n) * WIDE) });
        }
        for m in 0..M {
            debug_assert!(d * q.lines + line + m < q.data.len());
            // SAFETY: checked above: `d` is below `dim`, and `line + m` below `lines`.
            let x = s.wide_splat(unsafe { *q.data.get_unchecked(d * q.lines + line + m) });
            for n in 0..N {
                acc[m][n] = s.wide_mul_add(x, k[n], acc[m][n]);
            }
        }
    }
    let scale = s.wide_splat(q.scale);
    for n in 0..N {
        let first = (vector + n) * WIDE;
        let (from, to) = (tokens.from.max(first), tokens.to.min(first + WIDE));
        let factor = match head.key_scales[..].get(first..) {
            Some(scales) if E::SCALED => s.wide_mul(scale, s.wide_load(&padded(scales))),
            _ => scale,
        };
        for m in 0..M {
            let place = tokens.place + from - tokens.from;
            // SAFETY: a piece of a path belongs to one thread, and its lines and places to no other piece.
            let out = unsafe { out.range(line + m, place..place + to - from) };
            let scores = s.wide_mul(acc[m][n], factor);
            match out.first_chunk_mut() {
                Some(out) => s.wide_store(scores, out),
                None => {
                    let mut all = [0.0; WIDE];
                    s.wide_store(scores, &mut all);
                    out.iter_mut().zip(&all[from - first..]).for_each(|(out, score)| *out = *score);
                }
            }
        }
    }
}

/// Adds probability times value, for some tokens of a page, to the elements `dims` of all `lines` of `out`; meanwhile the
/// values of `next` are fetched.
#[inline(always)]
pub(super) fn sum<S: Simd, E: Element>(
    s: S,
    [head, next]: [&Head<'_, E>; 2],
    tokens: Tokens,
    p: (&[f32], usize),
    lines: Range<usize>,
    dims: Range<usize>,
    out: Lines<'_>,
) {
    let mut line = lines.start;
    while line < lines.end {
        let m = height(lines.end - line, 6);
        let head = [head, if line == lines.start { next } else { head }];
        let mut c = dims.start;
        while c < dims.end {
            let left = (dims.end - c) / WIDE;
            if left >= 4 && S::WIDE_REGISTERS >= 32 {
                tile_of!(sum_tile::<S, E, 4>, m, [1 2 3 4 5 6], (s, head, tokens, p, line, c, out));
                c += 4 * WIDE;
            } else if left >= 2 && (S::WIDE_REGISTERS >= 32 || m <= 3) {
                tile_of!(sum_tile::<S, E, 2>, m, [1 2 3 4 5 6], (s, head, tokens, p, line, c, out));
                c += 2 * WIDE;
            } else {
                tile_of!(sum_tile::<S, E, 1>, m, [1 2 3 4 5 6], (s, head, tokens, p, line, c, out));
                c += WIDE;
            }
        }
        line += m;
    }
}

/// `M` lines of `N` vectors of elements, from element `first` on.
#[inline(always)]
fn sum_tile<S: Simd, E: Element, const M: usize, const N: usize>(
    s: S,
    [head, next]: [&Head<'_, E>; 2],
    tokens: Tokens,
    (p, stride): (&[f32], usize),
    line: usize,
    first: usize,
    out: Lines<'_>,
) {
    let values = head.values;
    let next = next.values.as_ptr().wrapping_add(first);
    let width = values.len() / PAGE_TOKENS;
    let len = tokens.to - tokens.from;
    assert!(tokens.to <= PAGE_TOKENS && first + N * WIDE <= width);
    assert!(tokens.place + len <= stride && (line + M) * stride <= p.len());
    assert!(!E::SCALED || head.value_scales.len() >= tokens.to);
    let mut acc = [[s.wide_splat(0.0); N]; M];
    for m in 0..M {
        // SAFETY: a thread has these elements of these lines for itself.
        let sums = unsafe { out.range(line + m, first..first + N * WIDE) };
        let (sums, _) = sums.as_chunks();
        for n in 0..N {
            acc[m][n] = s.wide_load(&sums[n]);
        }
    }
    for t in 0..len {
        for line in 0..(N * WIDE * size_of::<E>()).div_ceil(64) {
            prefetch(next.wrapping_add((tokens.from + t) * width).cast::<u8>().wrapping_add(64 * line));
        }
        let mut v = [s.wide_splat(0.0); N];
        for n in 0..N {
            // SAFETY: checked above: the token is inside the page and the vector inside its row.
            v[n] = E::load(s, unsafe { at(values, (tokens.from + t) * width + first + n * WIDE) });
        }
        if E::SCALED {
            // SAFETY: checked above: there is a scale for every token below `to`.
            let scale = s.wide_splat(unsafe { *head.value_scales.get_unchecked(tokens.from + t) });
            for n in 0..N {
                v[n] = s.wide_mul(v[n], scale);
            }
        }
        for m in 0..M {
            debug_assert!((line + m) * stride + tokens.place + t < p.len());
            // SAFETY: checked above: the place is inside the line, and the line inside `p`.
            let p = s.wide_splat(unsafe { *p.get_unchecked((line + m) * stride + tokens.place + t) });
            for n in 0..N {
                acc[m][n] = s.wide_mul_add(p, v[n], acc[m][n]);
            }
        }
    }
    for m in 0..M {
        // SAFETY: as above.
        let sums = unsafe { out.range(line + m, first..first + N * WIDE) };
        let (sums, _) = sums.as_chunks_mut();
        for n in 0..N {
            s.wide_store(acc[m][n], &mut sums[n]);
        }
    }
}

/// The vector of `x` that begins at `at`.
///
/// # Safety
/// `at + WIDE` must not exceed the length of `x`.
#[inline(always)]
unsafe fn at<T>(x: &[T], at: usize) -> &[T; WIDE] {
    debug_assert!(at + WIDE <= x.len());
    // SAFETY: the caller promises that the elements are inside `x`.
    unsafe { &*x.as_ptr().add(at).cast() }
}

#[inline(always)]
fn padded(x: &[f32]) -> [f32; WIDE] {
    let mut lanes = [0.0; WIDE];
    lanes.iter_mut().zip(x).for_each(|(lane, x)| *lane = *x);
    lanes
}
