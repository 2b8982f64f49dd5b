//! Weights in floating point.

use super::{neighbours, prefetch, sum, tiles};
use crate::kernels::matmul::Job;
use std::arch::x86_64::*;
use std::ops::Range;

/// One kind of number.
///
/// # Safety
/// `load` may read eight values at `p`, and needs avx2 and f16c.
pub(super) unsafe trait Number: Copy {
    const BYTES: usize;
    unsafe fn load(p: *const u8) -> __m256;
}

macro_rules! number {
    ($name:ident, $bytes:literal, |$p:ident| $load:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        // SAFETY: reads eight values.
        unsafe impl Number for $name {
            const BYTES: usize = $bytes;

            #[inline(always)]
            unsafe fn load($p: *const u8) -> __m256 {
                // SAFETY: the caller has avx2, f16c and eight values to read.
                unsafe { $load }
            }
        }
    };
}

number!(F32, 4, |p| _mm256_loadu_ps(p.cast()));
number!(F16, 2, |p| _mm256_cvtph_ps(_mm_loadu_si128(p.cast())));
number!(Bf16, 2, |p| {
    let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
});

/// The products of rows `rows` with every column.
///
/// # Safety
/// Needs avx2, fma and f16c; `rows` must lie in the matrix, which holds numbers `W`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rows<W: Number>(job: &Job<'_>, rows: Range<usize>) {
    for first in rows.clone().step_by(4) {
        let at: [usize; 4] = neighbours(first, rows.end);
        prefetch(job.w, first + 4..first + 8);
        for (c, width) in tiles(job.acts.n()) {
            // SAFETY: avx2, fma and f16c are on; the tiles cut the columns.
            unsafe {
                match width {
                    1 => tile::<W, 4, 1>(job, at, c),
                    2 => tile::<W, 4, 2>(job, at, c),
                    _ => {
                        for at in [[at[0], at[1]], [at[2], at[3]]] {
                            if width == 3 {
                                tile::<W, 2, 3>(job, at, c);
                            } else {
                                tile::<W, 2, 4>(job, at, c);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `R` rows times `C` columns from `first` on.
///
/// # Safety
/// Needs avx2, fma and f16c; there must be `first + C` columns, padded to whole vectors.
#[inline(always)]
unsafe fn tile<W: Number, const R: usize, const C: usize>(job: &Job<'_>, at: [usize; R], first: usize) {
    let (ty, k) = (job.w.ty(), job.w.cols());
    let x: [&[f32]; C] = std::array::from_fn(|c| job.acts.float(ty, first + c));
    let (w, x) = (at.map(|r| job.w.row(r)), x.map(<[f32]>::as_ptr));
    // SAFETY: the caller has the instructions; vector `i` is in every row and column; the last, partial vector of a row
    // is copied to an array of its own first.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); C]; R];
        for i in 0..k / 8 {
            for r in 0..R {
                let w = W::load(w[r].as_ptr().add(8 * i * W::BYTES));
                for c in 0..C {
                    acc[r][c] = _mm256_fmadd_ps(w, _mm256_loadu_ps(x[c].add(8 * i)), acc[r][c]);
                }
            }
        }
        if !k.is_multiple_of(8) {
            let done = k / 8 * 8;
            for r in 0..R {
                let mut tail = [0; 32];
                tail.iter_mut().zip(&w[r][done * W::BYTES..]).for_each(|(to, from)| *to = *from);
                let w = W::load(tail.as_ptr());
                for c in 0..C {
                    acc[r][c] = _mm256_fmadd_ps(w, _mm256_loadu_ps(x[c].add(done)), acc[r][c]);
                }
            }
        }
        for (r, acc) in at.into_iter().zip(acc) {
            for (c, acc) in acc.into_iter().enumerate() {
                job.put(r, first + c, sum(acc));
            }
        }
    }
}
