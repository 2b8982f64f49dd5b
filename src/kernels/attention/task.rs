//! One head of one cluster: scores, softmax, weighted sums of values.

use super::Job;
use super::page::{Head, KvType};
use super::plan::{Cluster, Piece};
use super::tile::{self, Element, Lines, Queries, Tokens};
use crate::exec::Shards;
use crate::kernels::softmax::exp_minus_max;
use crate::simd::{Isa, LANES, Simd, dispatch, tanh};
use half::f16;
use std::ops::Range;

/// One head of one cluster. A line is one query head of one row.
pub(super) struct Task<'a> {
    pub job: &'a Job<'a>,
    pub cluster: &'a Cluster,
    pub head: usize,
}

impl Task<'_> {
    fn lines(&self) -> usize {
        self.cluster.rows.len() * self.job.of.shape.n_group
    }

    /// The elements of a line's query head in `q` and `out`.
    #[inline(always)]
    fn elements(&self, line: usize) -> Range<usize> {
        let shape = &self.job.of.shape;
        let row = &self.job.of.plan.rows[self.cluster.rows.start + line / shape.n_group];
        let head = self.head * shape.n_group + line % shape.n_group;
        let start = row.query * shape.width() + head * shape.head_dim;
        start..start + shape.head_dim
    }

    #[inline(always)]
    fn heads_of<E: Element>(&self, piece: &Piece, next: &Piece) -> [Head<'_, E>; 2] {
        let of = self.job.of;
        [piece, next].map(|piece| of.pages[piece.page as usize].head(of.layout, of.layer, self.head))
    }

    #[inline(always)]
    fn tokens(&self, piece: &Piece) -> Tokens {
        Tokens { from: piece.from, to: piece.to, place: piece.position - self.cluster.base }
    }

    #[inline(always)]
    fn lines_of(&self, piece: &Piece) -> Range<usize> {
        let group = self.job.of.shape.n_group;
        piece.first_row * group..piece.end_row * group
    }
}

/// Every piece and the one after it; the last is its own.
fn with_next(pieces: &[Piece]) -> impl Iterator<Item = (&Piece, &Piece)> {
    pieces.iter().zip(pieces.iter().skip(1).chain(pieces.last()))
}

/// A whole task, in a buffer of its own.
pub(super) fn whole(isa: Isa, task: &Task<'_>, buffer: &mut [f32]) {
    let (lines, padded) = (task.lines(), task.job.of.layout.padded_dim());
    let (scores, buffer) = buffer.split_at_mut(lines * task.cluster.stride);
    let (sums, buffer) = buffer.split_at_mut(lines * padded);
    let (queries, factors) = buffer.split_at_mut(lines * padded);
    let pieces = &task.job.of.plan.pieces[task.cluster.pieces.clone()];
    scores_of(isa, task, pieces, queries, &Shards::new(&mut *scores), 0);
    let rows = scores.chunks_exact_mut(task.cluster.stride).zip(&mut *factors);
    rows.enumerate().for_each(|(line, (row, factor))| *factor = soften(isa, task, line, row));
    values_of(isa, task, 0..padded, scores, factors, &Shards::new(sums), 0);
}

dispatch! {
    pub(super) fn scores_of(task: &Task<'_>, pieces: &[Piece], queries: &mut [f32], scores: &Shards<'_, f32>, first: usize)
        = scores_of_with
}
dispatch! { pub(super) fn soften(task: &Task<'_>, line: usize, scores: &mut [f32]) -> f32 = soften_with }
dispatch! {
    pub(super) fn values_of(
        task: &Task<'_>,
        dims: Range<usize>,
        scores: &[f32],
        factors: &[f32],
        sums: &Shards<'_, f32>,
        first: usize,
    ) = values_of_with
}

/// Scores of all lines with the tokens of `pieces`; the task's lines are those of `scores` from `first` on.
#[inline(always)]
fn scores_of_with<S: Simd>(
    s: S,
    task: &Task<'_>,
    pieces: &[Piece],
    queries: &mut [f32],
    scores: &Shards<'_, f32>,
    first: usize,
) {
    let (lines, dim, stride) = (task.lines(), task.job.of.shape.head_dim, task.cluster.stride);
    for line in 0..lines {
        let q = &task.job.q[task.elements(line)];
        queries[line..].iter_mut().step_by(lines).zip(q).for_each(|(out, q)| *out = *q);
    }
    let q = Queries { data: queries, dim, lines, scale: task.job.of.shape.scale };
    let out = Lines { data: scores, first: first * stride, stride };
    for (piece, next) in with_next(pieces) {
        let (tokens, lines) = (task.tokens(piece), task.lines_of(piece));
        match task.job.of.layout.ty {
            KvType::F16 => tile::score(s, task.heads_of::<f16>(piece, next).each_ref(), tokens, &q, lines, out),
            KvType::Q8 => tile::score(s, task.heads_of::<i8>(piece, next).each_ref(), tokens, &q, lines, out),
        }
    }
}

/// Replaces the scores of a line by `e^(score - max)`; one over their sum.
#[inline(always)]
fn soften_with<S: Simd>(s: S, task: &Task<'_>, line: usize, scores: &mut [f32]) -> f32 {
    let (shape, base) = (&task.job.of.shape, task.cluster.base);
    let row = &task.job.of.plan.rows[task.cluster.rows.start + line / shape.n_group];
    let (start, end) = (row.start - base, row.end - base);
    // Whole vectors of absolute positions; those out of sight take part as minus infinity.
    let (low, high) = (start / LANES * LANES, end.next_multiple_of(LANES));
    scores[low..start].fill(f32::NEG_INFINITY);
    scores[end..high].fill(f32::NEG_INFINITY);
    let (seen, _) = scores[low..high].as_chunks_mut();
    if let Some(cap) = shape.soft_cap {
        soft_cap(s, seen, cap);
    }
    1.0 / exp_minus_max(s, seen)
}

#[inline(always)]
fn soft_cap<S: Simd>(s: S, scores: &mut [[f32; LANES]], cap: f32) {
    let (cap, lowest) = (s.splat(cap), s.splat(f32::MIN));
    for scores in scores {
        let x = s.load(scores);
        let capped = s.mul(cap, tanh(s, s.div(x, cap)));
        // Minus infinity marks positions out of sight and must stay so.
        s.store(s.select_lt(x, lowest, x, capped), scores);
    }
}

/// The elements `dims` of the weighted sums of all values, written to the output; the task's lines are those of `scores`
/// and `sums` from `first` on.
#[inline(always)]
fn values_of_with<S: Simd>(
    s: S,
    task: &Task<'_>,
    dims: Range<usize>,
    scores: &[f32],
    factors: &[f32],
    sums: &Shards<'_, f32>,
    first: usize,
) {
    let (lines, stride) = (task.lines(), task.cluster.stride);
    let (dim, padded) = (task.job.of.shape.head_dim, task.job.of.layout.padded_dim());
    let sums_of = |line: usize| {
        let at = (first + line) * padded;
        // SAFETY: these lines are this task's, these elements of them this part's, and nothing else is borrowed now.
        unsafe { sums.range(at + dims.start..at + dims.end) }
    };
    (0..lines).for_each(|line| sums_of(line).fill(0.0));
    let p = (&scores[first * stride..(first + lines) * stride], stride);
    let out = Lines { data: sums, first: first * padded, stride: padded };
    for (piece, next) in with_next(&task.job.of.plan.pieces[task.cluster.pieces.clone()]) {
        let (tokens, lines, dims) = (task.tokens(piece), task.lines_of(piece), dims.clone());
        match task.job.of.layout.ty {
            KvType::F16 => tile::sum(s, task.heads_of::<f16>(piece, next).each_ref(), tokens, p, lines, dims, out),
            KvType::Q8 => tile::sum(s, task.heads_of::<i8>(piece, next).each_ref(), tokens, p, lines, dims, out),
        }
    }
    for line in 0..lines {
        let to = task.elements(line);
        let to = to.start + dims.start..(to.start + dims.end).min(to.start + dim);
        // SAFETY: a query head has one line in one task, and these elements of it are this part's.
        let out = unsafe { task.job.out.range(to) };
        let factor = factors[first + line];
        out.iter_mut().zip(&*sums_of(line)).for_each(|(out, sum)| *out = sum * factor);
    }
}
