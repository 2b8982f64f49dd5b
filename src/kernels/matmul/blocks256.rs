//! Weights in blocks of 256: integer scales, and perhaps minimums, per 32 or 16 weights under factors in half precision.

use super::dot::{Dot, Range};
use super::{Weights, prefetch_after};
use crate::kernels::activations::{TILE, TileQ8K};
use crate::kernels::packed::GroupLayout;
use crate::quant::iq4_nl::CODEBOOK;

/// Bytes of sixteen half-precision factors, or of one pair of small integers for sixteen rows.
const HALVES: usize = 32;

/// How sixteen rows of one block become bytes and scales.
trait Block {
    const RANGE: Range;
    /// How much larger the bytes are than the weights.
    const EXCESS: i32;
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

macro_rules! format {
    ($name:ident, $range:ident, excess $excess:literal, half_scales $half:literal, min $min:literal,
     scales |$sd:ident, $sp:ident, $pair:ident| $scales:expr, $(mins $mins:expr,)?
     |$d:ident, $p:ident, $g:ident, $j:ident| $byte:expr) => {
        #[allow(non_camel_case_types)]
        pub(super) struct $name;

        impl Block for $name {
            const RANGE: Range = Range::$range;
            const EXCESS: i32 = $excess;
            const HALF_SCALES: bool = $half;
            const MIN: bool = $min;

            #[inline(always)]
            unsafe fn unpack<D: Dot>($d: D, $p: *const u8, $g: usize) -> [D::Bytes; 8] {
                // SAFETY: the caller has the instructions and a whole block.
                unsafe {
                    let mut bytes = [$d.bytes(0); 8];
                    for $j in 0..8 {
                        bytes[$j] = $byte;
                    }
                    bytes
                }
            }

            #[inline(always)]
            unsafe fn scales<D: Dot>($sd: D, $sp: *const u8, $pair: usize) -> D::Ints {
                // SAFETY: the caller has the instructions and the head of a block.
                unsafe { $scales }
            }

            $(#[inline(always)]
            unsafe fn mins<D: Dot>($sd: D, $sp: *const u8, $pair: usize) -> D::Ints {
                // SAFETY: as above.
                unsafe { $mins }
            })?
        }

        impl Weights for $name {
            #[inline(always)]
            unsafe fn products<D: Dot>(d: D, group: *const u8, layout: &GroupLayout, x: super::Tile<'_>, acc: *mut f32) {
                // SAFETY: handed on from the caller.
                unsafe { products::<D, Self>(d, group, layout, &x.q8k, acc) }
            }
        }
    };
}

format!(Q2_K, U4, excess 0, half_scales true, min true,
    scales |d, p, pair| d.split_pairs(d.pairs_u8(p.add((2 + pair) * HALVES))).0,
    mins d.split_pairs(d.pairs_u8(p.add((2 + pair) * HALVES))).1,
    |d, p, g, j| field2(d, p, g, j));
format!(Q3_K, U4, excess 4, half_scales true, min false,
    scales |d, p, pair| d.pairs_i8(p.add((1 + pair) * HALVES)),
    |d, p, g, j| d.or(field2(d, p.add(8 * 64), g, j), bit(d, p, g, j, 2)));
format!(Q4_K, U4, excess 0, half_scales false, min true,
    scales |d, p, pair| d.pairs_u8(p.add((2 + pair) * HALVES)), mins d.pairs_u8(p.add((6 + pair) * HALVES)),
    |d, p, g, j| nibble(d, p, g, j));
format!(Q5_K, U5, excess 0, half_scales false, min true,
    scales |d, p, pair| d.pairs_u8(p.add((2 + pair) * HALVES)), mins d.pairs_u8(p.add((6 + pair) * HALVES)),
    |d, p, g, j| d.or(nibble(d, p.add(8 * 64), g, j), bit(d, p, g, j, 4)));
format!(Q6_K, U6, excess 32, half_scales true, min false,
    scales |d, p, pair| d.pairs_i8(p.add((1 + pair) * HALVES)),
    |d, p, g, j| d.or(nibble_of_half(d, p, g, j), high2(d, p.add(32 * 64), g, j)));
format!(Iq4Xs, Signed, excess 0, half_scales false, min false,
scales |d, p, pair| d.pairs_i8(p.add((1 + pair) * HALVES)),
|d, p, g, j| {
    let both = d.load(p.add(64 * (4 * g + j % 4)));
    d.signed(d.look_up(&CODEBOOK, d.and(if j < 4 { both } else { d.shr(both, 4) }, 15)))
});

/// Nibbles: two neighbouring groups of 32 share eight vectors.
#[inline(always)]
unsafe fn nibble<D: Dot>(d: D, p: *const u8, g: usize, j: usize) -> D::Bytes {
    // SAFETY: the caller has the instructions and the vectors.
    unsafe {
        let both = d.load(p.add(64 * (g / 2 * 8 + j)));
        d.and(if g.is_multiple_of(2) { both } else { d.shr(both, 4) }, 15)
    }
}

/// Nibbles: groups of 32 that lie 64 apart share eight vectors.
#[inline(always)]
unsafe fn nibble_of_half<D: Dot>(d: D, p: *const u8, g: usize, j: usize) -> D::Bytes {
    // SAFETY: the caller has the instructions and the vectors.
    unsafe {
        let both = d.load(p.add(64 * (g / 4 * 16 + g % 2 * 8 + j)));
        d.and(if g % 4 < 2 { both } else { d.shr(both, 4) }, 15)
    }
}

/// Fields of two bits: four groups of 32 share eight vectors.
#[inline(always)]
unsafe fn field2<D: Dot>(d: D, p: *const u8, g: usize, j: usize) -> D::Bytes {
    // SAFETY: the caller has the instructions and the vectors.
    unsafe {
        let four = d.load(p.add(64 * (g / 4 * 8 + j)));
        d.and(if g.is_multiple_of(4) { four } else { d.shr(four, 2 * (g % 4) as u32) }, 3)
    }
}

/// Fields of two bits as bits 4 and 5.
#[inline(always)]
unsafe fn high2<D: Dot>(d: D, p: *const u8, g: usize, j: usize) -> D::Bytes {
    // SAFETY: the caller has the instructions and the vectors.
    unsafe {
        let four = d.load(p.add(64 * (g / 4 * 8 + j)));
        let placed = match g % 4 {
            0 => d.shl(four, 4),
            1 => d.shl(four, 2),
            2 => four,
            _ => d.shr(four, 2),
        };
        d.and(placed, 0x30)
    }
}

/// Bit `g` of eight vectors as bit `to`.
#[inline(always)]
unsafe fn bit<D: Dot>(d: D, p: *const u8, g: usize, j: usize, to: u32) -> D::Bytes {
    // SAFETY: the caller has the instructions and the vectors.
    unsafe {
        let eight = d.load(p.add(64 * j));
        let g = g as u32;
        d.and(if g < to { d.shl(eight, to - g) } else { d.shr(eight, g - to) }, 1 << to)
    }
}

/// `acc[column][row]` = one group of sixteen rows times the columns of `x`.
///
/// # Safety
/// Needs the instructions of `d`; `group` must be a group of this layout with as many blocks as `x`, and `acc` room for
/// sixteen numbers a column.
#[inline(always)]
unsafe fn products<D: Dot, W: Block>(d: D, group: *const u8, layout: &GroupLayout, x: &TileQ8K<'_>, acc: *mut f32) {
    let n = x.width;
    let block = Blocks { d, group, layout, x };
    let slices = 16 / D::ROWS;
    // SAFETY: the caller's promises; slices cut the sixteen rows, `b` is a block of the group and of the inputs, and
    // there are at most `TILE` columns.
    unsafe {
        if n == 1 {
            let mut sums = [d.floats(0.0); 4];
            for b in 0..x.blocks {
                for (s, sum) in sums.iter_mut().enumerate().take(slices) {
                    let mut total = d.ints(0);
                    let mut scales = total;
                    for g in 0..8 {
                        let w = block.weights::<W>(b, g, s, &mut scales);
                        [total] = block.add::<W, 1>([total], w, b, g, 0);
                    }
                    *sum = block.finish::<W>(*sum, total, b, s, 0);
                }
            }
            for (s, sum) in sums.into_iter().enumerate().take(slices) {
                d.store_floats(acc.add(s * D::ROWS), sum);
            }
            return;
        }
        for c in 0..n {
            for s in 0..slices {
                d.store_floats(acc.add(16 * c + s * D::ROWS), d.floats(0.0));
            }
        }
        let mut totals = [0i32; 16 * TILE];
        let totals = totals.as_mut_ptr();
        for s in 0..slices {
            for b in 0..x.blocks {
                let mut scales = d.ints(0);
                for g in 0..8 {
                    let w = block.weights::<W>(b, g, s, &mut scales);
                    let paired = if D::COLUMNS == 2 { n / 2 * 2 } else { 0 };
                    for c in (0..paired).step_by(2) {
                        let at = [totals.add(D::ROWS * c), totals.add(D::ROWS * (c + 1))];
                        let old = if g == 0 { [d.ints(0); 2] } else { [d.load_ints(at[0]), d.load_ints(at[1])] };
                        let new = block.add::<W, 2>(old, w, b, g, c);
                        d.store_ints(at[0], new[0]);
                        d.store_ints(at[1], new[1]);
                    }
                    for c in paired..n {
                        let at = totals.add(D::ROWS * c);
                        let total = if g == 0 { d.ints(0) } else { d.load_ints(at) };
                        let [total] = block.add::<W, 1>([total], w, b, g, c);
                        d.store_ints(at, total);
                    }
                }
                for c in 0..n {
                    let at = acc.add(16 * c + s * D::ROWS);
                    let total = d.load_ints(totals.add(D::ROWS * c));
                    d.store_floats(at, block.finish::<W>(d.load_floats(at), total, b, s, c));
                }
            }
        }
    }
}

/// The bytes of 32 weights of some rows, and what their sums are multiplied with.
#[derive(Clone, Copy)]
struct Group<D: Dot> {
    w: [D::Bytes; 8],
    /// One for each half, or twice the same.
    scales: [D::Ints; 2],
    /// Pairs that take the bytes' excess off again, for each half.
    excess: D::Ints,
}

#[derive(Clone, Copy)]
struct Blocks<'a, D> {
    d: D,
    group: *const u8,
    layout: &'a GroupLayout,
    x: &'a TileQ8K<'a>,
}

impl<D: Dot> Blocks<'_, D> {
    #[inline(always)]
    fn excess<W: Block>(self) -> i32 {
        W::EXCESS + if W::RANGE == Range::Signed { D::SIGNED_EXCESS } else { 0 }
    }

    /// The head of slice `s` of block `b`, at the rows' factors.
    #[inline(always)]
    unsafe fn head(self, b: usize, s: usize) -> *const u8 {
        // SAFETY: the caller has a block `b`.
        unsafe { self.group.add(b * self.layout.head + s * 2 * D::ROWS) }
    }

    /// Group `g` of slice `s` of block `b`; `pairs` keeps scales that two groups share.
    #[inline(always)]
    unsafe fn weights<W: Block>(self, b: usize, g: usize, s: usize, pairs: &mut D::Ints) -> Group<D> {
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
            let excess = d.scale_pairs(*pairs, -(self.excess::<W>() as i16));
            let w = W::unpack(d, self.group.add(l.quants + b * l.block + s * 4 * D::ROWS), g);
            Group { w, scales, excess }
        }
    }

    /// `totals` and the products of group `g` of block `b` with the columns from `c`.
    #[inline(always)]
    unsafe fn add<W: Block, const C: usize>(
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
            if self.excess::<W>() == 0 || !W::HALF_SCALES && g.is_multiple_of(2) {
                return totals;
            }
            for (i, total) in totals.iter_mut().enumerate() {
                let sums = if W::HALF_SCALES { self.sums16(b, g, c + i) } else { self.sums32(b, g / 2, c + i) };
                *total = d.dot_pairs(*total, w.excess, sums);
            }
            totals
        }
    }

    /// `sum` and the finished block `b` of column `c`.
    #[inline(always)]
    unsafe fn finish<W: Block>(self, sum: D::Floats, total: D::Ints, b: usize, s: usize, c: usize) -> D::Floats {
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
