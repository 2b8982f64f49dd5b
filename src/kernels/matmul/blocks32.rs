//! Weights in blocks of 32 with one scale, and perhaps a minimum, in half precision.

use super::dot::{Dot, Range};
use super::{Weights, prefetch_after};
use crate::kernels::activations::TileQ8;
use crate::kernels::packed::GroupLayout;
use crate::quant::iq4_nl::CODEBOOK;

/// How sixteen rows of one block become bytes.
trait Block {
    const RANGE: Range;
    /// How much larger the bytes are than the weights.
    const EXCESS: i32;
    /// Whether a block adds a minimum times the sum of its inputs.
    const MIN: bool;
    /// The 32 bytes of each row: `4 j..4 (j + 1)` in vector `j`; `p` points to the block's quants, at the rows' place.
    unsafe fn unpack<D: Dot>(d: D, p: *const u8) -> [D::Bytes; 8];
}

macro_rules! format {
    ($name:ident, $range:ident, excess $excess:literal, min $min:literal, |$d:ident, $p:ident, $j:ident| $byte:expr) => {
        #[allow(non_camel_case_types)]
        pub(super) struct $name;

        impl Block for $name {
            const RANGE: Range = Range::$range;
            const EXCESS: i32 = $excess;
            const MIN: bool = $min;

            #[inline(always)]
            unsafe fn unpack<D: Dot>($d: D, $p: *const u8) -> [D::Bytes; 8] {
                // SAFETY: the caller has the instructions and a whole block.
                unsafe {
                    let mut bytes = [$d.bytes(0); 8];
                    for $j in 0..8 {
                        bytes[$j] = $byte;
                    }
                    bytes
                }
            }
        }

        impl Weights for $name {
            #[inline(always)]
            unsafe fn products<D: Dot>(
                d: D,
                group: *const u8,
                layout: &GroupLayout,
                x: super::Tile<'_>,
                acc: *mut f32,
            ) {
                // SAFETY: handed on from the caller.
                unsafe { products::<D, Self>(d, group, layout, &x.q8, acc) }
            }
        }
    };
}

format!(Q4_0, U4, excess 8, min false, |d, p, j| nibble(d, p, j));
format!(Q4_1, U4, excess 0, min true, |d, p, j| nibble(d, p, j));
format!(Q5_0, U5, excess 16, min false, |d, p, j| d.or(nibble(d, p.add(64), j), fifth(d, p, j)));
format!(Q5_1, U5, excess 0, min true, |d, p, j| d.or(nibble(d, p.add(64), j), fifth(d, p, j)));
format!(Q8_0, Signed, excess 0, min false, |d, p, j| d.signed(d.load(p.add(64 * j))));
format!(Iq4Nl, Signed, excess 0, min false, |d, p, j| d.signed(d.look_up(&CODEBOOK, nibble(d, p, j))));

/// Word `j` of eight: the low nibbles of four vectors, then the high ones.
#[inline(always)]
unsafe fn nibble<D: Dot>(d: D, p: *const u8, j: usize) -> D::Bytes {
    // SAFETY: the caller has the instructions and four vectors at `p`.
    unsafe {
        let both = d.load(p.add(64 * (j % 4)));
        d.and(if j < 4 { both } else { d.shr(both, 4) }, 15)
    }
}

/// Bit `j` of every byte at `p` as 16 or 0.
#[inline(always)]
unsafe fn fifth<D: Dot>(d: D, p: *const u8, j: usize) -> D::Bytes {
    // SAFETY: the caller has the instructions and a vector at `p`.
    unsafe {
        let bits = d.load(p);
        d.and(if j < 4 { d.shl(bits, 4 - j as u32) } else { d.shr(bits, j as u32 - 4) }, 16)
    }
}

/// `acc[column][row]` = one group of sixteen rows times the columns of `x`.
///
/// # Safety
/// Needs the instructions of `d`; `group` must be a group of this layout with as many blocks as `x`, and `acc` room for
/// sixteen numbers a column.
#[inline(always)]
unsafe fn products<D: Dot, W: Block>(d: D, group: *const u8, layout: &GroupLayout, x: &TileQ8<'_>, acc: *mut f32) {
    let n = x.width;
    let excess = W::EXCESS + if W::RANGE == Range::Signed { D::SIGNED_EXCESS } else { 0 };
    let block = Blocks { d, group, layout, x, less: x.less(excess) };
    let slices = 16 / D::ROWS;
    // SAFETY: the caller's promises; slices cut the sixteen rows, `b` is a block of the group and of the inputs.
    unsafe {
        if n == 1 {
            // All rows of a block before the next, so that the group streams through once; sums stay in registers.
            let mut sums = [d.floats(0.0); 4];
            for b in 0..x.blocks {
                for (s, sum) in sums.iter_mut().enumerate().take(slices) {
                    let (w, factor, min) = block.weights::<W>(b, s);
                    [*sum] = block.add::<W, 1>([*sum], w, factor, min, b);
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
        for s in 0..slices {
            for b in 0..x.blocks {
                let (w, factor, min) = block.weights::<W>(b, s);
                let paired = if D::COLUMNS == 2 { n / 2 * 2 } else { 0 };
                for c in (0..paired).step_by(2) {
                    let at = [acc.add(16 * c + s * D::ROWS), acc.add(16 * (c + 1) + s * D::ROWS)];
                    let sums = [d.load_floats(at[0]), d.load_floats(at[1])];
                    let sums = block.add::<W, 2>(sums, w, factor, min, b * n + c);
                    d.store_floats(at[0], sums[0]);
                    d.store_floats(at[1], sums[1]);
                }
                for c in paired..n {
                    let at = acc.add(16 * c + s * D::ROWS);
                    let [sum] = block.add::<W, 1>([d.load_floats(at)], w, factor, min, b * n + c);
                    d.store_floats(at, sum);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Blocks<'a, D> {
    d: D,
    group: *const u8,
    layout: &'a GroupLayout,
    x: &'a TileQ8<'a>,
    /// What takes the bytes' excess off again, if they have any.
    less: Option<&'a [i32]>,
}

impl<D: Dot> Blocks<'_, D> {
    /// Bytes, scales and minimums of slice `s` of block `b`.
    #[inline(always)]
    unsafe fn weights<W: Block>(self, b: usize, s: usize) -> ([D::Bytes; 8], D::Floats, D::Floats) {
        let (d, l) = (self.d, self.layout);
        // SAFETY: the caller has the instructions and a block `b`, whose slices are `D::ROWS` rows each.
        unsafe {
            if s == 0 {
                prefetch_after(self.group.add(l.quants + b * l.block), l.block);
            }
            let factors = self.group.add(b * l.head + s * 2 * D::ROWS);
            let factor = d.load_halves(factors);
            let min = if W::MIN { d.load_halves(factors.add(l.mins)) } else { factor };
            (W::unpack(d, self.group.add(l.quants + b * l.block + s * 4 * D::ROWS)), factor, min)
        }
    }

    /// `sums` and the products of a block with the blocks of the inputs from `at`, one for each of `C` columns.
    #[inline(always)]
    unsafe fn add<W: Block, const C: usize>(
        self,
        mut sums: [D::Floats; C],
        w: [D::Bytes; 8],
        factor: D::Floats,
        min: D::Floats,
        at: usize,
    ) -> [D::Floats; C] {
        let (d, x) = (self.d, self.x);
        // SAFETY: the caller has the instructions and blocks of the inputs from `at`.
        unsafe {
            let (mut start, mut q) = ([d.ints(0); C], [x.q.as_ptr().add(32 * at); C]);
            for c in 0..C {
                q[c] = q[0].add(32 * c);
                if let Some(less) = self.less {
                    start[c] = d.ints(*less.get_unchecked(at + c));
                }
            }
            let products = d.dots(start, w, q, W::RANGE, None);
            for c in 0..C {
                let factor = d.mul(factor, d.floats(*x.d.get_unchecked(at + c)));
                sums[c] = d.mul_add(d.to_floats(products[c]), factor, sums[c]);
                if W::MIN {
                    sums[c] = d.mul_add(min, d.floats(*x.s.get_unchecked(at + c)), sums[c]);
                }
            }
            sums
        }
    }
}
