//! How each format's bytes and scales are unpacked.

use super::{Block, Blocks, HALVES};
use crate::kernels::matmul::dot::{Dot, Range};
use crate::kernels::matmul::sweep::sweep;
use crate::kernels::matmul::{Tile, Weights};
use crate::kernels::packed::GroupLayout;
use crate::quant::iq4_nl::CODEBOOK;

macro_rules! format {
    ($name:ident, $range:ident, zero_point $zero_point:literal, half_scales $half:literal, min $min:literal,
     scales |$sd:ident, $sp:ident, $pair:ident| $scales:expr, $(mins $mins:expr,)?
     |$d:ident, $p:ident, $g:ident, $j:ident| $byte:expr) => {
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        pub(in crate::kernels::matmul) struct $name;

        impl Block for $name {
            const RANGE: Range = Range::$range;
            const ZERO_POINT: i32 = $zero_point;
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
            unsafe fn products<D: Dot>(d: D, group: *const u8, layout: &GroupLayout, x: Tile<'_>, acc: *mut f32) {
                let blocks = Blocks::<D, Self>::new(d, group, layout, x.q8k);
                // SAFETY: handed on from the caller.
                unsafe { sweep(d, blocks, x.q8k.blocks, x.q8k.width, acc) }
            }
        }
    };
}

format!(Q2_K, U4, zero_point 0, half_scales true, min true,
    scales |d, p, pair| d.split_pairs(d.pairs_u8(p.add((2 + pair) * HALVES))).0,
    mins d.split_pairs(d.pairs_u8(p.add((2 + pair) * HALVES))).1,
    |d, p, g, j| field2(d, p, g, j));
format!(Q3_K, U4, zero_point 4, half_scales true, min false,
    scales |d, p, pair| d.pairs_i8(p.add((1 + pair) * HALVES)),
    |d, p, g, j| d.or(field2(d, p.add(8 * 64), g, j), bit(d, p, g, j, 2)));
format!(Q4_K, U4, zero_point 0, half_scales false, min true,
    scales |d, p, pair| d.pairs_u8(p.add((2 + pair) * HALVES)), mins d.pairs_u8(p.add((6 + pair) * HALVES)),
    |d, p, g, j| nibble(d, p, g, j));
format!(Q5_K, U5, zero_point 0, half_scales false, min true,
    scales |d, p, pair| d.pairs_u8(p.add((2 + pair) * HALVES)), mins d.pairs_u8(p.add((6 + pair) * HALVES)),
    |d, p, g, j| d.or(nibble(d, p.add(8 * 64), g, j), bit(d, p, g, j, 4)));
format!(Q6_K, U6, zero_point 32, half_scales true, min false,
    scales |d, p, pair| d.pairs_i8(p.add((1 + pair) * HALVES)),
    |d, p, g, j| d.or(nibble_of_half(d, p, g, j), high2(d, p.add(32 * 64), g, j)));
format!(Iq4Xs, Signed, zero_point 0, half_scales false, min false,
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
