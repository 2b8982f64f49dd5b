//! The formats in super-blocks of 256 as they lie in a file: reading a super-block's head and its groups of 32.

use super::{half, iq4_values, nibbles};
use std::arch::x86_64::*;

/// What is read once per super-block.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) d: f32,
    pub(super) dmin: f32,
    /// As i16: the scales of the eight even groups of 16, then of the eight odd ones.
    pub(super) scales: __m256i,
    /// As i16: the minimums of the 16 groups; where quants have an excess, their scales.
    pub(super) mins: __m256i,
}

/// One row of super-blocks.
///
/// # Safety
/// `head` and `group` may read only super-block `b` of the row, and need avx2 and f16c.
pub(super) unsafe trait Row: Copy {
    /// Whether quants can be negative.
    const SIGNED: bool;
    /// Whether groups have minimums.
    const MIN: bool;
    /// Whether quants are 32 too large, which is taken off with the help of the inputs' sums.
    const EXCESS: bool;
    unsafe fn head(self, b: usize) -> Head;
    /// The 32 quants of group `G`.
    unsafe fn group<const G: usize>(self, b: usize) -> __m256i;
}

/// A row as it lies in the file.
pub(super) trait Packed: Row {
    fn new(row: &[u8]) -> Self;
}

macro_rules! packed {
    ($name:ident, $bytes:literal, signed $signed:literal, min $min:literal, excess $excess:literal,
     head |$head:ident| $read:expr, group $g:ident |$block:ident| $quants:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name(*const u8);

        // SAFETY: reads stay inside the super-block's bytes.
        unsafe impl Row for $name {
            const SIGNED: bool = $signed;
            const MIN: bool = $min;
            const EXCESS: bool = $excess;

            #[inline(always)]
            unsafe fn head(self, b: usize) -> Head {
                // SAFETY: the caller has avx2, f16c and a super-block `b` of this many bytes.
                unsafe {
                    let $head = self.0.add(b * $bytes);
                    $read
                }
            }

            #[inline(always)]
            unsafe fn group<const $g: usize>(self, b: usize) -> __m256i {
                // SAFETY: as in `head`.
                unsafe {
                    let $block = self.0.add(b * $bytes);
                    $quants
                }
            }
        }

        impl Packed for $name {
            fn new(row: &[u8]) -> Self {
                Self(row.as_ptr())
            }
        }
    };
}

packed!(Q2K, 84, signed false, min true, excess false,
    head |p| {
        let packed = _mm_loadu_si128(p.cast());
        let low = _mm_and_si128(packed, _mm_set1_epi8(15));
        let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), _mm_set1_epi8(15));
        Head { d: half(p.add(80)), dmin: half(p.add(82)), scales: even_odd(low), mins: _mm256_cvtepi8_epi16(high) }
    },
    group G |p| field(p.add(16 + 32 * (G / 4)), 2 * (G % 4), 3)
);
packed!(Q3K, 110, signed true, min false, excess false,
    head |p| {
        // Twelve bytes hold 16 scales of 6 bits: low nibbles in the first eight, pairs of high bits in the last four.
        let word = |i: usize| p.add(96 + 4 * i).cast::<u32>().read_unaligned();
        let (low, high) = ([word(0), word(1)], word(2));
        let scale = |i: usize| (low[i % 2] >> (4 * (i / 2)) & 0x0f0f_0f0f) | (high >> (2 * i) & 0x0303_0303) << 4;
        let packed = _mm_setr_epi32(scale(0) as i32, scale(1) as i32, scale(2) as i32, scale(3) as i32);
        no_mins(half(p.add(108)), even_odd(_mm_sub_epi8(packed, _mm_set1_epi8(32))))
    },
    group G |p| {
        let low = field(p.add(32 + 32 * (G / 4)), 2 * (G % 4), 3);
        let bit = _mm256_set1_epi8((1u8 << G) as i8);
        let missing = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_loadu_si256(p.cast()), bit), _mm256_setzero_si256());
        _mm256_sub_epi8(low, _mm256_and_si256(missing, _mm256_set1_epi8(4)))
    }
);
packed!(Q4K, 144, signed false, min true, excess false,
    head |p| six_bit_head(p),
    group G |p| field(p.add(16 + 32 * (G / 2)), 4 * (G % 2), 15)
);
packed!(Q5K, 176, signed false, min true, excess false,
    head |p| six_bit_head(p),
    group G |p| {
        let low = field(p.add(48 + 32 * (G / 2)), 4 * (G % 2), 15);
        let high = _mm256_loadu_si256(p.add(16).cast());
        let fifth = if G < 4 { _mm256_sll_epi16(high, shift(4 - G % 5)) } else { _mm256_srl_epi16(high, shift(G - 4)) };
        _mm256_or_si256(low, _mm256_and_si256(fifth, _mm256_set1_epi8(16)))
    }
);
packed!(Q6K, 210, signed false, min false, excess true,
    head |p| {
        let scales = _mm_loadu_si128(p.add(192).cast());
        Head { d: half(p.add(208)), dmin: 0.0, scales: even_odd(scales), mins: _mm256_cvtepi8_epi16(scales) }
    },
    group G |p| {
        let low = field(p.add(64 * (G / 4) + 32 * (G % 2)), 4 * (G % 4 / 2), 15);
        // Pair G % 4 of the high bits goes to bits 4 and 5.
        let high = _mm256_loadu_si256(p.add(128 + 32 * (G / 4)).cast());
        let high = match G % 4 {
            0 => _mm256_slli_epi16::<4>(high),
            1 => _mm256_slli_epi16::<2>(high),
            2 => high,
            _ => _mm256_srli_epi16::<2>(high),
        };
        _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(0x30)))
    }
);
packed!(Iq4Xs, 136, signed true, min false, excess false,
    head |p| {
        let low = _mm_cvtsi32_si128(p.add(4).cast::<i32>().read_unaligned());
        let low = _mm_unpacklo_epi8(low, _mm_srli_epi16::<4>(low));
        let low = _mm_cvtepu8_epi16(_mm_and_si128(low, _mm_set1_epi8(15)));
        // Pair i of the high bits, moved to the top of its lane and down again.
        let high = _mm_set1_epi16(p.add(2).cast::<i16>().read_unaligned());
        let high = _mm_mullo_epi16(high, _mm_setr_epi16(1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6, 1 << 4, 1 << 2, 1));
        let high = _mm_slli_epi16::<4>(_mm_srli_epi16::<14>(high));
        let scales = _mm_sub_epi16(_mm_or_si128(low, high), _mm_set1_epi16(32));
        no_mins(half(p), _mm256_broadcastsi128_si256(scales))
    },
    group G |p| iq4_values(nibbles(p.add(8 + 16 * G)))
);

#[inline(always)]
fn no_mins(d: f32, scales: __m256i) -> Head {
    // SAFETY: called only where avx2 is present; no memory is touched.
    Head { d, dmin: 0.0, scales, mins: unsafe { _mm256_setzero_si256() } }
}

/// Head of the formats with eight 6-bit scales and minimums in 12 bytes (ggml's `get_scale_min_k4`).
///
/// # Safety
/// Needs avx2 and f16c; `p` must be readable for 16 bytes.
#[inline(always)]
unsafe fn six_bit_head(p: *const u8) -> Head {
    // SAFETY: the caller has avx2, f16c and 16 bytes to read.
    unsafe {
        let word = |i: usize| p.add(4 + 4 * i).cast::<u32>().read_unaligned();
        let (a, b, c) = (word(0), word(1), word(2));
        let scales = [a & 0x3f3f_3f3f, c & 0x0f0f_0f0f | (a >> 6 & 0x0303_0303) << 4];
        let mins = [b & 0x3f3f_3f3f, c >> 4 & 0x0f0f_0f0f | (b >> 6 & 0x0303_0303) << 4];
        let bytes = |[low, high]: [u32; 2]| _mm_cvtsi64_si128((u64::from(high) << 32 | u64::from(low)) as i64);
        let mins = bytes(mins);
        Head {
            d: half(p),
            dmin: half(p.add(2)),
            scales: _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(bytes(scales))),
            mins: _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(mins, mins)),
        }
    }
}

/// 16 signed bytes as i16: those at even places, then those at odd places.
///
/// # Safety
/// Needs avx2.
#[inline(always)]
unsafe fn even_odd(bytes: __m128i) -> __m256i {
    // SAFETY: the caller has avx2.
    unsafe {
        let order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
        _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, order))
    }
}

/// 32 fields: the bytes at `p`, shifted right by `by` and masked.
///
/// # Safety
/// Needs avx2; `p` must be readable for 32 bytes.
#[inline(always)]
unsafe fn field(p: *const u8, by: usize, mask: i8) -> __m256i {
    // SAFETY: the caller has avx2, and 32 bytes to read.
    unsafe {
        let shifted = _mm256_srl_epi16(_mm256_loadu_si256(p.cast()), shift(by));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
    }
}

#[inline(always)]
fn shift(by: usize) -> __m128i {
    // SAFETY: sse2 is part of x86-64.
    unsafe { _mm_cvtsi32_si128(by as i32) }
}
