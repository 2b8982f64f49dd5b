//! Products in plain Rust: the definition that every other instruction set reproduces bit for bit.
//!
//! Lane `i` of eight collects elements `4i..4i+4` of every run of 32, exactly in integers up to the end of a block;
//! then, block by block in order, one fused multiply-add per lane brings in the real scale. One fixed sum of the lanes
//! ends the row.

use super::Job;
use super::panel::Panel;
use super::unpack::{half_at, has_min32, minimums256};
use crate::kernels::activations::{ColumnQ8, ColumnQ8K};
use crate::quant::QuantType;
use crate::simd::{LANES, Scalar, Simd};
use half::bf16;
use std::ops::Range;

/// The products of rows `rows` with every column.
pub(super) fn rows(job: &Job<'_>, rows: Range<usize>) {
    let (w, acts) = (job.w, job.acts);
    match w.ty().block_len() {
        1 => {
            let mut row = vec![0.0; w.cols().next_multiple_of(LANES)];
            for r in rows {
                widen(w.ty(), w.row(r), &mut row);
                (0..acts.n()).for_each(|c| job.put(r, c, dot_float(&row, acts.float(w.ty(), c))));
            }
        }
        32 => {
            let mut panel = Panel::new(w, 1);
            for r in rows {
                panel.unpack(w, r, 0);
                (0..acts.n()).for_each(|c| job.put(r, c, dot32(&panel, has_min32(w.ty()), acts.q8(c))));
            }
        }
        _ => {
            let mut panel = Panel::new(w, 1);
            for r in rows {
                panel.unpack(w, r, 0);
                (0..acts.n()).for_each(|c| job.put(r, c, dot256(&panel, minimums256(w.ty()), acts.q8k(c))));
            }
        }
    }
}

/// A row of floats as f32; what lies beyond it in `out` stays zero.
fn widen(ty: QuantType, row: &[u8], out: &mut [f32]) {
    match ty {
        QuantType::F16 => out.iter_mut().zip(row.chunks_exact(2)).for_each(|(out, b)| *out = half_at(b, 0)),
        QuantType::BF16 => {
            let values = row.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32());
            out.iter_mut().zip(values).for_each(|(out, x)| *out = x);
        }
        _ => out.iter_mut().zip(row.as_chunks().0).for_each(|(out, b)| *out = f32::from_le_bytes(*b)),
    }
}

fn dot_float(w: &[f32], x: &[f32]) -> f32 {
    let (s, lanes) = (Scalar, w.as_chunks().0.iter().zip(x.as_chunks().0));
    s.sum(lanes.fold(s.splat(0.0), |acc, (w, x)| s.mul_add(*w, *x, acc)))
}

fn dot32(panel: &Panel, min: bool, x: ColumnQ8<'_>) -> f32 {
    let s = Scalar;
    let mut acc = s.splat(0.0);
    let quants = panel.q.as_chunks::<32>().0.iter().zip(x.q.as_chunks::<32>().0);
    for ((wq, xq), (wd, xd)) in quants.zip(panel.d.iter().zip(x.d)) {
        acc = s.mul_add(quads(wq, xq).map(|sum| sum as f32), s.splat(wd * xd), acc);
    }
    if min {
        for (m, sums) in panel.m.as_chunks().0.iter().zip(x.s.as_chunks().0) {
            acc = s.mul_add(*m, *sums, acc);
        }
    }
    s.sum(acc)
}

fn dot256(panel: &Panel, (min, bias): (bool, i32), x: ColumnQ8K<'_>) -> f32 {
    let s = Scalar;
    let mut acc = s.splat(0.0);
    let quants = panel.q.as_chunks::<256>().0.iter().zip(x.q.as_chunks::<256>().0);
    for (b, (wq, xq)) in quants.enumerate() {
        let mut total = [0i32; LANES];
        for (g, (wq, xq)) in wq.as_chunks::<32>().0.iter().zip(xq.as_chunks::<32>().0).enumerate() {
            let lanes = quads(wq, xq);
            // The first four lanes hold the group's even 16, the last four its odd 16.
            total = std::array::from_fn(|i| total[i] + lanes[i] * i32::from(panel.scales[b][g + 8 * (i / 4)]));
        }
        let (mins, sums) = (&panel.mins[b], &x.sums[16 * b..][..16]);
        let pair = |i: usize| i32::from(mins[i]) * i32::from(sums[i]);
        let pairs: [i32; LANES] = std::array::from_fn(|i| pair(2 * i) + pair(2 * i + 1));
        let total: [i32; LANES] = std::array::from_fn(|i| total[i] - bias * pairs[i]);
        acc = s.mul_add(total.map(|sum| sum as f32), s.splat(panel.d[b] * x.d[b]), acc);
        if min {
            acc = s.mul_add(pairs.map(|sum| sum as f32), s.splat(-(panel.m[b] * x.d[b])), acc);
        }
    }
    s.sum(acc)
}

/// Sums of four neighbouring products.
fn quads(w: &[i8; 32], x: &[i8; 32]) -> [i32; LANES] {
    std::array::from_fn(|i| (4 * i..4 * i + 4).map(|j| i32::from(w[j]) * i32::from(x[j])).sum())
}
