//! Eight lanes in one AVX2 register, sixteen in two.

use super::vector::{LANES, Simd, WIDE};
use half::f16;
use std::arch::x86_64::*;

/// The token of x86-64 with AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2 {
    _private: (),
}

impl Avx2 {
    /// The token, on a processor that has all three extensions.
    pub fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        (found && is_x86_feature_detected!("f16c")).then_some(Self { _private: () })
    }
}

/// The token of [`Avx2`] and the 256-bit form of VPDPBUSD (AVX-VNNI).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvxVnni {
    avx2: Avx2,
}

impl AvxVnni {
    /// The token, on a processor that has the extensions.
    pub fn new() -> Option<Self> {
        Avx2::new().filter(|_| is_x86_feature_detected!("avxvnni")).map(|avx2| Self { avx2 })
    }

    /// The token of the instructions that this one includes.
    pub fn avx2(self) -> Avx2 {
        self.avx2
    }
}

/// Intrinsics without memory access: sound wherever a token exists.
macro_rules! lanes {
    ($e:expr) => {
        // SAFETY: `self` is an `Avx2` token, which exists only where avx2, fma and f16c were detected.
        unsafe { $e }
    };
}

impl Simd for Avx2 {
    type F32 = __m256;
    type Wide = [__m256; 2];
    const WIDE_REGISTERS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        lanes!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m256 {
        // SAFETY: the token proves avx; `x` is 32 readable bytes and the load is unaligned.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32; LANES]) {
        // SAFETY: the token proves avx; `out` is 32 writable bytes and the store is unaligned.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> __m256 {
        // SAFETY: the token proves f16c; `x` is 16 readable bytes and the load is unaligned.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_f16(self, v: __m256, out: &mut [f16; LANES]) {
        // SAFETY: the token proves f16c; `out` is 16 writable bytes and the store is unaligned.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    fn store_i8(self, v: [__m256; 4], out: &mut [i8; 4 * LANES]) {
        // SAFETY: the token proves avx2; `out` is 32 writable bytes and the store is unaligned.
        unsafe {
            let [a, b, c, d] = [
                _mm256_cvtps_epi32(v[0]),
                _mm256_cvtps_epi32(v[1]),
                _mm256_cvtps_epi32(v[2]),
                _mm256_cvtps_epi32(v[3]),
            ];
            let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
            // The packs work on each half of the register; this puts the dwords back in order.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_permutevar8x32_epi32(packed, order));
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        lanes!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        lanes!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        lanes!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        lanes!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        lanes!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        lanes!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        lanes!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        lanes!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        lanes!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))
    }
    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        lanes!({
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        })
    }
    #[inline(always)]
    fn select_lt(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        lanes!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        lanes!({
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn largest(self, v: __m256) -> f32 {
        lanes!({
            let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn wide_splat(self, x: f32) -> Self::Wide {
        [self.splat(x); 2]
    }
    #[inline(always)]
    fn wide_load(self, x: &[f32; WIDE]) -> Self::Wide {
        let (halves, _) = x.as_chunks();
        [self.load(&halves[0]), self.load(&halves[1])]
    }
    #[inline(always)]
    fn wide_load_f16(self, x: &[f16; WIDE]) -> Self::Wide {
        let (halves, _) = x.as_chunks();
        [self.load_f16(&halves[0]), self.load_f16(&halves[1])]
    }
    #[inline(always)]
    fn wide_load_i8(self, x: &[i8; WIDE]) -> Self::Wide {
        // SAFETY: the token proves avx2; `x` is 16 readable bytes and the loads are of 8 each.
        unsafe {
            let p = x.as_ptr();
            let [low, high] = [_mm_loadl_epi64(p.cast()), _mm_loadl_epi64(p.add(LANES).cast())];
            [_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high))]
        }
    }
    #[inline(always)]
    fn wide_store(self, v: Self::Wide, out: &mut [f32; WIDE]) {
        let (halves, _) = out.as_chunks_mut();
        self.store(v[0], &mut halves[0]);
        self.store(v[1], &mut halves[1]);
    }
    #[inline(always)]
    fn wide_add(self, a: Self::Wide, b: Self::Wide) -> Self::Wide {
        [self.add(a[0], b[0]), self.add(a[1], b[1])]
    }
    #[inline(always)]
    fn wide_mul(self, a: Self::Wide, b: Self::Wide) -> Self::Wide {
        [self.mul(a[0], b[0]), self.mul(a[1], b[1])]
    }
    #[inline(always)]
    fn wide_mul_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide {
        [self.mul_add(a[0], b[0], c[0]), self.mul_add(a[1], b[1], c[1])]
    }
}
