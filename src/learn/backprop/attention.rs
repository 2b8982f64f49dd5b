//! Causal attention over a forest, forward and backward: every row sees the rows on its own path.
//!
//! Weights of the softmax are not kept but computed again on the way down, block of queries by block of queries (as in
//! FlashAttention, Dao et al., arXiv 2205.14135), so memory grows with the length of a path, not with its square.

use super::{Buffer, Compute, Forest, Segment};
use crate::error::Result;
use crate::exec::Team;
use crate::kernels::{self, Mat, gemm};
use crate::model::Config;

/// Queries whose weights are computed at once.
const BLOCK: usize = 64;

/// Attention of one layer.
pub(super) struct Attention<'a> {
    on: Compute<'a>,
    config: &'a Config,
    forest: &'a Forest,
    /// Positions that a row sees, itself included; all without it.
    window: Option<usize>,
}

/// Gradients at queries, keys and values, each `[row][head][head_dim]`.
pub(super) struct HeadGrads {
    pub q: Buffer,
    pub k: Buffer,
    pub v: Buffer,
}

impl<'a> Attention<'a> {
    pub fn new(on: Compute<'a>, config: &'a Config, forest: &'a Forest, layer: usize) -> Self {
        Self { on, config, forest, window: config.window_of(layer) }
    }

    /// The weighted values, `[row][head][head_dim]`.
    pub fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> Result<Buffer> {
        let (n, dim) = (self.forest.n_rows(), self.config.head_dim);
        let mut out = self.on.buffers.scratch(q.len());
        let failed = Failure::default();
        self.on.team.for_each_chunk_mut(&mut out, n * dim, |head, out| {
            failed.keep(self.head_forward(head, q, k, v, out));
        });
        failed.into_result()?;
        Ok(by_row(self.on, &out, n, dim))
    }

    /// The gradients, given that at the weighted values.
    pub fn backward(&self, q: &[f32], k: &[f32], v: &[f32], d_out: &[f32]) -> Result<HeadGrads> {
        let (n_head, n_head_kv, dim) = (self.config.n_head, self.config.n_head_kv, self.config.head_dim);
        let size = self.forest.n_rows() * dim;
        // Per query head the gradients at its queries and at its own view of keys and values.
        let buffers = self.on.buffers;
        let mut grads = buffers.zeros(3 * q.len());
        let failed = Failure::default();
        self.on.team.for_each_chunk_mut(&mut grads, 3 * size, |head, grads| {
            failed.keep(self.head_backward(head, [q, k, v, d_out], grads));
        });
        failed.into_result()?;
        let (mut dq, mut dk, mut dv) = (buffers.zeros(q.len()), buffers.zeros(k.len()), buffers.zeros(v.len()));
        for (head, grads) in grads.chunks_exact(3 * size).enumerate() {
            let kv_head = head / self.config.n_group();
            let parts = [(&mut dq, n_head, head), (&mut dk, n_head_kv, kv_head), (&mut dv, n_head_kv, kv_head)];
            for ((whole, heads, at), part) in parts.into_iter().zip(grads.chunks_exact(size)) {
                for (row, part) in whole.chunks_exact_mut(heads * dim).zip(part.chunks_exact(dim)) {
                    kernels::add(self.on.isa, &mut row[at * dim..(at + 1) * dim], part);
                }
            }
        }
        Ok(HeadGrads { q: dq, k: dk, v: dv })
    }

    /// One head's weighted values into `out`, `[row][head_dim]`.
    fn head_forward(&self, head: usize, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32]) -> Result<()> {
        let dim = self.config.head_dim;
        for segment in self.forest.segments() {
            let path = Path::new(self, segment, head, q, k, v);
            for first in (0..path.len()).step_by(BLOCK) {
                self.on.interrupt.check()?;
                let (weights, seen) = path.weights(first)?;
                let queries = first..(first + BLOCK).min(path.len());
                let rows = (segment.rows.start + queries.start) * dim..(segment.rows.start + queries.end) * dim;
                let (Some(out), Some(v)) = (out.get_mut(rows), path.v.get(..seen * dim)) else { continue };
                gemm(self.on.team, out, false, 1.0, Mat::new(&weights, queries.len(), seen), Mat::new(v, seen, dim))?;
            }
        }
        Ok(())
    }

    /// One head's gradients into `grads`: `[q, k, v][row][head_dim]`.
    ///
    /// With the weights `P`, `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P (dP - rowsum(P dP))`, `dQ = s dS K` and `dK = s dSᵀ Q`.
    fn head_backward(&self, head: usize, [q, k, v, d_out]: [&[f32]; 4], grads: &mut [f32]) -> Result<()> {
        let (team, dim, scale) = (self.on.team, self.config.head_dim, self.config.attention_scale);
        let size = self.forest.n_rows() * dim;
        let (dq, rest) = grads.split_at_mut(size);
        let (dk, dv) = rest.split_at_mut(size);
        for segment in self.forest.segments() {
            let path = Path::new(self, segment, head, q, k, v);
            let d_out = gather(d_out, std::slice::from_ref(&segment.rows), self.config.n_embd_q(), head, dim);
            let (mut dk_path, mut dv_path) = (vec![0.0; path.k.len()], vec![0.0; path.v.len()]);
            for first in (0..path.len()).step_by(BLOCK) {
                self.on.interrupt.check()?;
                let (weights, seen) = path.weights(first)?;
                let queries = first..(first + BLOCK).min(path.len());
                let (n, mine) = (queries.len(), queries.start * dim..queries.end * dim);
                let (d_out, q) = (Mat::new(&d_out[mine.clone()], n, dim), Mat::new(&path.q[mine.clone()], n, dim));
                let (k, v) = (Mat::new(&path.k, seen, dim), Mat::new(&path.v, seen, dim));
                let mut d_scores = vec![0.0; n * seen];
                gemm(team, &mut d_scores, false, 1.0, d_out, v.t())?;
                for (d, p) in d_scores.chunks_exact_mut(seen).zip(weights.chunks_exact(seen)) {
                    let mean: f32 = d.iter().zip(p).map(|(d, p)| d * p).sum();
                    d.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - mean));
                }
                gemm(team, &mut dv_path[..seen * dim], true, 1.0, Mat::new(&weights, n, seen).t(), d_out)?;
                gemm(team, &mut dk_path[..seen * dim], true, scale, Mat::new(&d_scores, n, seen).t(), q)?;
                let at = segment.rows.start * dim;
                let dq = &mut dq[at + mine.start..at + mine.end];
                gemm(team, dq, false, scale, Mat::new(&d_scores, n, seen), k)?;
            }
            for (rows, at) in path.ranges.iter().zip(&path.starts) {
                let (to, from) = (rows.start * dim..rows.end * dim, at * dim..(at + rows.len()) * dim);
                kernels::add(self.on.isa, &mut dk[to.clone()], &dk_path[from.clone()]);
                kernels::add(self.on.isa, &mut dv[to], &dv_path[from]);
            }
        }
        Ok(())
    }
}

/// One head's view of a segment: its queries, and keys and values of the whole path.
struct Path<'a> {
    team: &'a Team,
    scale: f32,
    window: Option<usize>,
    dim: usize,
    /// Rows of the path, and where they begin in `k` and `v`.
    ranges: Vec<std::ops::Range<usize>>,
    starts: Vec<usize>,
    /// Rows before the segment's own.
    before: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl<'a> Path<'a> {
    fn new(of: &Attention<'a>, segment: &Segment, head: usize, q: &[f32], k: &[f32], v: &[f32]) -> Self {
        let (config, dim) = (of.config, of.config.head_dim);
        let mut ranges = of.forest.prefix(segment);
        let before = ranges.iter().map(std::ops::Range::len).sum();
        ranges.push(segment.rows.clone());
        let starts = ranges.iter().scan(0, |at, rows| Some(std::mem::replace(at, *at + rows.len()))).collect();
        let (width, kv_head) = (config.n_embd_kv(), head / config.n_group());
        Self {
            team: of.on.team,
            scale: config.attention_scale,
            window: of.window,
            dim,
            before,
            q: gather(q, std::slice::from_ref(&segment.rows), config.n_embd_q(), head, dim),
            k: gather(k, &ranges, width, kv_head, dim),
            v: gather(v, &ranges, width, kv_head, dim),
            ranges,
            starts,
        }
    }

    /// Queries.
    fn len(&self) -> usize {
        self.q.len() / self.dim
    }

    /// The softmax of a block of queries from `first` on, `[query][seen]`, and how many rows of the path the block sees.
    fn weights(&self, first: usize) -> Result<(Vec<f32>, usize)> {
        let queries = first..(first + BLOCK).min(self.len());
        let seen = self.before + queries.end;
        let mut weights = vec![0.0; queries.len() * seen];
        let q = Mat::new(&self.q[queries.start * self.dim..queries.end * self.dim], queries.len(), self.dim);
        gemm(self.team, &mut weights, false, self.scale, q, Mat::new(&self.k, seen, self.dim).t())?;
        for (query, row) in queries.zip(weights.chunks_exact_mut(seen)) {
            let end = self.before + query + 1;
            let start = self.window.map_or(0, |window| end.saturating_sub(window));
            softmax(&mut row[start..end]);
            row[..start].fill(0.0);
            row[end..].fill(0.0);
        }
        Ok((weights, seen))
    }
}

fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in row.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    row.iter_mut().for_each(|x| *x /= sum);
}

/// One head of these rows: `[row][dim]` out of `[row][width]`.
fn gather(x: &[f32], ranges: &[std::ops::Range<usize>], width: usize, head: usize, dim: usize) -> Vec<f32> {
    let rows = ranges.iter().flat_map(|rows| x[rows.start * width..rows.end * width].chunks_exact(width));
    rows.flat_map(|row| &row[head * dim..(head + 1) * dim]).copied().collect()
}

/// `[head][row][dim]` as `[row][head][dim]`.
fn by_row(on: Compute<'_>, x: &[f32], n: usize, dim: usize) -> Buffer {
    let n_head = x.len() / (n * dim).max(1);
    let mut out = on.buffers.scratch(x.len());
    for (i, out) in out.chunks_exact_mut(dim).enumerate() {
        out.copy_from_slice(&x[(i % n_head * n + i / n_head) * dim..][..dim]);
    }
    out
}

/// The first error of the parts of a job.
#[derive(Default)]
struct Failure(std::sync::Mutex<Option<crate::error::Error>>);

impl Failure {
    fn keep(&self, result: Result<()>) {
        if let Err(error) = result {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
