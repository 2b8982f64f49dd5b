//! What one pass attends to, computed once and the same for all layers: which queries share which tokens of which pages.

use super::AttentionShape;
use super::page::PAGE_TOKENS;
use crate::simd::WIDE;
use std::ops::Range;

/// Elements of scores, queries and sums that a thread works on: what a core's second-level cache holds.
const CLUSTER_ELEMENTS: usize = 1 << 17;
/// Multiply-adds below which waking the team costs more than it saves.
const SERIAL_WORK: usize = 1 << 17;

/// Consecutive tokens in one page of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// The page's index.
    pub page: u32,
    /// Tokens from the page's first one on, at most [`PAGE_TOKENS`].
    pub tokens: usize,
}

/// One token that attends: it sees the first `end` tokens of its path, itself being the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its path, as an index into the pass's paths.
    pub path: usize,
    /// Its position plus one.
    pub end: usize,
}

/// The queries in an order in which those that share a prefix are neighbours, and what they see.
#[derive(Debug, Default)]
pub struct AttentionPlan {
    pub(super) rows: Vec<Row>,
    pub(super) pieces: Vec<Piece>,
    pub(super) clusters: Vec<Cluster>,
    pub(super) split: Split,
}

/// One query: its index among the pass's queries, and the positions that it sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub query: usize,
    path: usize,
    pub start: usize,
    pub end: usize,
}

/// Tokens of one page that neighbouring rows see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub page: u32,
    pub from: usize,
    pub to: usize,
    /// Position of token `from`.
    pub position: usize,
    /// Rows of its cluster.
    pub first_row: usize,
    pub end_row: usize,
}

/// Neighbouring rows that are computed together, and their pieces in order of position.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub rows: Range<usize>,
    pub pieces: Range<usize>,
    /// Position of the first score of a line, on a vector's edge.
    pub base: usize,
    /// Elements from one line of scores to the next.
    pub stride: usize,
    /// Tokens seen, over all rows.
    pub work: usize,
}

/// How the work is shared out over the team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Split {
    /// Part `t` computes the tasks from edge `t` to edge `t + 1`; task `i` is head `i / clusters` of cluster
    /// `i % clusters`.
    Tasks(Vec<usize>),
    /// All parts work on the one cluster: on ranges of tokens, then of lines, then of elements of a head.
    Inside(usize),
}

impl Default for Split {
    fn default() -> Self {
        Self::Tasks(vec![0])
    }
}

impl Piece {
    pub fn tokens(&self) -> usize {
        self.to - self.from
    }

    pub fn work(&self) -> usize {
        self.tokens() * (self.end_row - self.first_row)
    }
}

impl AttentionPlan {
    /// The plan of `queries` over their `paths`, of which `window` limits each to the last so many positions.
    ///
    /// Takes time in proportion to the pages of all paths together.
    pub fn new<P: AsRef<[Stretch]>>(
        shape: &AttentionShape,
        threads: usize,
        window: Option<usize>,
        paths: &[P],
        queries: &[Query],
    ) -> Self {
        let rows = ordered(window, paths, queries);
        let mut plan = Self { rows, ..Self::default() };
        // Clusters of equal cost that come out even over the threads.
        let even = threads / greatest_common_divisor(threads, shape.n_head_kv).max(1);
        let inside = plan.rows.len() < even;
        let most = if inside { plan.rows.len() } else { plan.rows.len().div_ceil(even.max(1)) };
        let positions: Vec<Vec<usize>> = paths.iter().map(|path| starts(path.as_ref())).collect();
        let mut first = 0;
        while first < plan.rows.len() {
            let rows = if inside { 0..plan.rows.len() } else { plan.next_cluster(shape, first, most) };
            first = rows.end;
            plan.add_cluster(rows, paths, &positions);
        }
        plan.split = plan.shared_out(shape, threads, inside);
        plan
    }

    /// Bytes of the plan itself.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.clusters.capacity() * size_of::<Cluster>()
    }

    /// The most that the elements of a plan of so many queries take, whose paths have `stretches` parts, counted for each query.
    pub fn max_bytes(queries: usize, stretches: usize) -> u64 {
        let of_queries = queries.saturating_mul(size_of::<Row>() + size_of::<Cluster>());
        of_queries.saturating_add(stretches.saturating_mul(size_of::<Piece>())) as u64
    }

    /// As many rows from `first` on as fit the cache, at least one and at most `most`.
    fn next_cluster(&self, shape: &AttentionShape, first: usize, most: usize) -> Range<usize> {
        let (mut low, mut high, mut end) = (usize::MAX, 0, first);
        for row in self.rows[first..].iter().take(most) {
            (low, high) = (low.min(row.start), high.max(row.end));
            let line = line_elements(shape, stride(low, high));
            if end > first && (end + 1 - first) * shape.n_group * line > CLUSTER_ELEMENTS {
                break;
            }
            end += 1;
        }
        first..end
    }

    fn add_cluster<P: AsRef<[Stretch]>>(&mut self, rows: Range<usize>, paths: &[P], positions: &[Vec<usize>]) {
        let (pieces, members) = (self.pieces.len(), &self.rows[rows.clone()]);
        let low = members.iter().map(|r| r.start).min().unwrap_or(0);
        let high = members.iter().map(|r| r.end).max().unwrap_or(0);
        let stretches = members.iter().map(|r| paths[r.path].as_ref().len()).max().unwrap_or(0);
        let mut work = 0;
        for i in 0..stretches {
            let level = self.pieces.len();
            for (r, row) in members.iter().enumerate() {
                let path = (paths[row.path].as_ref().get(i), positions[row.path].get(i));
                let (Some(stretch), Some(&at)) = path else { continue };
                let to = row.end.saturating_sub(at).min(stretch.tokens.min(PAGE_TOKENS));
                let from = row.start.saturating_sub(at);
                if from >= to {
                    continue;
                }
                work += to - from;
                match self.pieces[level..].last_mut() {
                    Some(p) if (p.page, p.from, p.to, p.end_row) == (stretch.page, from, to, r) => p.end_row += 1,
                    _ => self.pieces.push(Piece {
                        page: stretch.page,
                        from,
                        to,
                        position: at + from,
                        first_row: r,
                        end_row: r + 1,
                    }),
                }
            }
        }
        let pieces = pieces..self.pieces.len();
        self.clusters.push(Cluster { rows, pieces, base: low / WIDE * WIDE, stride: stride(low, high), work });
    }

    fn shared_out(&self, shape: &AttentionShape, threads: usize, inside: bool) -> Split {
        let (heads, clusters) = (shape.n_head_kv, self.clusters.len());
        let all = heads * self.clusters.iter().map(|c| c.work).sum::<usize>();
        if all * shape.n_group * shape.head_dim * 2 < SERIAL_WORK {
            return Split::Tasks(vec![0, heads * clusters]);
        }
        if inside {
            return Split::Inside(threads);
        }
        let mut edges = vec![0];
        let mut done = 0;
        for task in 0..heads * clusters {
            // A task belongs where its middle lies.
            let middle = done + self.clusters[task % clusters].work / 2;
            while edges.len() < threads && middle * threads >= all * edges.len() {
                edges.push(task);
            }
            done += self.clusters[task % clusters].work;
        }
        edges.resize(threads + 1, heads * clusters);
        Split::Tasks(edges)
    }
}

/// Rows sorted by path, so that those under a common prefix are neighbours; a path's own by position.
fn ordered<P: AsRef<[Stretch]>>(window: Option<usize>, paths: &[P], queries: &[Query]) -> Vec<Row> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_unstable_by(|&a, &b| paths[a].as_ref().cmp(paths[b].as_ref()).then(a.cmp(&b)));
    let mut rank = vec![0; paths.len()];
    order.iter().enumerate().for_each(|(at, &path)| rank[path] = at);
    let row = |(query, q): (usize, &Query)| {
        let start = q.end.saturating_sub(window.unwrap_or(usize::MAX));
        Row { query, path: q.path, start, end: q.end }
    };
    let mut rows: Vec<Row> = queries.iter().enumerate().map(row).collect();
    rows.sort_unstable_by_key(|row| (rank[row.path], row.end, row.query));
    rows
}

/// The position of each stretch's first token.
fn starts(path: &[Stretch]) -> Vec<usize> {
    let mut next = 0;
    let start = |stretch: &Stretch| {
        next += stretch.tokens;
        next - stretch.tokens
    };
    path.iter().map(start).collect()
}

/// Elements from one line of scores over the positions `low..high` to the next: whole vectors, an odd number of them so
/// that neighbouring lines fall into different sets of the cache.
fn stride(low: usize, high: usize) -> usize {
    (high.saturating_sub(low / WIDE * WIDE).div_ceil(WIDE) | 1) * WIDE
}

/// Elements that one line takes: scores, its query and its sums.
pub(super) fn line_elements(shape: &AttentionShape, stride: usize) -> usize {
    stride + 2 * shape.head_dim.next_multiple_of(WIDE)
}

/// The most scratch, in bytes, that attention over up to `n_ctx` positions takes on `threads` threads.
pub fn attention_scratch_bytes(shape: &AttentionShape, threads: usize, n_ctx: usize) -> u64 {
    let (stride, padded) = (stride(0, n_ctx), shape.head_dim.next_multiple_of(WIDE));
    let row = shape.n_group.saturating_mul(line_elements(shape, stride) + WIDE);
    // A cluster that all threads work on has fewer rows than threads, for every head.
    let line = shape.n_head_kv.saturating_mul(stride + padded + 1).saturating_add(threads.saturating_mul(padded));
    let inside = shape.n_group.saturating_mul(threads.saturating_sub(1)).saturating_mul(line).saturating_add(WIDE);
    let tasks = threads.saturating_mul(row.max(CLUSTER_ELEMENTS + CLUSTER_ELEMENTS / 16)).saturating_add(WIDE);
    (inside.max(tasks) as u64).saturating_mul(size_of::<f32>() as u64)
}

fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
