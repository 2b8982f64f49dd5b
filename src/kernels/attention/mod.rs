//! Attention of many tokens over a tree of paths: tokens that several paths share are read once for all of them.
//!
//! Scores lie by absolute position, sums run over lanes by absolute position and values are added in order of position,
//! so a token's result does not depend on which others are computed with it or how its path is cut into pages. That
//! every query goes on through its own path with the sums it has is what makes a merge of partial softmaxes needless.

mod page;
mod plan;
mod store;
mod tile;

pub use page::{KvLayout, KvPage, KvType, PAGE_TOKENS};
pub use plan::{AttentionPlan, Query, Stretch, attention_scratch_bytes};
pub use store::{KvSlot, store_keys_values};

use crate::exec::{Shards, Team};
use crate::simd::{Isa, LANES, Simd, WIDE, dispatch, tanh};
use half::f16;
use plan::{Cluster, Piece, Split, line_elements};
use std::ops::Range;
use tile::{Element, Lines, Queries, Tokens};

/// Sizes that all layers share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Elements of a head.
    pub head_dim: usize,
    /// Heads of keys and values.
    pub n_head_kv: usize,
    /// Query heads that read the same keys and values.
    pub n_group: usize,
    /// Factor on the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
}

impl AttentionShape {
    fn width(&self) -> usize {
        self.n_head_kv * self.n_group * self.head_dim
    }
}

/// One layer's keys and values, and who reads what of them.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Sizes; those that [`plan`](Self::plan) was made for.
    pub shape: AttentionShape,
    /// Where keys and values lie in a page.
    pub layout: KvLayout,
    /// The layer.
    pub layer: usize,
    /// All pages.
    pub pages: &'a [KvPage],
    /// The pass's plan.
    pub plan: &'a AttentionPlan,
}

/// For every query head of every token of `q` (`[token][head][head_dim]`): softmax of `scale * q . key` over the positions
/// that the token sees, then the weighted sum of their values into `out`, which is as long as `q`.
///
/// Probabilities stay f32. `scratch` is kept between calls so that nothing is allocated.
pub fn attention(team: &Team, isa: Isa, attention: &Attention<'_>, q: &[f32], scratch: &mut Vec<f32>, out: &mut [f32]) {
    let plan = attention.plan;
    assert!(q.len() >= plan.rows.len() * attention.shape.width() && out.len() >= q.len());
    let job = Job { of: attention, q, out: &Shards::new(out) };
    match &plan.split {
        Split::Tasks(edges) => job.tasks(team, isa, edges, scratch),
        Split::Inside(threads) => {
            plan.clusters.iter().for_each(|cluster| job.inside(team, isa, cluster, *threads, scratch));
        }
    }
}

struct Job<'a> {
    of: &'a Attention<'a>,
    q: &'a [f32],
    out: &'a Shards<'a, f32>,
}

/// One head of one cluster. A line is one query head of one row.
struct Task<'a> {
    job: &'a Job<'a>,
    cluster: &'a Cluster,
    head: usize,
}

/// One part's share of a cluster that all parts work on.
#[derive(Clone, Copy)]
struct Share {
    part: usize,
    parts: usize,
}

impl Share {
    fn of(self, n: usize) -> Range<usize> {
        n * self.part / self.parts..n * (self.part + 1) / self.parts
    }
}

impl Job<'_> {
    /// Every part computes whole tasks in a buffer of its own.
    fn tasks(&self, team: &Team, isa: Isa, edges: &[usize], scratch: &mut Vec<f32>) {
        let shape = &self.of.shape;
        let clusters = &self.of.plan.clusters;
        let len = |c: &Cluster| c.rows.len() * shape.n_group * (line_elements(shape, c.stride) + 1);
        let len = clusters.iter().map(len).max().unwrap_or(0).next_multiple_of(WIDE);
        let parts = edges.len().saturating_sub(1);
        let buffers = Shards::new(aligned(scratch, parts * len));
        team.run(parts, &|part| {
            // SAFETY: every part has its own buffer.
            let buffer = unsafe { buffers.range(part * len..(part + 1) * len) };
            for task in edges[part]..edges[part + 1] {
                let cluster = &clusters[task % clusters.len()];
                whole(isa, &Task { job: self, cluster, head: task / clusters.len() }, buffer);
            }
        });
    }

    /// All parts compute one cluster: scores by tokens, softmax by lines, values by elements.
    fn inside(&self, team: &Team, isa: Isa, cluster: &Cluster, parts: usize, scratch: &mut Vec<f32>) {
        let shape = &self.of.shape;
        let (lines, padded) = (cluster.rows.len() * shape.n_group, self.of.layout.padded_dim());
        let all = shape.n_head_kv * lines;
        let buffer = aligned(scratch, all * (cluster.stride + padded + 1) + parts * lines * padded);
        let (scores, buffer) = buffer.split_at_mut(all * cluster.stride);
        let (sums, buffer) = buffer.split_at_mut(all * padded);
        let (queries, factors) = buffer.split_at_mut(parts * lines * padded);
        let task = |head| Task { job: self, cluster, head };
        let data = Shards::new(&mut *scores);
        let queries = Shards::new(queries);
        team.run(parts, &|part| {
            // SAFETY: every part has its own buffer.
            let queries = unsafe { queries.range(part * lines * padded..(part + 1) * lines * padded) };
            let mut done = 0;
            for head in 0..shape.n_head_kv {
                let share = Share { part, parts }.of(shape.n_head_kv * cluster.work);
                let pieces = pieces_of(&self.of.plan.pieces[cluster.pieces.clone()], &mut done, share);
                if !pieces.is_empty() {
                    scores_of(isa, &task(head), pieces, queries, &data, head * lines);
                }
            }
        });
        let factor_shards = Shards::new(&mut *factors);
        team.run(parts, &|part| {
            for line in (Share { part, parts }).of(all) {
                let at = line * cluster.stride;
                // SAFETY: every line belongs to one part.
                let (scores, factor) =
                    unsafe { (data.range(at..at + cluster.stride), factor_shards.range(line..line + 1)) };
                factor[0] = soften(isa, &task(line / lines), line % lines, scores);
            }
        });
        let sums = Shards::new(sums);
        let (scores, factors) = (&*scores, &*factors);
        // Units of two vectors: enough independent sums to keep the arithmetic busy.
        let units = padded.div_ceil(2 * WIDE);
        team.run(parts, &|part| {
            let share = Share { part, parts }.of(shape.n_head_kv * units);
            for head in 0..shape.n_head_kv {
                let unit = |at: usize| at.clamp(head * units, (head + 1) * units) - head * units;
                let dims = unit(share.start) * 2 * WIDE..(unit(share.end) * 2 * WIDE).min(padded);
                if !dims.is_empty() {
                    values_of(isa, &task(head), dims, scores, factors, &sums, head * lines);
                }
            }
        });
    }
}

/// The pieces whose first token falls into `share` of all heads' tokens, of which `done` came before.
fn pieces_of<'a>(pieces: &'a [Piece], done: &mut usize, share: Range<usize>) -> &'a [Piece] {
    let mut range = pieces.len()..0;
    for (i, piece) in pieces.iter().enumerate() {
        if share.contains(done) {
            range = range.start.min(i)..i + 1;
        }
        *done += piece.work();
    }
    pieces.get(range).unwrap_or_default()
}

/// A whole task, in a buffer of its own.
fn whole(isa: Isa, task: &Task<'_>, buffer: &mut [f32]) {
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
    fn scores_of(task: &Task<'_>, pieces: &[Piece], queries: &mut [f32], scores: &Shards<'_, f32>, first: usize)
        = scores_of_with
}
dispatch! { fn soften(task: &Task<'_>, line: usize, scores: &mut [f32]) -> f32 = soften_with }
dispatch! {
    fn values_of(
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
    match task.job.of.layout.ty {
        KvType::F16 => {
            for piece in pieces {
                score_piece::<S, f16>(s, task, piece, &q, out);
            }
        }
        KvType::Q8 => {
            for piece in pieces {
                score_piece::<S, i8>(s, task, piece, &q, out);
            }
        }
    }
}

#[inline(always)]
fn score_piece<S: Simd, E: Element>(s: S, task: &Task<'_>, piece: &Piece, q: &Queries<'_>, out: Lines<'_>) {
    let head = task.head_of::<E>(piece);
    tile::score(s, &head, task.tokens(piece), q, task.lines_of(piece), out);
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
    1.0 / super::softmax::exp_minus_max(s, seen, None)
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
    for piece in &task.job.of.plan.pieces[task.cluster.pieces.clone()] {
        let (tokens, lines, dims) = (task.tokens(piece), task.lines_of(piece), dims.clone());
        match task.job.of.layout.ty {
            KvType::F16 => tile::sum(s, &task.head_of::<f16>(piece), tokens, p, lines, dims, out),
            KvType::Q8 => tile::sum(s, &task.head_of::<i8>(piece), tokens, p, lines, dims, out),
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
    fn head_of<E: Element>(&self, piece: &Piece) -> page::Head<'_, E> {
        let of = self.job.of;
        of.pages[piece.page as usize].head(of.layout, of.layer, self.head)
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

/// `len` elements on a cache line's edge.
fn aligned(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if scratch.len() < len + WIDE {
        scratch.reserve_exact(len + WIDE - scratch.len());
        scratch.resize(len + WIDE, 0.0);
    }
    let skip = scratch.as_ptr().align_offset(WIDE * size_of::<f32>()).min(WIDE);
    &mut scratch[skip..skip + len]
}

#[cfg(test)]
mod tests;
