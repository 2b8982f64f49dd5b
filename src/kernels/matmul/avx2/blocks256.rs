//! Weights in super-blocks of 256: eight groups of 32, each half of a group with its own integer scale.

use super::{PANEL_COLUMNS, half, iq4_values, neighbours, nibbles, sum, tiles};
use crate::kernels::activations::ColumnQ8K;
use crate::kernels::matmul::Job;
use crate::kernels::matmul::panel::Panel;
use std::arch::x86_64::*;
use std::ops::Range;

/// What is read once per super-block.
#[derive(Clone, Copy)]
pub(super) struct Head {
    d: f32,
    dmin: f32,
    /// As i16: the scales of the eight even groups of 16, then of the eight odd ones.
    scales: __m256i,
    /// As i16: the minimums of the 16 groups; where quants have an excess, their scales.
    mins: __m256i,
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

/// A row of a panel.
#[derive(Clone, Copy)]
struct Unpacked<const SIGNED: bool, const MIN: bool, const EXCESS: bool> {
    q: *const i8,
    d: *const f32,
    dmin: *const f32,
    scales: *const [i16; 16],
    mins: *const [i16; 16],
}

// SAFETY: reads stay inside the row's super-blocks.
unsafe impl<const SIGNED: bool, const MIN: bool, const EXCESS: bool> Row for Unpacked<SIGNED, MIN, EXCESS> {
    const SIGNED: bool = SIGNED;
    const MIN: bool = MIN;
    const EXCESS: bool = EXCESS;

    #[inline(always)]
    unsafe fn head(self, b: usize) -> Head {
        // SAFETY: the caller has avx2 and a super-block `b`.
        unsafe {
            Head {
                d: *self.d.add(b),
                dmin: *self.dmin.add(b),
                scales: _mm256_loadu_si256(self.scales.add(b).cast()),
                mins: _mm256_loadu_si256(self.mins.add(b).cast()),
            }
        }
    }

    #[inline(always)]
    unsafe fn group<const G: usize>(self, b: usize) -> __m256i {
        // SAFETY: the caller has avx2 and a super-block `b`.
        unsafe { _mm256_loadu_si256(self.q.add(256 * b + 32 * G).cast()) }
    }
}

/// The products of rows `rows` with every column.
///
/// # Safety
/// Needs avx2, fma and f16c; `rows` must lie in the matrix, whose super-blocks `W` reads.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rows<W: Packed>(job: &Job<'_>, rows: Range<usize>) {
    // SAFETY: handed on from the caller.
    unsafe {
        if job.acts.n() < PANEL_COLUMNS {
            direct::<W>(job, rows);
        } else if W::SIGNED {
            swept::<W, true, false, false>(job, rows);
        } else if W::MIN {
            swept::<W, false, true, false>(job, rows);
        } else {
            swept::<W, false, false, true>(job, rows);
        }
    }
}

/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn direct<W: Packed>(job: &Job<'_>, rows: Range<usize>) {
    for first in rows.clone().step_by(4) {
        let at: [usize; 4] = neighbours(first, rows.end);
        let w = at.map(|r| W::new(job.w.row(r)));
        // SAFETY: the caller has the instructions; rows have as many super-blocks as fit their columns.
        unsafe { all_columns(job, at, w, job.w.cols() / 256) };
    }
}

/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn swept<W: Packed, const SIGNED: bool, const MIN: bool, const EXCESS: bool>(job: &Job<'_>, rows: Range<usize>) {
    let (k, blocks) = (job.w.cols(), job.w.cols() / 256);
    let mut panel = Panel::new(job.w, 4);
    for first in rows.clone().step_by(4) {
        let at: [usize; 4] = neighbours(first, rows.end);
        for (i, r) in at.into_iter().enumerate() {
            // SAFETY: the caller has the instructions, the row `blocks` super-blocks, the panel room for four rows.
            unsafe { unpack(W::new(job.w.row(r)), blocks, &mut panel, i) };
        }
        let w = std::array::from_fn(|i| Unpacked::<SIGNED, MIN, EXCESS> {
            q: panel.q[i * k..].as_ptr(),
            d: panel.d[i * blocks..].as_ptr(),
            dmin: panel.m[i * blocks..].as_ptr(),
            scales: panel.scales[i * blocks..].as_ptr(),
            mins: panel.mins[i * blocks..].as_ptr(),
        });
        // SAFETY: the caller has the instructions; panel rows have `blocks` super-blocks.
        unsafe { all_columns(job, at, w, blocks) };
    }
}

/// Four rows times every column.
///
/// # Safety
/// Needs avx2, fma and f16c; rows and columns must have `blocks` super-blocks.
#[inline(always)]
unsafe fn all_columns<W: Row>(job: &Job<'_>, at: [usize; 4], w: [W; 4], blocks: usize) {
    for (c, width) in tiles(job.acts.n()) {
        // SAFETY: the caller's promises; the tiles cut the columns.
        unsafe {
            if width == 1 {
                tile::<W, 4, 1>(job, at, w, c, blocks);
                continue;
            }
            for i in [0, 2] {
                let (at, w) = ([at[i], at[i + 1]], [w[i], w[i + 1]]);
                match width {
                    2 => tile::<W, 2, 2>(job, at, w, c, blocks),
                    3 => tile::<W, 2, 3>(job, at, w, c, blocks),
                    _ => tile::<W, 2, 4>(job, at, w, c, blocks),
                }
            }
        }
    }
}

/// # Safety
/// Needs avx2 and f16c; `w` must have `blocks` super-blocks.
#[inline(always)]
unsafe fn unpack<W: Row>(w: W, blocks: usize, panel: &mut Panel, at: usize) {
    for b in 0..blocks {
        let i = at * blocks + b;
        // SAFETY: the caller has avx2, f16c and a super-block `b`; every store goes to an array of its size.
        unsafe {
            let head = w.head(b);
            (panel.d[i], panel.m[i]) = (head.d, head.dmin);
            _mm256_storeu_si256(panel.scales[i].as_mut_ptr().cast(), head.scales);
            _mm256_storeu_si256(panel.mins[i].as_mut_ptr().cast(), head.mins);
            let groups = [
                w.group::<0>(b),
                w.group::<1>(b),
                w.group::<2>(b),
                w.group::<3>(b),
                w.group::<4>(b),
                w.group::<5>(b),
                w.group::<6>(b),
                w.group::<7>(b),
            ];
            let (q, _) = panel.q[256 * i..256 * (i + 1)].as_chunks_mut::<32>();
            for (q, group) in q.iter_mut().zip(groups) {
                _mm256_storeu_si256(q.as_mut_ptr().cast(), group);
            }
        }
    }
}

/// `R` rows times `C` columns from `first` on.
///
/// # Safety
/// Needs avx2, fma and f16c; rows and columns must have `blocks` super-blocks, and there must be `first + C` columns.
#[inline(always)]
unsafe fn tile<W: Row, const R: usize, const C: usize>(
    job: &Job<'_>,
    at: [usize; R],
    w: [W; R],
    first: usize,
    blocks: usize,
) {
    let x: [ColumnQ8K<'_>; C] = std::array::from_fn(|c| job.acts.q8k(first + c));
    let (xq, xd, xs) = (x.map(|x| x.q.as_ptr()), x.map(|x| x.d.as_ptr()), x.map(|x| x.sums.as_ptr()));
    // SAFETY: the caller has avx2, fma and f16c; super-block `b` is in every row and column.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); C]; R];
        for b in 0..blocks {
            let mut heads = [w[0].head(b); R];
            for r in 1..R {
                heads[r] = w[r].head(b);
            }
            let x = xq.map(|x| x.add(256 * b));
            let mut total = [[_mm256_setzero_si256(); C]; R];
            add_group::<W, R, C, 0>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 1>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 2>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 3>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 4>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 5>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 6>(w, b, &heads, x, &mut total);
            add_group::<W, R, C, 7>(w, b, &heads, x, &mut total);
            for r in 0..R {
                for c in 0..C {
                    let xd = *xd[c].add(b);
                    let d = _mm256_set1_ps(heads[r].d * xd);
                    if !W::MIN && !W::EXCESS {
                        acc[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total[r][c]), d, acc[r][c]);
                        continue;
                    }
                    let sums = _mm256_madd_epi16(heads[r].mins, _mm256_loadu_si256(xs[c].add(16 * b).cast()));
                    let excess = _mm256_slli_epi32::<5>(sums);
                    let total = if W::EXCESS { _mm256_sub_epi32(total[r][c], excess) } else { total[r][c] };
                    acc[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), d, acc[r][c]);
                    if W::MIN {
                        let d = _mm256_set1_ps(-(heads[r].dmin * xd));
                        acc[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), d, acc[r][c]);
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

/// Adds group `G` of super-block `b`, whose inputs begin at `x`, to the integer totals.
#[inline(always)]
unsafe fn add_group<W: Row, const R: usize, const C: usize, const G: usize>(
    w: [W; R],
    b: usize,
    heads: &[Head; R],
    x: [*const i8; C],
    total: &mut [[__m256i; C]; R],
) {
    // SAFETY: called by `tile` alone, with its promises.
    unsafe {
        let choose = _mm256_set1_epi16((2 * G + ((2 * G + 1) << 8)) as i16);
        for r in 0..R {
            let q = w[r].group::<G>(b);
            let magnitude = if W::SIGNED { _mm256_abs_epi8(q) } else { q };
            let scales = _mm256_shuffle_epi8(heads[r].scales, choose);
            for c in 0..C {
                let x = _mm256_loadu_si256(x[c].add(32 * G).cast());
                // maddubs takes unsigned times signed: the weight's sign goes to the input.
                let x = if W::SIGNED { _mm256_sign_epi8(x, q) } else { x };
                let sums = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), scales);
                total[r][c] = _mm256_add_epi32(total[r][c], sums);
            }
        }
    }
}

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
