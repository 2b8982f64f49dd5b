//! Lanes in plain Rust.

use super::vector::{LANES, Simd, WIDE};
use half::f16;

/// The token of plain Rust: always available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalar;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Scalar {
    type F32 = [f32; LANES];
    type Wide = [f32; WIDE];
    const WIDE_REGISTERS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F32 {
        *x
    }
    #[inline(always)]
    fn store(self, v: Self::F32, out: &mut [f32; LANES]) {
        *out = v;
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Self::F32 {
        x.map(f16::to_f32)
    }
    #[inline(always)]
    fn store_f16(self, v: Self::F32, out: &mut [f16; LANES]) {
        *out = v.map(f16::from_f32);
    }
    #[inline(always)]
    fn store_i8(self, v: [Self::F32; 4], out: &mut [i8; 4 * LANES]) {
        out.iter_mut().zip(v.as_flattened()).for_each(|(out, v)| *out = *v as i8);
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    // Written out because x86's MAXPS and MINPS return the second operand for NaN and for equal zeros.
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: Self::F32) -> Self::F32 {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        a.map(f32::abs)
    }
    #[inline(always)]
    fn pow2(self, n: Self::F32) -> Self::F32 {
        n.map(|n| f32::from_bits(((n as i32).wrapping_add(127) as u32) << 23))
    }
    #[inline(always)]
    fn select_lt(self, a: Self::F32, b: Self::F32, yes: Self::F32, no: Self::F32) -> Self::F32 {
        std::array::from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn sum(self, v: Self::F32) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    fn largest(self, v: Self::F32) -> f32 {
        let max = |a: f32, b: f32| if a > b { a } else { b };
        max(max(max(v[0], v[4]), max(v[2], v[6])), max(max(v[1], v[5]), max(v[3], v[7])))
    }

    #[inline(always)]
    fn wide_splat(self, x: f32) -> Self::Wide {
        [x; WIDE]
    }
    #[inline(always)]
    fn wide_load(self, x: &[f32; WIDE]) -> Self::Wide {
        *x
    }
    #[inline(always)]
    fn wide_load_f16(self, x: &[f16; WIDE]) -> Self::Wide {
        x.map(f16::to_f32)
    }
    #[inline(always)]
    fn wide_load_i8(self, x: &[i8; WIDE]) -> Self::Wide {
        x.map(f32::from)
    }
    #[inline(always)]
    fn wide_store(self, v: Self::Wide, out: &mut [f32; WIDE]) {
        *out = v;
    }
    #[inline(always)]
    fn wide_add(self, a: Self::Wide, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn wide_mul(self, a: Self::Wide, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn wide_mul_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}
