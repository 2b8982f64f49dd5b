//! AVX2: VPMADDUBSW with as many sums in 16 bits as the values allow.

use super::ymm::ymm_dot;
use super::{Dot, Range};
use crate::simd::Avx2;
use std::arch::x86_64::*;

products!(Avx2, "avx2,fma,f16c");

ymm_dot!(Avx2 {
    // The sign of a weight goes to its input instead.
    const SIGNED_ZERO_POINT: i32 = 0;

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
});
