//! Weights in blocks of 32 with one scale, and perhaps a minimum, in half precision.

use super::dot::{Dot, Range};
use super::sweep::{self, paired, sweep};
use super::{Weights, prefetch_after};
use crate::kernels::activations::TileQ8;
use crate::kernels::packed::GroupLayout;
use crate::quant::iq4_nl::CODEBOOK;
use std::marker::PhantomData;

/// How sixteen rows of one block become bytes.
trait Block: Copy {
    const RANGE: Range;
    /// The byte that stands for a weight of zero.
    const ZERO_POINT: i32;
    /// Whether a block adds a minimum times the sum of its inputs.
    const MIN: bool;
    /// The 32 bytes of each row: `4 j..4 (j + 1)` in vector `j`; `p` points to the block's quants, at the rows' place.
    unsafe fn unpack<D: Dot>(d: D, p: *const u8) -> [D::Bytes; 8];
}

macro_rules! format {
    ($name:ident, $range:ident, zero_point $zero_point:literal, min $min:literal, |$d:ident, $p:ident, $j:ident| $byte:expr) => {
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl Block for $name {
            const RANGE: Range = Range::$range;
            const ZERO_POINT: i32 = $zero_point;
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
                let blocks = Blocks::<D, Self>::new(d, group, layout, x.q8);
                // SAFETY: handed on from the caller.
                unsafe { sweep(d, blocks, x.q8.blocks, x.q8.width, acc) }
            }
        }
    };
}

format!(Q4_0, U4, zero_point 8, min false, |d, p, j| nibble(d, p, j));
format!(Q4_1, U4, zero_point 0, min true, |d, p, j| nibble(d, p, j));
format!(Q5_0, U5, zero_point 16, min false, |d, p, j| d.or(nibble(d, p.add(64), j), fifth(d, p, j)));
format!(Q5_1, U5, zero_point 0, min true, |d, p, j| d.or(nibble(d, p.add(64), j), fifth(d, p, j)));
format!(Q8_0, Signed, zero_point 0, min false, |d, p, j| d.signed(d.load(p.add(64 * j))));
format!(Iq4Nl, Signed, zero_point 0, min false, |d, p, j| d.signed(d.look_up(&CODEBOOK, nibble(d, p, j))));

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

#[derive(Clone, Copy)]
struct Blocks<'a, D, W> {
    d: D,
    group: *const u8,
    layout: &'a GroupLayout,
    x: &'a TileQ8<'a>,
    /// What takes the zero point off again, where it is not 0.
    corrections: Option<&'a [i32]>,
    format: PhantomData<W>,
}

/// What a slice of a block gives to every column.
#[derive(Clone, Copy)]
struct Slice<D: Dot> {
    w: [D::Bytes; 8],
    factor: D::Floats,
    /// Meaningless where the format has no minimums.
    min: D::Floats,
}

impl<D: Dot, W: Block> sweep::Blocks<D> for Blocks<'_, D, W> {
    #[inline(always)]
    unsafe fn add_to_one(self, sum: D::Floats, b: usize, s: usize) -> D::Floats {
        // SAFETY: handed on from the caller.
        unsafe {
            let [sum] = self.add([sum], self.slice(b, s), b);
            sum
        }
    }

    #[inline(always)]
    unsafe fn add_to_all(self, b: usize, s: usize, acc: *mut f32) {
        let n = self.x.width;
        // SAFETY: handed on from the caller; the columns of a block's inputs are neighbours.
        unsafe {
            let slice = self.slice(b, s);
            for c in (0..paired::<D>(n)).step_by(2) {
                self.add_in_place::<2>(acc.add(16 * c), slice, b * n + c);
            }
            for c in paired::<D>(n)..n {
                self.add_in_place::<1>(acc.add(16 * c), slice, b * n + c);
            }
        }
    }
}

impl<'a, D: Dot, W: Block> Blocks<'a, D, W> {
    /// The byte of a zero weight as the dot product takes it.
    const ZERO_POINT: i32 = W::ZERO_POINT + if matches!(W::RANGE, Range::Signed) { D::SIGNED_ZERO_POINT } else { 0 };

    #[inline(always)]
    fn new(d: D, group: *const u8, layout: &'a GroupLayout, x: &'a TileQ8<'a>) -> Self {
        Self { d, group, layout, x, corrections: x.corrections(Self::ZERO_POINT), format: PhantomData }
    }

    /// Slice `s` of block `b`.
    #[inline(always)]
    unsafe fn slice(self, b: usize, s: usize) -> Slice<D> {
        let (d, l) = (self.d, self.layout);
        // SAFETY: the caller has the instructions and a block `b`, whose slices are `D::ROWS` rows each.
        unsafe {
            if s == 0 {
                prefetch_after(self.group.add(l.quants + b * l.block), l.block);
            }
            let factors = self.group.add(b * l.head + s * 2 * D::ROWS);
            let factor = d.load_halves(factors);
            let min = if W::MIN { d.load_halves(factors.add(l.mins)) } else { factor };
            Slice { w: W::unpack(d, self.group.add(l.quants + b * l.block + s * 4 * D::ROWS)), factor, min }
        }
    }

    /// [`add`](Self::add) to the sums of `C` columns in memory.
    #[inline(always)]
    unsafe fn add_in_place<const C: usize>(self, acc: *mut f32, slice: Slice<D>, at: usize) {
        let d = self.d;
        // SAFETY: the caller has the instructions and the columns.
        unsafe {
            let mut sums = [d.floats(0.0); C];
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = d.load_floats(acc.add(16 * c));
            }
            let sums = self.add(sums, slice, at);
            for (c, sum) in sums.into_iter().enumerate() {
                d.store_floats(acc.add(16 * c), sum);
            }
        }
    }

    /// `sums` and the products of a slice with the blocks of the inputs from `at`, one for each of `C` columns.
    #[inline(always)]
    unsafe fn add<const C: usize>(self, mut sums: [D::Floats; C], slice: Slice<D>, at: usize) -> [D::Floats; C] {
        let (d, x) = (self.d, self.x);
        // SAFETY: the caller has the instructions and blocks of the inputs from `at`.
        unsafe {
            let (mut start, mut q) = ([d.ints(0); C], [x.q.as_ptr().add(32 * at); C]);
            for c in 0..C {
                q[c] = q[0].add(32 * c);
                if let Some(corrections) = self.corrections {
                    start[c] = d.ints(*corrections.get_unchecked(at + c));
                }
            }
            let products = d.dots(start, slice.w, q, W::RANGE, None);
            for c in 0..C {
                let factor = d.mul(slice.factor, d.floats(*x.d.get_unchecked(at + c)));
                sums[c] = d.mul_add(d.to_floats(products[c]), factor, sums[c]);
                if W::MIN {
                    sums[c] = d.mul_add(slice.min, d.floats(*x.s.get_unchecked(at + c)), sums[c]);
                }
            }
            sums
        }
    }
}
