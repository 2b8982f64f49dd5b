//! Weights in super-blocks of 256: eight groups of 32, each half of a group with its own integer scale.

use super::formats256::{Head, Packed, Row};
use super::{PANEL_COLUMNS, neighbours, prefetch, sum, tiles};
use crate::kernels::activations::ColumnQ8K;
use crate::kernels::matmul::Job;
use crate::kernels::matmul::panel::Panel;
use std::arch::x86_64::*;
use std::ops::Range;

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
        prefetch(job.w, first + 4..first + 8);
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
        prefetch(job.w, first + 4..first + 8);
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
