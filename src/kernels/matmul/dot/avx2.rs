//! AVX2: eight rows in a register, VPMADDUBSW with as many sums in 16 bits as the values allow.

use super::{Dot, Range};
use crate::simd::Avx2;
use std::arch::x86_64::*;

products!(Avx2, "avx2,fma,f16c");

/// Intrinsics inside a method of [`Dot`], whose caller has the instructions and gives pointers to enough bytes.
macro_rules! op {
    ($e:expr) => {
        // SAFETY: the caller's promise.
        unsafe { $e }
    };
}

impl Dot for Avx2 {
    const ROWS: usize = 8;
    // The sign of a weight goes to its input instead.
    const SIGNED_EXCESS: i32 = 0;
    type Bytes = __m256i;
    type Ints = __m256i;
    type Floats = __m256;

    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> __m256i {
        op!(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn bytes(self, x: u8) -> __m256i {
        op!(_mm256_set1_epi8(x as i8))
    }
    #[inline(always)]
    unsafe fn and(self, a: __m256i, mask: u8) -> __m256i {
        op!(_mm256_and_si256(a, _mm256_set1_epi8(mask as i8)))
    }
    #[inline(always)]
    unsafe fn or(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    unsafe fn shl(self, a: __m256i, n: u32) -> __m256i {
        op!(_mm256_sll_epi16(a, _mm_cvtsi32_si128(n as i32)))
    }
    #[inline(always)]
    unsafe fn shr(self, a: __m256i, n: u32) -> __m256i {
        op!(_mm256_srl_epi16(a, _mm_cvtsi32_si128(n as i32)))
    }
    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], i: __m256i) -> __m256i {
        op!(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())), i))
    }
    #[inline(always)]
    unsafe fn signed(self, a: __m256i) -> __m256i {
        a
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        self,
        acc: __m256i,
        w: [__m256i; N],
        x: *const i8,
        range: Range,
        scale: Option<__m256i>,
    ) -> __m256i {
        // Products of pairs whose sum fits 16 bits at the largest values.
        let deep = match range {
            Range::U4 => 8,
            Range::U5 => 4,
            Range::U6 => 2,
            Range::Signed => 1,
        };
        // SAFETY: the caller has the instructions and gives 4 N bytes.
        unsafe {
            let scale = scale.unwrap_or(_mm256_set1_epi16(1));
            let mut total = acc;
            let mut sum = _mm256_setzero_si256();
            for (j, w) in w.into_iter().enumerate() {
                let x = _mm256_set1_epi32(x.add(4 * j).cast::<i32>().read_unaligned());
                let products = match range {
                    Range::Signed => _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)),
                    _ => _mm256_maddubs_epi16(w, x),
                };
                sum = if j % deep == 0 { products } else { _mm256_add_epi16(sum, products) };
                if j % deep == deep - 1 || j == N - 1 {
                    total = _mm256_add_epi32(total, _mm256_madd_epi16(sum, scale));
                }
            }
            total
        }
    }

    #[inline(always)]
    unsafe fn pairs_u8(self, p: *const u8) -> __m256i {
        op!(_mm256_cvtepu8_epi16(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn pairs_i8(self, p: *const u8) -> __m256i {
        op!(_mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn scale_pairs(self, pairs: __m256i, by: i16) -> __m256i {
        op!(_mm256_mullo_epi16(pairs, _mm256_set1_epi16(by)))
    }
    #[inline(always)]
    unsafe fn split_pairs(self, pairs: __m256i) -> (__m256i, __m256i) {
        op!({
            let low = _mm256_set1_epi16(15);
            (_mm256_and_si256(pairs, low), _mm256_and_si256(_mm256_srli_epi16::<4>(pairs), low))
        })
    }
    #[inline(always)]
    unsafe fn even(self, pairs: __m256i) -> __m256i {
        // In both halves, as VPMADDWD multiplies sums of pairs.
        op!(_mm256_or_si256(_mm256_slli_epi32::<16>(pairs), _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff))))
    }
    #[inline(always)]
    unsafe fn odd(self, pairs: __m256i) -> __m256i {
        op!(_mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(pairs), pairs))
    }
    #[inline(always)]
    unsafe fn dot_pairs(self, acc: __m256i, pairs: __m256i, x: *const i16) -> __m256i {
        op!({
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, x))
        })
    }

    #[inline(always)]
    unsafe fn ints(self, x: i32) -> __m256i {
        op!(_mm256_set1_epi32(x))
    }
    #[inline(always)]
    unsafe fn load_ints(self, p: *const i32) -> __m256i {
        op!(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn store_ints(self, p: *mut i32, v: __m256i) {
        op!(_mm256_storeu_si256(p.cast(), v))
    }
    #[inline(always)]
    unsafe fn to_floats(self, v: __m256i) -> __m256 {
        op!(_mm256_cvtepi32_ps(v))
    }

    #[inline(always)]
    unsafe fn floats(self, x: f32) -> __m256 {
        op!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load_halves(self, p: *const u8) -> __m256 {
        op!(_mm256_cvtph_ps(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> __m256 {
        op!(_mm256_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: __m256) {
        op!(_mm256_storeu_ps(p, v))
    }
    #[inline(always)]
    unsafe fn mul(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        op!(_mm256_fmadd_ps(a, b, c))
    }
}
