//! Eight lanes in two NEON registers, sixteen in four.

use super::vector::{LANES, Simd, WIDE};
use half::f16;
use std::arch::aarch64::*;
use std::arch::asm;
use std::arch::is_aarch64_feature_detected;

/// The token of 64-bit Arm with NEON, which all of them have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon {
    _private: (),
}

impl Neon {
    /// The token.
    pub fn new() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self { _private: () })
    }
}

/// The token of [`Neon`] and the dot products of four bytes (SDOT, in Armv8.2 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dotprod {
    neon: Neon,
}

impl Dotprod {
    /// The token, on a processor that has the extension.
    pub fn new() -> Option<Self> {
        Neon::new().filter(|_| is_aarch64_feature_detected!("dotprod")).map(|neon| Self { neon })
    }

    /// The token of the instructions that this one includes.
    pub fn neon(self) -> Neon {
        self.neon
    }
}

/// The token of [`Dotprod`] and the products of 2 x 8 matrices of bytes (SMMLA, in Armv8.6 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct I8mm {
    dotprod: Dotprod,
}

impl I8mm {
    /// The token, on a processor that has the extensions.
    pub fn new() -> Option<Self> {
        Dotprod::new().filter(|_| is_aarch64_feature_detected!("i8mm")).map(|dotprod| Self { dotprod })
    }

    /// The token of the instructions that this one includes.
    pub fn dotprod(self) -> Dotprod {
        self.dotprod
    }

    /// The token of the instructions that this one includes.
    pub fn neon(self) -> Neon {
        self.dotprod.neon
    }
}

/// Intrinsics without memory access: sound on every 64-bit Arm.
macro_rules! lanes {
    ($e:expr) => {
        // SAFETY: NEON is part of the platform, and whoever calls this holds a token that says so.
        unsafe { $e }
    };
}

type Pair = [float32x4_t; 2];

#[inline(always)]
fn zip(a: Pair, b: Pair, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Pair {
    [f(a[0], b[0]), f(a[1], b[1])]
}

// FMAX and FMIN order signed zeros and pass NaN on; the trait wants the second operand in both cases.
#[inline(always)]
fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    lanes!(vbslq_f32(vcgtq_f32(a, b), a, b))
}
#[inline(always)]
fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    lanes!(vbslq_f32(vcltq_f32(a, b), a, b))
}

impl Simd for Neon {
    type F32 = Pair;
    type Wide = [float32x4_t; 4];
    const WIDE_REGISTERS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        lanes!([vdupq_n_f32(x); 2])
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Pair {
        // SAFETY: `x` is 32 readable bytes.
        unsafe { [vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))] }
    }
    #[inline(always)]
    fn store(self, v: Pair, out: &mut [f32; LANES]) {
        // SAFETY: `out` is 32 writable bytes.
        unsafe {
            vst1q_f32(out.as_mut_ptr(), v[0]);
            vst1q_f32(out.as_mut_ptr().add(4), v[1]);
        }
    }
    // The intrinsics on half-precision vectors are unstable; the instructions belong to every 64-bit Arm.
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Pair {
        let (low, high): (float32x4_t, float32x4_t);
        // SAFETY: `x` is 16 readable bytes; both instructions only compute.
        unsafe {
            let halves = vld1q_u16(x.as_ptr().cast());
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) low, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
            asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) high, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
        }
        [low, high]
    }
    #[inline(always)]
    fn store_f16(self, v: Pair, out: &mut [f16; LANES]) {
        let mut halves: uint16x8_t;
        // SAFETY: both instructions only compute; `out` is 16 writable bytes.
        unsafe {
            asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) halves, in(vreg) v[0], options(pure, nomem, nostack, preserves_flags));
            asm!("fcvtn2 {0:v}.8h, {1:v}.4s", inout(vreg) halves, in(vreg) v[1], options(pure, nomem, nostack, preserves_flags));
            vst1q_u16(out.as_mut_ptr().cast(), halves);
        }
    }
    #[inline(always)]
    fn store_i8(self, v: [Pair; 4], out: &mut [i8; 4 * LANES]) {
        let (chunks, _) = out.as_chunks_mut::<LANES>();
        for ([low, high], out) in v.into_iter().zip(chunks) {
            // SAFETY: NEON is part of the platform; `out` is 8 writable bytes.
            unsafe {
                let words = vcombine_s16(vqmovn_s32(vcvtq_s32_f32(low)), vqmovn_s32(vcvtq_s32_f32(high)));
                vst1_s8(out.as_mut_ptr(), vqmovn_s16(words));
            }
        }
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        zip(a, b, |a, b| lanes!(vaddq_f32(a, b)))
    }
    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        zip(a, b, |a, b| lanes!(vsubq_f32(a, b)))
    }
    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        zip(a, b, |a, b| lanes!(vmulq_f32(a, b)))
    }
    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        zip(a, b, |a, b| lanes!(vdivq_f32(a, b)))
    }
    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        lanes!([vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])])
    }
    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        zip(a, b, max)
    }
    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        zip(a, b, min)
    }
    #[inline(always)]
    fn round(self, a: Pair) -> Pair {
        a.map(|a| lanes!(vrndnq_f32(a)))
    }
    #[inline(always)]
    fn abs(self, a: Pair) -> Pair {
        a.map(|a| lanes!(vabsq_f32(a)))
    }
    #[inline(always)]
    fn pow2(self, n: Pair) -> Pair {
        n.map(|n| {
            lanes!({
                let biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
            })
        })
    }
    #[inline(always)]
    fn select_lt(self, a: Pair, b: Pair, yes: Pair, no: Pair) -> Pair {
        std::array::from_fn(|i| lanes!(vbslq_f32(vcltq_f32(a[i], b[i]), yes[i], no[i])))
    }
    #[inline(always)]
    fn sum(self, v: Pair) -> f32 {
        lanes!({
            let four = vaddq_f32(v[0], v[1]);
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        })
    }
    #[inline(always)]
    fn largest(self, v: Pair) -> f32 {
        lanes!({
            let four = max(v[0], v[1]);
            let two = max(four, vextq_f32::<2>(four, four));
            vgetq_lane_f32::<0>(max(two, vextq_f32::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn wide_splat(self, x: f32) -> Self::Wide {
        lanes!([vdupq_n_f32(x); 4])
    }
    #[inline(always)]
    fn wide_load(self, x: &[f32; WIDE]) -> Self::Wide {
        // SAFETY: `x` is 64 readable bytes.
        std::array::from_fn(|i| unsafe { vld1q_f32(x.as_ptr().add(4 * i)) })
    }
    #[inline(always)]
    fn wide_load_f16(self, x: &[f16; WIDE]) -> Self::Wide {
        let (halves, _) = x.as_chunks();
        let ([a, b], [c, d]) = (self.load_f16(&halves[0]), self.load_f16(&halves[1]));
        [a, b, c, d]
    }
    #[inline(always)]
    fn wide_load_i8(self, x: &[i8; WIDE]) -> Self::Wide {
        // SAFETY: NEON is part of the platform; `x` is 16 readable bytes.
        unsafe {
            let bytes = vld1q_s8(x.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
                .map(|v| vcvtq_f32_s32(v))
        }
    }
    #[inline(always)]
    fn wide_store(self, v: Self::Wide, out: &mut [f32; WIDE]) {
        let (quarters, _) = out.as_chunks_mut::<4>();
        for (v, out) in v.into_iter().zip(quarters) {
            // SAFETY: `out` is 16 writable bytes.
            unsafe { vst1q_f32(out.as_mut_ptr(), v) }
        }
    }
    #[inline(always)]
    fn wide_add(self, a: Self::Wide, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| lanes!(vaddq_f32(a[i], b[i])))
    }
    #[inline(always)]
    fn wide_mul(self, a: Self::Wide, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| lanes!(vmulq_f32(a[i], b[i])))
    }
    #[inline(always)]
    fn wide_mul_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| lanes!(vfmaq_f32(c[i], a[i], b[i])))
    }
}
