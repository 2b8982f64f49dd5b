//! The integer dot products of each instruction set, as one small trait that all sweeps are written over.
//!
//! A vector holds four neighbouring bytes of `ROWS` neighbouring rows, so a dot product leaves one sum per row and
//! nothing is ever added across lanes. All sums are exact, so every instruction set gives the same bits.

use super::Tile;
use crate::kernels::activations::TILE;
use crate::kernels::packed::{GROUP_ROWS, PackedMatrix};
use crate::simd::{Isa, Scalar};

/// Defines `products(token, …)` for an instruction set: one function per format, each with the features enabled.
macro_rules! products {
    ($token:ty $(, $features:literal)?) => {
        use crate::kernels::matmul::{blocks32, blocks256, Tile, Weights};
        use crate::kernels::activations::TILE;
        use crate::kernels::packed::{GROUP_ROWS, GroupLayout, PackedMatrix};

        /// `acc[column][row]` = group `group` of `w` times the columns of `x`.
        pub(super) fn products(
            token: $token,
            w: &PackedMatrix,
            group: usize,
            x: Tile<'_>,
            acc: &mut [f32; GROUP_ROWS * TILE],
        ) {
            use crate::quant::QuantType::*;
            let run = match w.ty() {
                Q4_0 => enabled::<blocks32::Q4_0>,
                Q4_1 => enabled::<blocks32::Q4_1>,
                Q5_0 => enabled::<blocks32::Q5_0>,
                Q5_1 => enabled::<blocks32::Q5_1>,
                Q8_0 => enabled::<blocks32::Q8_0>,
                IQ4_NL => enabled::<blocks32::Iq4Nl>,
                Q2_K => enabled::<blocks256::Q2_K>,
                Q3_K => enabled::<blocks256::Q3_K>,
                Q4_K => enabled::<blocks256::Q4_K>,
                Q5_K => enabled::<blocks256::Q5_K>,
                Q6_K => enabled::<blocks256::Q6_K>,
                IQ4_XS => enabled::<blocks256::Iq4Xs>,
                // Matrices of floats have products of their own.
                F32 | F16 | BF16 => return,
            };
            // SAFETY: the token proves that the extensions are present; a packed matrix holds whole groups of its format,
            // the inputs were checked to have as many blocks in the form for it, and a tile has at most `TILE` columns.
            unsafe { run(token, w.group(group).as_ptr(), &w.layout(), x, acc.as_mut_ptr()) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe fn enabled<W: Weights>(token: $token, group: *const u8, layout: &GroupLayout, x: Tile<'_>, acc: *mut f32) {
            // SAFETY: handed on from the caller.
            unsafe { W::products(token, group, layout, x, acc) }
        }
    };
}

/// Intrinsics inside a method of [`Dot`], whose caller has the instructions and gives pointers to enough bytes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! op {
    ($e:expr) => {
        // SAFETY: the caller's promise.
        unsafe { $e }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod ymm;

/// The values that a format's unpacked bytes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// 0 to 15: with inputs of at most 127, eight products of pairs fit 16 bits.
    U4,
    /// 0 to 31: four fit.
    U5,
    /// 0 to 63: two fit.
    U6,
    /// -128 to 127: one fits.
    Signed,
}

/// One instruction set.
///
/// Every method needs the instructions that the token stands for, and pointers to as many bytes as it says. Methods must
/// be `#[inline(always)]`, so that they are compiled inside the function that enables the instructions.
pub(super) trait Dot: Copy {
    /// Rows of one vector; 16 is a multiple of it.
    const ROWS: usize;
    /// The byte that [`signed`](Self::signed) makes of 0.
    const SIGNED_ZERO_POINT: i32;
    /// Columns that [`dots`](Self::dots) does best at once: 1 or 2.
    const COLUMNS: usize = 1;
    /// Four bytes of each row.
    type Bytes: Copy;
    /// One 32-bit integer of each row, or two of 16 bits.
    type Ints: Copy;
    /// One f32 of each row.
    type Floats: Copy;

    /// `4 * ROWS` bytes.
    unsafe fn load(self, p: *const u8) -> Self::Bytes;
    /// `x` in all bytes.
    unsafe fn bytes(self, x: u8) -> Self::Bytes;
    /// `a & mask` with `mask` in every byte.
    unsafe fn and(self, a: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `a | b`.
    unsafe fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Every pair of bytes shifted left by `n` bits as a number of 16 bits; the caller masks what crosses over.
    unsafe fn shl(self, a: Self::Bytes, n: u32) -> Self::Bytes;
    /// Every pair of bytes shifted right by `n` bits as a number of 16 bits; the caller masks what crosses over.
    unsafe fn shr(self, a: Self::Bytes, n: u32) -> Self::Bytes;
    /// `table[i]` for every byte `i` below 16.
    unsafe fn look_up(self, table: &[i8; 16], i: Self::Bytes) -> Self::Bytes;
    /// Signed bytes as [`dot`](Self::dot) takes them.
    unsafe fn signed(self, a: Self::Bytes) -> Self::Bytes;

    /// `acc + scale * (w[0] . x[0..4] + w[1] . x[4..8] + …)` for every row; a scale, from [`even`](Self::even) or
    /// [`odd`](Self::odd), only where there is one. `x` points to `4 * N` bytes between -127 and 127.
    unsafe fn dot<const N: usize>(
        self,
        acc: Self::Ints,
        w: [Self::Bytes; N],
        x: *const i8,
        range: Range,
        scale: Option<Self::Ints>,
    ) -> Self::Ints;

    /// [`dot`](Self::dot) of each of `C` columns.
    #[inline(always)]
    unsafe fn dots<const N: usize, const C: usize>(
        self,
        mut acc: [Self::Ints; C],
        w: [Self::Bytes; N],
        x: [*const i8; C],
        range: Range,
        scale: Option<Self::Ints>,
    ) -> [Self::Ints; C] {
        for c in 0..C {
            // SAFETY: handed on from the caller.
            acc[c] = unsafe { self.dot(acc[c], w, x[c], range, scale) };
        }
        acc
    }

    /// `2 * ROWS` unsigned bytes, widened to pairs of 16 bits.
    unsafe fn pairs_u8(self, p: *const u8) -> Self::Ints;
    /// `2 * ROWS` signed bytes, widened to pairs of 16 bits.
    unsafe fn pairs_i8(self, p: *const u8) -> Self::Ints;
    /// Pairs, each number times `by`.
    unsafe fn scale_pairs(self, pairs: Self::Ints, by: i16) -> Self::Ints;
    /// Pairs of nibbles `(low, high)` of numbers below 256: the low ones, the high ones.
    unsafe fn split_pairs(self, pairs: Self::Ints) -> (Self::Ints, Self::Ints);
    /// The first of each pair as a scale.
    unsafe fn even(self, pairs: Self::Ints) -> Self::Ints;
    /// The second of each pair as a scale.
    unsafe fn odd(self, pairs: Self::Ints) -> Self::Ints;
    /// `acc + pair[0] * x[0] + pair[1] * x[1]` for every row; `x` points to two numbers.
    unsafe fn dot_pairs(self, acc: Self::Ints, pairs: Self::Ints, x: *const i16) -> Self::Ints;

    /// `x` for every row.
    unsafe fn ints(self, x: i32) -> Self::Ints;
    /// Reads what [`store_ints`](Self::store_ints) wrote.
    unsafe fn load_ints(self, p: *const i32) -> Self::Ints;
    /// Writes `ROWS` integers.
    unsafe fn store_ints(self, p: *mut i32, v: Self::Ints);
    /// Nearest f32.
    unsafe fn to_floats(self, v: Self::Ints) -> Self::Floats;

    /// `x` for every row.
    unsafe fn floats(self, x: f32) -> Self::Floats;
    /// `ROWS` half-precision numbers, widened.
    unsafe fn load_halves(self, p: *const u8) -> Self::Floats;
    /// `ROWS` numbers.
    unsafe fn load_floats(self, p: *const f32) -> Self::Floats;
    /// Writes `ROWS` numbers.
    unsafe fn store_floats(self, p: *mut f32, v: Self::Floats);
    /// `a * b`.
    unsafe fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    unsafe fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
}

/// `acc[column][row]` = group `group` of `w`, a matrix of integers, times the columns of `x`, on `isa`.
pub(super) fn products(isa: Isa, w: &PackedMatrix, group: usize, x: Tile<'_>, acc: &mut [f32; GROUP_ROWS * TILE]) {
    match isa {
        Isa::Scalar => scalar::products(Scalar, w, group, x, acc),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(token) => avx2::products(token, w, group, x, acc),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni(token) => avxvnni::products(token, w, group, x, acc),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(token) => avx512::products(token, w, group, x, acc),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(token) => neon::products(token, w, group, x, acc),
        #[cfg(target_arch = "aarch64")]
        Isa::Dotprod(token) => dotprod::products(token, w, group, x, acc),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm(token) => i8mm::products(token, w, group, x, acc),
    }
}
