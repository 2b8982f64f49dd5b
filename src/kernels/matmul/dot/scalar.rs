//! Plain Rust: every platform, and the reference for all others.

use super::{Dot, Range};
use crate::simd::Scalar;
use half::f16;

products!(Scalar);

/// Two 16-bit numbers of each row.
fn halves(pair: i32) -> [i32; 2] {
    [i32::from(pair as i16), pair >> 16]
}

fn pair(low: i32, high: i32) -> i32 {
    low & 0xffff | high << 16
}

impl Dot for Scalar {
    const ROWS: usize = 16;
    const SIGNED_ZERO_POINT: i32 = 0;
    type Bytes = [u8; 64];
    type Ints = [i32; 16];
    type Floats = [f32; 16];

    unsafe fn load(self, p: *const u8) -> [u8; 64] {
        // SAFETY: the caller gives 64 bytes.
        unsafe { p.cast::<[u8; 64]>().read_unaligned() }
    }
    unsafe fn bytes(self, x: u8) -> [u8; 64] {
        [x; 64]
    }
    unsafe fn and(self, a: [u8; 64], mask: u8) -> [u8; 64] {
        a.map(|a| a & mask)
    }
    unsafe fn or(self, a: [u8; 64], b: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|i| a[i] | b[i])
    }
    unsafe fn shl(self, a: [u8; 64], n: u32) -> [u8; 64] {
        a.map(|a| a << n)
    }
    unsafe fn shr(self, a: [u8; 64], n: u32) -> [u8; 64] {
        a.map(|a| a >> n)
    }
    unsafe fn look_up(self, table: &[i8; 16], i: [u8; 64]) -> [u8; 64] {
        i.map(|i| table[usize::from(i & 15)] as u8)
    }
    unsafe fn signed(self, a: [u8; 64]) -> [u8; 64] {
        a
    }

    unsafe fn dot<const N: usize>(
        self,
        acc: [i32; 16],
        w: [[u8; 64]; N],
        x: *const i8,
        range: Range,
        scale: Option<[i32; 16]>,
    ) -> [i32; 16] {
        let signed = range == Range::Signed;
        std::array::from_fn(|r| {
            let mut sum = 0;
            for (j, w) in w.iter().enumerate() {
                for i in 0..4 {
                    let w = w[4 * r + i];
                    // SAFETY: the caller gives 4 N bytes.
                    let x = i32::from(unsafe { *x.add(4 * j + i) });
                    sum += x * if signed { i32::from(w as i8) } else { i32::from(w) };
                }
            }
            acc[r] + sum * scale.map_or(1, |scale| scale[r])
        })
    }

    unsafe fn pairs_u8(self, p: *const u8) -> [i32; 16] {
        // SAFETY: the caller gives 32 bytes.
        let bytes = unsafe { p.cast::<[[u8; 2]; 16]>().read_unaligned() };
        bytes.map(|[a, b]| pair(i32::from(a), i32::from(b)))
    }
    unsafe fn pairs_i8(self, p: *const u8) -> [i32; 16] {
        // SAFETY: the caller gives 32 bytes.
        let bytes = unsafe { p.cast::<[[i8; 2]; 16]>().read_unaligned() };
        bytes.map(|[a, b]| pair(i32::from(a), i32::from(b)))
    }
    unsafe fn scale_pairs(self, pairs: [i32; 16], by: i16) -> [i32; 16] {
        pairs.map(|p| pair(halves(p)[0] * i32::from(by), halves(p)[1] * i32::from(by)))
    }
    unsafe fn split_pairs(self, pairs: [i32; 16]) -> ([i32; 16], [i32; 16]) {
        (pairs.map(|p| p & 0x000f_000f), pairs.map(|p| p >> 4 & 0x000f_000f))
    }
    unsafe fn even(self, pairs: [i32; 16]) -> [i32; 16] {
        pairs.map(|p| halves(p)[0])
    }
    unsafe fn odd(self, pairs: [i32; 16]) -> [i32; 16] {
        pairs.map(|p| halves(p)[1])
    }
    unsafe fn dot_pairs(self, acc: [i32; 16], pairs: [i32; 16], x: *const i16) -> [i32; 16] {
        // SAFETY: the caller gives two numbers.
        let x = unsafe { [i32::from(*x), i32::from(*x.add(1))] };
        std::array::from_fn(|r| acc[r] + halves(pairs[r])[0] * x[0] + halves(pairs[r])[1] * x[1])
    }

    unsafe fn ints(self, x: i32) -> [i32; 16] {
        [x; 16]
    }
    unsafe fn load_ints(self, p: *const i32) -> [i32; 16] {
        // SAFETY: the caller gives 16 integers.
        unsafe { p.cast::<[i32; 16]>().read_unaligned() }
    }
    unsafe fn store_ints(self, p: *mut i32, v: [i32; 16]) {
        // SAFETY: the caller gives room for 16 integers.
        unsafe { p.cast::<[i32; 16]>().write_unaligned(v) }
    }
    unsafe fn to_floats(self, v: [i32; 16]) -> [f32; 16] {
        v.map(|v| v as f32)
    }

    unsafe fn floats(self, x: f32) -> [f32; 16] {
        [x; 16]
    }
    unsafe fn load_halves(self, p: *const u8) -> [f32; 16] {
        // SAFETY: the caller gives 32 bytes.
        unsafe { p.cast::<[[u8; 2]; 16]>().read_unaligned() }.map(|b| f16::from_le_bytes(b).to_f32())
    }
    unsafe fn load_floats(self, p: *const f32) -> [f32; 16] {
        // SAFETY: the caller gives 16 numbers.
        unsafe { p.cast::<[f32; 16]>().read_unaligned() }
    }
    unsafe fn store_floats(self, p: *mut f32, v: [f32; 16]) {
        // SAFETY: the caller gives room for 16 numbers.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(v) }
    }
    unsafe fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|r| a[r] * b[r])
    }
    unsafe fn mul_add(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|r| a[r].mul_add(b[r], c[r]))
    }
}
