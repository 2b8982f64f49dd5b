//! Attention of many tokens over a tree of paths: tokens that several paths share are read once for all of them.
//!
//! Scores lie by absolute position, sums run over lanes by absolute position and values are added in order of position,
//! so a token's result does not depend on which others are computed with it or how its path is cut into pages. That
//! every query goes on through its own path with the sums it has is what makes a merge of partial softmaxes needless.

mod page;
mod plan;
mod store;
mod task;
mod tile;

pub use page::{KvLayout, KvPage, KvType, PAGE_TOKENS};
pub use plan::{AttentionPlan, Query, Stretch, attention_scratch_bytes};
pub use store::{KvSlot, store_keys_values};

use crate::exec::{Shards, Team};
use crate::simd::{Isa, WIDE};
use plan::{Cluster, Piece, Split, line_elements};
use std::ops::Range;
use task::{Task, scores_of, soften, values_of, whole};

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
