//! Sixteen lanes in one AVX-512 register; eight as [`Avx2`] has them.

use super::avx2::Avx2;
use super::vector::{LANES, Simd, WIDE};
use half::f16;
use std::arch::x86_64::*;

/// The token of x86-64 with AVX-512 (F, BW, DQ, VL, VNNI), and all that [`Avx2`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512 {
    avx2: Avx2,
}

impl Avx512 {
    /// The token, on a processor that has the extensions.
    pub fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        Avx2::new().filter(|_| found).map(|avx2| Self { avx2 })
    }

    /// The token of the instructions that this one includes.
    pub fn avx2(self) -> Avx2 {
        self.avx2
    }
}

/// Intrinsics without memory access: sound wherever a token exists.
macro_rules! lanes {
    ($e:expr) => {
        // SAFETY: `self` is an `Avx512` token, which exists only where its extensions were detected.
        unsafe { $e }
    };
}

impl Simd for Avx512 {
    type F32 = __m256;
    type Wide = __m512;
    const WIDE_REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        self.avx2.splat(x)
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m256 {
        self.avx2.load(x)
    }
    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32; LANES]) {
        self.avx2.store(v, out)
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> __m256 {
        self.avx2.load_f16(x)
    }
    #[inline(always)]
    fn store_f16(self, v: __m256, out: &mut [f16; LANES]) {
        self.avx2.store_f16(v, out)
    }
    #[inline(always)]
    fn store_i8(self, v: [__m256; 4], out: &mut [i8; 4 * LANES]) {
        self.avx2.store_i8(v, out)
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        self.avx2.add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        self.avx2.sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        self.avx2.mul(a, b)
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        self.avx2.div(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.avx2.mul_add(a, b, c)
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        self.avx2.max(a, b)
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        self.avx2.min(a, b)
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        self.avx2.round(a)
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        self.avx2.abs(a)
    }
    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        self.avx2.pow2(n)
    }
    #[inline(always)]
    fn select_lt(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        self.avx2.select_lt(a, b, yes, no)
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        self.avx2.sum(v)
    }
    #[inline(always)]
    fn largest(self, v: __m256) -> f32 {
        self.avx2.largest(v)
    }

    #[inline(always)]
    fn wide_splat(self, x: f32) -> __m512 {
        lanes!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn wide_load(self, x: &[f32; WIDE]) -> __m512 {
        // SAFETY: the token proves avx512f; `x` is 64 readable bytes and the load is unaligned.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn wide_load_f16(self, x: &[f16; WIDE]) -> __m512 {
        // SAFETY: the token proves avx512f; `x` is 32 readable bytes and the load is unaligned.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn wide_load_i8(self, x: &[i8; WIDE]) -> __m512 {
        // SAFETY: the token proves avx512f; `x` is 16 readable bytes and the load is unaligned.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn wide_store(self, v: __m512, out: &mut [f32; WIDE]) {
        // SAFETY: the token proves avx512f; `out` is 64 writable bytes and the store is unaligned.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn wide_add(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn wide_mul(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn wide_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        lanes!(_mm512_fmadd_ps(a, b, c))
    }
}
