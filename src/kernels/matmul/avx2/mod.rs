//! Products with AVX2: the operations of the scalar twin, eight lanes at a time.
//!
//! Few columns: weights are unpacked in registers, once for up to four columns. Many columns: a few rows are unpacked
//! to bytes in a panel, and the columns sweep over it four at a time.

mod blocks256;
mod blocks32;
mod float;
mod formats256;

use super::Job;
use crate::kernels::MatrixView;
use crate::quant::QuantType::*;
use crate::simd::Avx2;
use std::arch::x86_64::*;
use std::ops::Range;

/// Columns from which unpacking to a panel pays.
const PANEL_COLUMNS: usize = 8;
/// Columns that share one unpacked block.
const TILE: usize = 4;

/// The products of rows `rows` with every column.
pub(super) fn rows(_: Avx2, job: &Job<'_>, rows: Range<usize>) {
    let run = match job.w.ty() {
        Q4_0 => blocks32::rows::<blocks32::Q4_0>,
        Q4_1 => blocks32::rows::<blocks32::Q4_1>,
        Q5_0 => blocks32::rows::<blocks32::Q5_0>,
        Q5_1 => blocks32::rows::<blocks32::Q5_1>,
        Q8_0 => blocks32::rows::<blocks32::Q8_0>,
        IQ4_NL => blocks32::rows::<blocks32::Iq4Nl>,
        Q2_K => blocks256::rows::<formats256::Q2K>,
        Q3_K => blocks256::rows::<formats256::Q3K>,
        Q4_K => blocks256::rows::<formats256::Q4K>,
        Q5_K => blocks256::rows::<formats256::Q5K>,
        Q6_K => blocks256::rows::<formats256::Q6K>,
        IQ4_XS => blocks256::rows::<formats256::Iq4Xs>,
        F32 => float::rows::<float::F32>,
        F16 => float::rows::<float::F16>,
        BF16 => float::rows::<float::Bf16>,
    };
    if !rows.is_empty() {
        // SAFETY: the `Avx2` token proves that avx2, fma and f16c are present; the job's sizes were checked, its rows
        // lie in the matrix, and the format selects the function that reads blocks of its size.
        unsafe { run(job, rows) }
    }
}

/// Cuts `n` columns into tiles of at most [`TILE`], as equal as possible: the first column and the width of each.
// An iterator and no callback: a closure that is not inlined would lose the instructions of its caller.
#[inline(always)]
fn tiles(n: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = n.div_ceil(TILE);
    (0..tiles).map(move |t| (n * t / tiles, n * (t + 1) / tiles - n * t / tiles))
}

/// `R` neighbouring rows from `first`; those from `end` on repeat the last row.
#[inline(always)]
fn neighbours<const R: usize>(first: usize, end: usize) -> [usize; R] {
    std::array::from_fn(|i| (first + i).min(end - 1))
}

/// Asks for rows that come next: they are short streams, at whose ends the hardware's own prefetch loses its place.
#[inline(always)]
fn prefetch(w: &MatrixView<'_>, rows: Range<usize>) {
    for line in w.rows_from(rows).chunks(64) {
        // SAFETY: a prefetch reads nothing, and sse is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

/// `((0+4)+(2+6)) + ((1+5)+(3+7))`, as [`Simd::sum`](crate::simd::Simd::sum).
///
/// # Safety
/// Needs avx.
#[inline(always)]
unsafe fn sum(v: __m256) -> f32 {
    // SAFETY: the caller has avx.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// The half-precision number at `p` in every lane.
///
/// # Safety
/// Needs f16c; `p` must be readable for 2 bytes.
#[inline(always)]
unsafe fn half(p: *const u8) -> f32 {
    // SAFETY: the caller has f16c, and two bytes to read.
    unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(p.cast::<u16>().read_unaligned())))) }
}

/// 16 bytes as 32 values: the low nibbles, then the high ones.
///
/// # Safety
/// Needs avx2; `p` must be readable for 16 bytes.
#[inline(always)]
unsafe fn nibbles(p: *const u8) -> __m256i {
    // SAFETY: the caller has avx2, and 16 bytes to read.
    unsafe {
        let packed = _mm_loadu_si128(p.cast());
        let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
        _mm256_and_si256(both, _mm256_set1_epi8(15))
    }
}

/// The values of the non-linear 4-bit formats for 32 indices.
///
/// # Safety
/// Needs avx2.
#[inline(always)]
unsafe fn iq4_values(index: __m256i) -> __m256i {
    // SAFETY: the caller has avx2; the table has 16 bytes.
    unsafe {
        let table = _mm_loadu_si128(super::unpack::IQ4_VALUES.as_ptr().cast());
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index)
    }
}
