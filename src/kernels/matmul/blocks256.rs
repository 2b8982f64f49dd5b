//! Weights in blocks of 256: integer scales, and perhaps minimums, per 32 or 16 weights under factors in half precision.

mod formats;

pub(super) use formats::{Iq4Xs, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};

use super::dot::{Dot, Range};
use super::prefetch_after;
use super::sweep::{self, paired};
use crate::kernels::activations::{TILE, TileQ8K};
use crate::kernels::packed::GroupLayout;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Bytes of sixteen half-precision factors, or of one pair of small integers for sixteen rows.
const HALVES: usize = 32;

/// How sixteen rows of one block become bytes and scales.
trait Block: Copy {
    const RANGE: Range;
    /// The byte that stands for a weight of zero.
    const ZERO_POINT: i32;
    /// Whether each half of 32 weights has its own scale.
    const HALF_SCALES: bool;
    const MIN: bool;
    /// The bytes `32 g..32 (g + 1)` of each row: four of them in each vector; `p` points to the block's quants.
    unsafe fn unpack<D: Dot>(d: D, p: *const u8, g: usize) -> [D::Bytes; 8];
    /// The `pair`-th two scales of each row; `p` points to the block's head.
    unsafe fn scales<D: Dot>(d: D, p: *const u8, pair: usize) -> D::Ints;
    /// The `pair`-th two minimums of each row, where there are any.
    #[inline(always)]
    unsafe fn mins<D: Dot>(d: D, _: *const u8, _: usize) -> D::Ints {
        // SAFETY: the caller has the instructions.
        unsafe { d.ints(0) }
    }
}

/// The bytes of 32 weights of some rows, and what their sums are multiplied with.
#[derive(Clone, Copy)]
struct Group<D: Dot> {
    w: [D::Bytes; 8],
    /// One for each half, or twice the same.
    scales: [D::Ints; 2],
    /// Pairs that take the zero point off again, for each half.
    corrections: D::Ints,
}

#[derive(Clone, Copy)]
struct Blocks<'a, D, W> {
    d: D,
    group: *const u8,
    layout: &'a GroupLayout,
    x: &'a TileQ8K<'a>,
    format: PhantomData<W>,
}

impl<D: Dot, W: Block> sweep::Blocks<D> for Blocks<'_, D, W> {
    #[inline(always)]
    unsafe fn add_to_one(self, sum: D::Floats, b: usize, s: usize) -> D::Floats {
        // SAFETY: handed on from the caller.
        unsafe {
            let mut total = self.d.ints(0);
            let mut scales = total;
            for g in 0..8 {
                let w = self.weights(b, g, s, &mut scales);
                [total] = self.add([total], w, b, g, 0);
            }
            self.finish(sum, total, b, s, 0)
        }
    }

    #[inline(always)]
    unsafe fn add_to_all(self, b: usize, s: usize, acc: *mut f32) {
        let (d, n) = (self.d, self.x.width);
        // The first group writes them before any other reads them.
        let mut totals = MaybeUninit::<[i32; 16 * TILE]>::uninit();
        let totals = totals.as_mut_ptr().cast::<i32>();
        // SAFETY: handed on from the caller; there are at most `TILE` columns.
        unsafe {
            let mut scales = d.ints(0);
            for g in 0..8 {
                let w = self.weights(b, g, s, &mut scales);
                for c in (0..paired::<D>(n)).step_by(2) {
                    self.add_in_place::<2>(totals.add(D::ROWS * c), w, b, g, c);
                }
                for c in paired::<D>(n)..n {
                    self.add_in_place::<1>(totals.add(D::ROWS * c), w, b, g, c);
                }
            }
            for c in 0..n {
                let (at, total) = (acc.add(16 * c), d.load_ints(totals.add(D::ROWS * c)));
                d.store_floats(at, self.finish(d.load_floats(at), total, b, s, c));
            }
        }
    }
}

impl<'a, D: Dot, W: Block> Blocks<'a, D, W> {
    /// The byte of a zero weight as the dot product takes it.
    const ZERO_POINT: i32 = W::ZERO_POINT + if matches!(W::RANGE, Range::Signed) { D::SIGNED_ZERO_POINT } else { 0 };

    #[inline(always)]
    fn new(d: D, group: *const u8, layout: &'a GroupLayout, x: &'a TileQ8K<'a>) -> Self {
        Self { d, group, layout, x, format: PhantomData }
    }

    /// The head of slice `s` of block `b`, at the rows' factors.
    #[inline(always)]
    unsafe fn head(self, b: usize, s: usize) -> *const u8 {
        // SAFETY: the caller has a block `b`.
        unsafe { self.group.add(b * self.layout.head + s * 2 * D::ROWS) }
    }

    /// Group `g` of slice `s` of block `b`; `pairs` keeps scales that two groups share.
    #[inline(always)]
    unsafe fn weights(self, b: usize, g: usize, s: usize, pairs: &mut D::Ints) -> Group<D> {
        let (d, l) = (self.d, self.layout);
        // SAFETY: the caller has the instructions and a block `b`, whose slices are `D::ROWS` rows each.
        unsafe {
            if s == 0 {
                prefetch_after(self.group.add(l.quants + b * l.block + g * (l.block / 8)), l.block / 8);
            }
            if W::HALF_SCALES {
                *pairs = W::scales(d, self.head(b, s), g);
            } else if g.is_multiple_of(2) {
                *pairs = W::scales(d, self.head(b, s), g / 2);
            }
            let (even, odd) = (d.even(*pairs), d.odd(*pairs));
            let scales = match (W::HALF_SCALES, g % 2) {
                (true, _) => [even, odd],
                (false, 0) => [even, even],
                (false, _) => [odd, odd],
            };
            let corrections = d.scale_pairs(*pairs, -(Self::ZERO_POINT as i16));
            let w = W::unpack(d, self.group.add(l.quants + b * l.block + s * 4 * D::ROWS), g);
            Group { w, scales, corrections }
        }
    }

    /// [`add`](Self::add) to the totals of `C` columns in memory, which begin with group 0.
    #[inline(always)]
    unsafe fn add_in_place<const C: usize>(self, totals: *mut i32, w: Group<D>, b: usize, g: usize, c: usize) {
        let d = self.d;
        // SAFETY: the caller has the instructions and the columns.
        unsafe {
            let mut sums = [d.ints(0); C];
            if g > 0 {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = d.load_ints(totals.add(D::ROWS * i));
                }
            }
            let sums = self.add(sums, w, b, g, c);
            for (i, sum) in sums.into_iter().enumerate() {
                d.store_ints(totals.add(D::ROWS * i), sum);
            }
        }
    }

    /// `totals` and the products of group `g` of block `b` with the columns from `c`.
    #[inline(always)]
    unsafe fn add<const C: usize>(
        self,
        mut totals: [D::Ints; C],
        w: Group<D>,
        b: usize,
        g: usize,
        c: usize,
    ) -> [D::Ints; C] {
        let (d, x) = (self.d, self.x);
        let [w0, w1, w2, w3, w4, w5, w6, w7] = w.w;
        // SAFETY: the caller has the instructions, a block `b` and columns from `c`.
        unsafe {
            let first = x.q.as_ptr().add(32 * ((8 * b + g) * x.width + c));
            let (mut low, mut high) = ([first; C], [first; C]);
            for i in 0..C {
                (low[i], high[i]) = (first.add(32 * i), first.add(32 * i + 16));
            }
            if W::HALF_SCALES {
                totals = d.dots(totals, [w0, w1, w2, w3], low, W::RANGE, Some(w.scales[0]));
                totals = d.dots(totals, [w4, w5, w6, w7], high, W::RANGE, Some(w.scales[1]));
            } else {
                totals = d.dots(totals, w.w, low, W::RANGE, Some(w.scales[0]));
            }
            if Self::ZERO_POINT == 0 || !W::HALF_SCALES && g.is_multiple_of(2) {
                return totals;
            }
            for (i, total) in totals.iter_mut().enumerate() {
                let sums = if W::HALF_SCALES { self.sums16(b, g, c + i) } else { self.sums32(b, g / 2, c + i) };
                *total = d.dot_pairs(*total, w.corrections, sums);
            }
            totals
        }
    }

    /// `sum` and the finished block `b` of column `c`.
    #[inline(always)]
    unsafe fn finish(self, sum: D::Floats, total: D::Ints, b: usize, s: usize, c: usize) -> D::Floats {
        let (d, x) = (self.d, self.x);
        // SAFETY: the caller has the instructions, a block `b` and a column `c`.
        unsafe {
            let head = self.head(b, s);
            let xd = *x.d.get_unchecked(b * x.width + c);
            let factor = d.mul(d.load_halves(head), d.floats(xd));
            let sum = d.mul_add(d.to_floats(total), factor, sum);
            if !W::MIN {
                return sum;
            }
            let mut mins = d.ints(0);
            for pair in 0..if W::HALF_SCALES { 8 } else { 4 } {
                let x = if W::HALF_SCALES { self.sums16(b, pair, c) } else { self.sums32(b, pair, c) };
                mins = d.dot_pairs(mins, W::mins(d, head, pair), x);
            }
            let factor = d.mul(d.load_halves(head.add(HALVES)), d.floats(-xd));
            d.mul_add(d.to_floats(mins), factor, sum)
        }
    }

    /// The sums of the two halves of group `g`.
    #[inline(always)]
    unsafe fn sums16(self, b: usize, g: usize, c: usize) -> *const i16 {
        // SAFETY: the caller has a block `b` and a column `c`.
        unsafe { self.x.sums16.as_ptr().add(16 * (b * self.x.width + c) + 2 * g) }
    }

    /// The sums of groups `2 pair` and `2 pair + 1`.
    #[inline(always)]
    unsafe fn sums32(self, b: usize, pair: usize, c: usize) -> *const i16 {
        // SAFETY: the caller has a block `b` and a column `c`.
        unsafe { self.x.sums32.as_ptr().add(8 * (b * self.x.width + c) + 2 * pair) }
    }
}
