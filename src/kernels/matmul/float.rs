//! Weights that are floats: sixteen rows of a column at a time, in sums of 32 columns.

use super::prefetch_after;
use crate::kernels::activations::TILE;
use crate::kernels::packed::{GROUP_ROWS, PackedMatrix};
use crate::quant::QuantType::{BF16, F16};
use crate::simd::{Simd, WIDE, dispatch};
use bytemuck::Pod;
use half::{bf16, f16};

/// Columns of weights that are summed before they join the total, which keeps long rows accurate.
const RUN: usize = 32;

/// A float that weights are stored as.
trait Element: Pod {
    /// Sixteen of them, widened exactly.
    fn widen<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide;
}

impl Element for f32 {
    #[inline(always)]
    fn widen<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide {
        s.wide_load(x)
    }
}

impl Element for f16 {
    #[inline(always)]
    fn widen<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide {
        s.wide_load_f16(x)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen<S: Simd>(s: S, x: &[Self; WIDE]) -> S::Wide {
        let mut wide = [0.0; WIDE];
        wide.iter_mut().zip(x).for_each(|(wide, x)| *wide = f32::from_bits(u32::from(x.to_bits()) << 16));
        s.wide_load(&wide)
    }
}

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
    let bytes = &w.group(group)[..w.cols() * w.layout().block];
    let acc = &mut acc.as_chunks_mut::<GROUP_ROWS>().0[..n];
    acc.fill([0.0; GROUP_ROWS]);
    match w.ty() {
        F16 => columns::<S, f16>(s, bytes, x, acc),
        BF16 => columns::<S, bf16>(s, bytes, x, acc),
        _ => columns::<S, f32>(s, bytes, x, acc),
    }
}

#[inline(always)]
fn columns<S: Simd, E: Element>(s: S, bytes: &[u8], x: &[f32], acc: &mut [[f32; GROUP_ROWS]]) {
    // Groups begin at whole cache lines (`PackedMatrix::from_bytes`), so the cast is always possible.
    let weights: &[[E; WIDE]] = bytemuck::try_cast_slice(bytes).unwrap_or_default();
    let k = weights.len();
    for (run, weights) in weights.chunks(RUN).enumerate() {
        prefetch_after(weights.as_ptr().cast(), size_of_val(weights));
        for (c, acc) in acc.chunks_mut(4).enumerate() {
            let x = &x[4 * c * k + run * RUN..];
            match acc.len() {
                1 => sum::<S, E, 1>(s, weights, x, k, acc),
                2 => sum::<S, E, 2>(s, weights, x, k, acc),
                3 => sum::<S, E, 3>(s, weights, x, k, acc),
                _ => sum::<S, E, 4>(s, weights, x, k, acc),
            }
        }
    }
}

/// `acc[c] += Σ weights[i] * x[c * k + i]` for `C` columns.
#[inline(always)]
fn sum<S: Simd, E: Element, const C: usize>(
    s: S,
    weights: &[[E; WIDE]],
    x: &[f32],
    k: usize,
    acc: &mut [[f32; GROUP_ROWS]],
) {
    let mut sums = [s.wide_splat(0.0); C];
    assert!(x.len() >= (C - 1) * k + weights.len());
    for (i, w) in weights.iter().enumerate() {
        let w = E::widen(s, w);
        for (c, sum) in sums.iter_mut().enumerate() {
            // SAFETY: checked above.
            *sum = s.wide_mul_add(w, s.wide_splat(unsafe { *x.get_unchecked(c * k + i) }), *sum);
        }
    }
    for (acc, sum) in acc.iter_mut().zip(sums) {
        s.wide_store(s.wide_add(s.wide_load(acc), sum), acc);
    }
}
