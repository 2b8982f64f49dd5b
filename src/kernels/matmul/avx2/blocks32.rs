//! Weights in blocks of 32.

use super::{PANEL_COLUMNS, iq4_values, neighbours, nibbles, prefetch, sum, tiles};
use crate::kernels::activations::{ColumnQ8, padded_blocks};
use crate::kernels::matmul::Job;
use crate::kernels::matmul::panel::Panel;
use std::arch::x86_64::*;
use std::ops::Range;

/// One row of blocks.
///
/// # Safety
/// `quants` and `factors` may read only block `b` of the row, and need avx2 and f16c.
pub(super) unsafe trait Row: Copy {
    /// Whether quants can be negative.
    const SIGNED: bool;
    /// Whether a block adds a minimum times the sum of its inputs.
    const MIN: bool;
    /// Whether `factors` brings the minimum along.
    const PACKED: bool;
    /// The 32 quants of block `b`.
    unsafe fn quants(self, b: usize) -> __m256i;
    /// The scale of block `b` in lane 0; for packed rows with minimums, its minimum in lane 1.
    unsafe fn factors(self, b: usize) -> __m128;
}

/// A row as it lies in the file.
pub(super) trait Packed: Row {
    fn new(row: &[u8]) -> Self;
}

macro_rules! packed {
    ($name:ident, $bytes:literal, signed $signed:literal, min $min:literal, |$block:ident| $quants:expr) => {
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        pub(super) struct $name(*const u8);

        // SAFETY: reads stay inside the block's bytes.
        unsafe impl Row for $name {
            const SIGNED: bool = $signed;
            const MIN: bool = $min;
            const PACKED: bool = true;

            #[inline(always)]
            unsafe fn quants(self, b: usize) -> __m256i {
                // SAFETY: the caller has avx2 and a block `b` of this many bytes.
                unsafe {
                    let $block = self.0.add(b * $bytes);
                    $quants
                }
            }

            #[inline(always)]
            unsafe fn factors(self, b: usize) -> __m128 {
                // SAFETY: the caller has f16c and a block `b` of more than eight bytes, whose first two or four are
                // the factors.
                unsafe { _mm_cvtph_ps(_mm_loadl_epi64(self.0.add(b * $bytes).cast())) }
            }
        }

        impl Packed for $name {
            fn new(row: &[u8]) -> Self {
                Self(row.as_ptr())
            }
        }
    };
}

packed!(Q4_0, 18, signed true, min false, |p| _mm256_sub_epi8(nibbles(p.add(2)), _mm256_set1_epi8(8)));
packed!(Q4_1, 20, signed false, min true, |p| nibbles(p.add(4)));
packed!(Q5_0, 22, signed true, min false, |p| {
    // Without its fifth bit a value is 16 lower, which are the four high bits of a byte.
    let missing = _mm256_andnot_si256(bits(p.add(2)), _mm256_set1_epi8(-16));
    _mm256_or_si256(nibbles(p.add(6)), missing)
});
packed!(Q5_1, 24, signed false, min true, |p| {
    let fifth = _mm256_and_si256(bits(p.add(4)), _mm256_set1_epi8(16));
    _mm256_or_si256(nibbles(p.add(8)), fifth)
});
packed!(Q8_0, 34, signed true, min false, |p| _mm256_loadu_si256(p.add(2).cast()));
packed!(Iq4Nl, 18, signed true, min false, |p| iq4_values(nibbles(p.add(2))));

/// 32 bits at `p` as bytes of all ones or all zeros.
///
/// # Safety
/// Needs avx2; `p` must be readable for 4 bytes.
#[inline(always)]
unsafe fn bits(p: *const u8) -> __m256i {
    // SAFETY: the caller has avx2, and 4 bytes to read.
    unsafe {
        let all = _mm256_set1_epi32(p.cast::<i32>().read_unaligned());
        let byte = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let masked = _mm256_and_si256(_mm256_shuffle_epi8(all, byte), bit);
        _mm256_cmpeq_epi8(masked, bit)
    }
}

/// A row of a panel.
#[derive(Clone, Copy)]
struct Unpacked<const SIGNED: bool, const MIN: bool> {
    q: *const i8,
    d: *const f32,
}

// SAFETY: reads stay inside the row's blocks of 32 bytes and of one scale.
unsafe impl<const SIGNED: bool, const MIN: bool> Row for Unpacked<SIGNED, MIN> {
    const SIGNED: bool = SIGNED;
    const MIN: bool = MIN;
    const PACKED: bool = false;

    #[inline(always)]
    unsafe fn quants(self, b: usize) -> __m256i {
        // SAFETY: the caller has avx2 and a block `b`.
        unsafe { _mm256_loadu_si256(self.q.add(32 * b).cast()) }
    }

    #[inline(always)]
    unsafe fn factors(self, b: usize) -> __m128 {
        // SAFETY: the caller has avx2 and a block `b`.
        unsafe { _mm_load_ss(self.d.add(b)) }
    }
}

/// The products of rows `rows` with every column.
///
/// # Safety
/// Needs avx2, fma and f16c; `rows` must lie in the matrix, whose blocks `W` reads.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rows<W: Packed>(job: &Job<'_>, rows: Range<usize>) {
    // SAFETY: handed on from the caller.
    unsafe {
        if job.acts.n() < PANEL_COLUMNS {
            direct::<W>(job, rows);
        } else if W::SIGNED {
            swept::<W, Unpacked<true, false>>(job, rows, |q, d| Unpacked { q, d });
        } else {
            swept::<W, Unpacked<false, true>>(job, rows, |q, d| Unpacked { q, d });
        }
    }
}

/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn direct<W: Packed>(job: &Job<'_>, rows: Range<usize>) {
    let (blocks, padded) = (job.w.cols() / 32, padded_blocks(job.w.cols()));
    let mut mins = vec![0.0; 4 * padded];
    for first in rows.clone().step_by(4) {
        let at: [usize; 4] = neighbours(first, rows.end);
        prefetch(job.w, first + 4..first + 8);
        let w = at.map(|r| W::new(job.w.row(r)));
        // SAFETY: the caller has the instructions; rows have `blocks` blocks; there is room for their minimums.
        unsafe { all_columns(job, at, w, &mut mins, blocks) };
    }
}

/// # Safety
/// As [`rows`]; `row` must make a panel's row of its quants and scales.
#[inline(always)]
unsafe fn swept<W: Packed, U: Row>(job: &Job<'_>, rows: Range<usize>, row: impl Fn(*const i8, *const f32) -> U) {
    let (k, blocks, padded) = (job.w.cols(), job.w.cols() / 32, padded_blocks(job.w.cols()));
    let mut panel = Panel::new(job.w, 4);
    for first in rows.clone().step_by(4) {
        let at: [usize; 4] = neighbours(first, rows.end);
        prefetch(job.w, first + 4..first + 8);
        for (i, r) in at.into_iter().enumerate() {
            let w = W::new(job.w.row(r));
            let (q, _) = panel.q[i * k..(i + 1) * k].as_chunks_mut::<32>();
            let (d, m) = (&mut panel.d[i * padded..], &mut panel.m[i * padded..]);
            for (b, ((q, d), m)) in q.iter_mut().zip(d).zip(m).enumerate() {
                // SAFETY: the caller has the instructions and the row a block `b`; `q` is 32 writable bytes.
                unsafe {
                    _mm256_storeu_si256(q.as_mut_ptr().cast(), w.quants(b));
                    let factors = w.factors(b);
                    *d = _mm_cvtss_f32(factors);
                    *m = if W::MIN { _mm_cvtss_f32(_mm_movehdup_ps(factors)) } else { 0.0 };
                }
            }
        }
        let w = std::array::from_fn(|i| row(panel.q[i * k..].as_ptr(), panel.d[i * padded..].as_ptr()));
        // SAFETY: the caller has the instructions; panel rows have `blocks` blocks, and minimums padded with zeros.
        unsafe { all_columns::<U>(job, at, w, &mut panel.m, blocks) };
    }
}

/// Four rows times every column; packed rows leave their minimums in `mins`, others find them there.
///
/// # Safety
/// Needs avx2, fma and f16c; rows and columns must have `blocks` blocks, and `mins` room for four rows of them.
#[inline(always)]
unsafe fn all_columns<W: Row>(job: &Job<'_>, at: [usize; 4], w: [W; 4], mins: &mut [f32], blocks: usize) {
    let half = 2 * blocks.next_multiple_of(8);
    for (c, width) in tiles(job.acts.n()) {
        // SAFETY: the caller's promises; the tiles cut the columns.
        unsafe {
            match width {
                1 => tile::<W, 4, 1>(job, at, w, mins, c, blocks),
                2 => tile::<W, 4, 2>(job, at, w, mins, c, blocks),
                _ => {
                    for (i, mins) in [0, 2].into_iter().zip(mins.chunks_mut(half)) {
                        let (at, w) = ([at[i], at[i + 1]], [w[i], w[i + 1]]);
                        if width == 3 {
                            tile::<W, 2, 3>(job, at, w, mins, c, blocks);
                        } else {
                            tile::<W, 2, 4>(job, at, w, mins, c, blocks);
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
/// Needs avx2, fma and f16c; rows and columns must have `blocks` blocks, `mins` must have room for `R` rows of them,
/// and there must be `first + C` columns.
#[inline(always)]
unsafe fn tile<W: Row, const R: usize, const C: usize>(
    job: &Job<'_>,
    at: [usize; R],
    w: [W; R],
    mins: &mut [f32],
    first: usize,
    blocks: usize,
) {
    let x: [ColumnQ8<'_>; C] = std::array::from_fn(|c| job.acts.q8(first + c));
    let (xq, xd) = (x.map(|x| x.q.as_ptr()), x.map(|x| x.d.as_ptr()));
    let padded = blocks.next_multiple_of(8);
    // SAFETY: the caller has avx2 and fma; block `b` is in every row and column, and in every row of minimums.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); C]; R];
        let ones = _mm256_set1_epi16(1);
        for b in 0..blocks {
            for r in 0..R {
                let q = w[r].quants(b);
                let magnitude = if W::SIGNED { _mm256_abs_epi8(q) } else { q };
                let factors = w[r].factors(b);
                if W::PACKED && W::MIN {
                    *mins.get_unchecked_mut(r * padded + b) = _mm_cvtss_f32(_mm_movehdup_ps(factors));
                }
                let d = _mm256_broadcastss_ps(factors);
                for c in 0..C {
                    let x = _mm256_loadu_si256(xq[c].add(32 * b).cast());
                    // maddubs takes unsigned times signed: the weight's sign goes to the input.
                    let x = if W::SIGNED { _mm256_sign_epi8(x, q) } else { x };
                    let sums = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), ones);
                    let d = _mm256_mul_ps(d, _mm256_broadcast_ss(&*xd[c].add(b)));
                    acc[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), d, acc[r][c]);
                }
            }
        }
        if W::MIN {
            for (acc, mins) in acc.iter_mut().zip(mins.chunks_exact(padded)) {
                for (acc, x) in acc.iter_mut().zip(x) {
                    for (m, s) in mins.as_chunks::<8>().0.iter().zip(x.s.as_chunks::<8>().0) {
                        *acc = _mm256_fmadd_ps(_mm256_loadu_ps(m.as_ptr()), _mm256_loadu_ps(s.as_ptr()), *acc);
                    }
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
