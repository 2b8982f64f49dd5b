//! Products of quantized matrices with columns of inputs.
//!
//! An output is the same sequence of operations whatever the number of columns, of threads, or the split of rows, so a
//! branch decoded alone and among others gives the same bits; and integer sums are exact, so that every instruction set
//! gives them too.

mod blocks256;
mod blocks32;
mod dot;
mod float;
mod sweep;

use self::dot::Dot;
use super::activations::{TILE, TileQ8, TileQ8K};
use super::packed::{GROUP_ROWS, GroupLayout, PackedMatrix};
use super::{Activation, Activations};
use crate::error::{Error, Result};
use crate::exec::{Shards, Team};
use crate::simd::{Isa, prefetch};
use std::ops::Range;

/// Products below which handing a part to another thread costs more than it saves.
const PART_PRODUCTS: usize = 1 << 16;
/// Parts that each thread gets, so that one that is held up does not hold up the others for long.
const PARTS_PER_THREAD: usize = 8;
/// Bytes of weights that stay in the second-level cache while tiles of columns sweep over them.
const STRIP_BYTES: usize = 1 << 17;

/// How far ahead of its use a block of weights is asked for: single columns outrun the hardware's own prefetch.
const PREFETCH_BYTES: usize = 4096;

/// One matrix of a [`matmul`], and what becomes of its products.
pub struct Product<'a> {
    /// The weights.
    pub w: &'a PackedMatrix,
    /// One number per row, added to every column.
    pub bias: Option<&'a [f32]>,
    /// `[column][row]`.
    pub out: &'a mut [f32],
    /// Whether the products are added to what `out` holds.
    pub add: bool,
}

/// `out[column][row] = w[row] . input[column] + bias[row]` for every column of `acts` and each of `products`.
///
/// `acts` must hold `w.cols()` inputs per column in the form for the format of `w`, and `out` `acts.n() * w.rows()` values.
pub fn matmul(team: &Team, isa: Isa, acts: &Activations, products: Vec<Product<'_>>) -> Result<()> {
    let jobs = products.into_iter().map(|p| Job::new(acts, p, None)).collect::<Result<Vec<_>>>()?;
    run(team, isa, &jobs);
    Ok(())
}

/// `out = f(gate) * up` with the products of `up` in place, where `gate` is another matrix of the same shape.
pub fn matmul_gated(
    team: &Team,
    isa: Isa,
    acts: &Activations,
    f: Activation,
    gate: (&PackedMatrix, Option<&[f32]>),
    up: Product<'_>,
) -> Result<()> {
    run(team, isa, &[Job::new(acts, up, Some((f, gate.0, gate.1)))?]);
    Ok(())
}

fn run(team: &Team, isa: Isa, jobs: &[Job<'_>]) {
    let groups: usize = jobs.iter().map(|job| job.w.groups()).sum();
    let products: usize = jobs.iter().map(|job| job.w.rows().saturating_mul(job.w.cols()) * job.acts.n()).sum();
    let parts = (products / PART_PRODUCTS).clamp(1, team.threads() * PARTS_PER_THREAD).min(groups.max(1));
    team.run(parts, &|part| {
        let mine = groups * part / parts..groups * (part + 1) / parts;
        let mut first = 0;
        for job in jobs {
            let end = first + job.w.groups();
            let here = mine.start.clamp(first, end) - first..mine.end.clamp(first, end) - first;
            if !here.is_empty() {
                job.groups(isa, here);
            }
            first = end;
        }
    });
}

/// One checked product. Disjoint ranges of groups may be computed at the same time.
struct Job<'a> {
    w: &'a PackedMatrix,
    gate: Option<(Activation, &'a PackedMatrix, Option<&'a [f32]>)>,
    acts: &'a Activations,
    bias: Option<&'a [f32]>,
    out: Shards<'a, f32>,
    add: bool,
}

/// The columns of one tile, in both forms; those that were not filled are empty.
#[derive(Clone, Copy)]
struct Tile<'a> {
    q8: &'a TileQ8<'a>,
    q8k: &'a TileQ8K<'a>,
}

/// A format whose groups the sweeps can multiply.
trait Weights {
    /// `acc[column][row]` = one group times the columns of `x`.
    ///
    /// # Safety
    /// Needs the instructions of `d`; `group` must be a group of this format and layout with as many blocks as `x`, in
    /// the form for the format; `acc` must have room for sixteen numbers a column.
    unsafe fn products<D: Dot>(d: D, group: *const u8, layout: &GroupLayout, x: Tile<'_>, acc: *mut f32);
}

impl<'a> Job<'a> {
    fn new(
        acts: &'a Activations,
        product: Product<'a>,
        gate: Option<(Activation, &'a PackedMatrix, Option<&'a [f32]>)>,
    ) -> Result<Self> {
        let Product { w, bias, out, add } = product;
        if acts.k() != w.cols() || !acts.is_ready(w.ty()) {
            let (k, cols, ty) = (acts.k(), w.cols(), w.ty());
            return Err(Error::invalid(format!("{k} inputs were not prepared for rows of {cols} in {ty:?}")));
        }
        if w.rows().checked_mul(acts.n()) != Some(out.len()) {
            let (len, n, rows) = (out.len(), acts.n(), w.rows());
            return Err(Error::invalid(format!("{len} outputs for {n} columns of {rows} rows")));
        }
        let gate_fits = gate.is_none_or(|(_, gate, bias)| {
            (gate.rows(), gate.cols()) == (w.rows(), w.cols())
                && acts.is_ready(gate.ty())
                && bias.is_none_or(|b| b.len() == w.rows())
        });
        if !gate_fits || bias.is_some_and(|b| b.len() != w.rows()) {
            return Err(Error::invalid(format!("a gate or a bias does not fit a matrix of {} rows", w.rows())));
        }
        Ok(Self { w, gate, acts, bias, out: Shards::new(out), add })
    }

    /// All columns of some groups: a strip of them at a time, tile by tile.
    fn groups(&self, isa: Isa, groups: Range<usize>) {
        let strip = (STRIP_BYTES / self.w.layout().group.max(1)).max(1);
        let (mut acc, mut gated) = ([0.0; GROUP_ROWS * TILE], [0.0; GROUP_ROWS * TILE]);
        for first in groups.clone().step_by(strip) {
            for t in 0..self.acts.tiles() {
                let (q8, q8k) = (self.acts.q8(t), self.acts.q8k(t));
                let tile = Tile { q8: &q8, q8k: &q8k };
                let used = GROUP_ROWS * self.acts.width(t);
                for group in first..(first + strip).min(groups.end) {
                    self.products(isa, self.w, group, t, tile, &mut acc);
                    add_bias(self.bias, group, &mut acc[..used]);
                    if let Some((f, gate, bias)) = self.gate {
                        self.products(isa, gate, group, t, tile, &mut gated);
                        add_bias(bias, group, &mut gated[..used]);
                        f.mul(isa, &mut gated[..used], &acc[..used]);
                        self.put(group, t, &gated[..used]);
                    } else {
                        self.put(group, t, &acc[..used]);
                    }
                }
            }
        }
    }

    fn products(
        &self,
        isa: Isa,
        w: &PackedMatrix,
        group: usize,
        t: usize,
        x: Tile<'_>,
        acc: &mut [f32; GROUP_ROWS * TILE],
    ) {
        if w.ty().block_len() == 1 {
            float::products(isa, w, group, &self.acts.float(w.ty())[t * TILE * w.cols()..], self.acts.width(t), acc);
        } else {
            dot::products(isa, w, group, x, acc);
        }
    }

    /// The products of a group with the columns of tile `t`, `[column][row]`, to the output.
    fn put(&self, group: usize, t: usize, acc: &[f32]) {
        let (rows, first) = (self.w.rows(), group * GROUP_ROWS);
        let used = GROUP_ROWS.min(rows - first);
        for (c, acc) in acc.as_chunks::<GROUP_ROWS>().0.iter().enumerate() {
            let at = (t * TILE + c) * rows + first;
            // SAFETY: `run` gives every part its own groups, so no other part writes these rows.
            let out = unsafe { self.out.range(at..at + used) };
            if self.add {
                out.iter_mut().zip(acc).for_each(|(out, acc)| *out += acc);
            } else {
                out.copy_from_slice(&acc[..used]);
            }
        }
    }
}

/// Asks for the `len` bytes that come [`PREFETCH_BYTES`] after `p`.
#[inline(always)]
fn prefetch_after(p: *const u8, len: usize) {
    for line in 0..len / 64 {
        prefetch(p.wrapping_add(PREFETCH_BYTES + 64 * line));
    }
}

fn add_bias(bias: Option<&[f32]>, group: usize, acc: &mut [f32]) {
    if let Some(bias) = bias {
        let bias = &bias[group * GROUP_ROWS..];
        for acc in acc.as_chunks_mut::<GROUP_ROWS>().0 {
            acc.iter_mut().zip(bias).for_each(|(acc, bias)| *acc += bias);
        }
    }
}

#[cfg(test)]
mod tests;
