//! Weights that are floats: sixteen rows of a column at a time, in sums of 32 columns.

use crate::kernels::activations::TILE;
use crate::kernels::packed::{GROUP_ROWS, PackedMatrix};
use crate::quant::QuantType::{BF16, F16};
use crate::simd::{Simd, WIDE, dispatch};
use half::{bf16, f16};

/// Columns of weights that are summed before they join the total, which keeps long rows accurate.
const RUN: usize = 32;

dispatch! {
    /// `acc[column][row]` = group `group` of `w` times the first `n` columns of `x`, `[column][k]`.
    pub(super) fn products(w: &PackedMatrix, group: usize, x: &[f32], n: usize, acc: &mut [f32; GROUP_ROWS * TILE])
        = products_with
}

#[inline(always)]
fn products_with<S: Simd>(
    s: S,
    w: &PackedMatrix,
    group: usize,
    x: &[f32],
    n: usize,
    acc: &mut [f32; GROUP_ROWS * TILE],
) {
    let k = w.cols();
    let acc = &mut acc.as_chunks_mut::<GROUP_ROWS>().0[..n];
    acc.fill([0.0; GROUP_ROWS]);
    let mut weights = [[0.0; WIDE]; RUN];
    for (run, bytes) in w.group(group).chunks(RUN * w.layout().block).take(k.div_ceil(RUN)).enumerate() {
        let first = run * RUN;
        let here = RUN.min(k - first);
        for (weights, bytes) in weights.iter_mut().zip(bytes.chunks_exact(w.layout().block)).take(here) {
            widen(s, w, bytes, weights);
        }
        for (c, acc) in acc.chunks_mut(4).enumerate() {
            let x = &x[4 * c * k + first..];
            match acc.len() {
                1 => sum::<S, 1>(s, &weights[..here], x, k, acc),
                2 => sum::<S, 2>(s, &weights[..here], x, k, acc),
                3 => sum::<S, 3>(s, &weights[..here], x, k, acc),
                _ => sum::<S, 4>(s, &weights[..here], x, k, acc),
            }
        }
    }
}

/// Sixteen weights of the matrix's format as f32.
#[inline(always)]
fn widen<S: Simd>(s: S, w: &PackedMatrix, bytes: &[u8], out: &mut [f32; WIDE]) {
    match w.ty() {
        F16 => {
            let mut halves = [f16::ZERO; WIDE];
            halves.iter_mut().zip(bytes.as_chunks().0).for_each(|(h, b)| *h = f16::from_le_bytes(*b));
            s.wide_store(s.wide_load_f16(&halves), out);
        }
        BF16 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, b)| *x = bf16::from_le_bytes(*b).to_f32()),
        _ => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, b)| *x = f32::from_le_bytes(*b)),
    }
}

/// `acc[c] += Σ weights[i] * x[c * k + i]` for `C` columns.
#[inline(always)]
fn sum<S: Simd, const C: usize>(s: S, weights: &[[f32; WIDE]], x: &[f32], k: usize, acc: &mut [[f32; GROUP_ROWS]]) {
    let mut sums = [s.wide_splat(0.0); C];
    assert!(x.len() >= (C - 1) * k + weights.len());
    for (i, w) in weights.iter().enumerate() {
        let w = s.wide_load(w);
        for (c, sum) in sums.iter_mut().enumerate() {
            // SAFETY: checked above.
            *sum = s.wide_mul_add(w, s.wide_splat(unsafe { *x.get_unchecked(c * k + i) }), *sum);
        }
    }
    for (acc, sum) in acc.iter_mut().zip(sums) {
        s.wide_store(s.wide_add(s.wide_load(acc), sum), acc);
    }
}
