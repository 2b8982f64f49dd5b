//! AVX-VNNI: VPDPBUSD.

use super::ymm::ymm_dot;
use super::{Dot, Range};
use crate::simd::AvxVnni;
use std::arch::x86_64::*;

products!(AvxVnni, "avx2,fma,f16c,avxvnni");

ymm_dot!(AvxVnni {
    // VPDPBUSD takes unsigned times signed.
    const SIGNED_ZERO_POINT: i32 = 128;

    #[inline(always)]
    unsafe fn signed(self, a: __m256i) -> __m256i {
        op!(_mm256_xor_si256(a, _mm256_set1_epi8(-128)))
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        self,
        acc: __m256i,
        w: [__m256i; N],
        x: *const i8,
        _: Range,
        scale: Option<__m256i>,
    ) -> __m256i {
        // SAFETY: the caller has the instructions and gives 4 N bytes.
        unsafe {
            let mut sum = if scale.is_some() { _mm256_setzero_si256() } else { acc };
            for (j, w) in w.into_iter().enumerate() {
                let x = _mm256_set1_epi32(x.add(4 * j).cast::<i32>().read_unaligned());
                sum = _mm256_dpbusd_avx_epi32(sum, w, x);
            }
            match scale {
                Some(scale) => _mm256_add_epi32(acc, _mm256_mullo_epi32(sum, scale)),
                None => sum,
            }
        }
    }

    #[inline(always)]
    unsafe fn even(self, pairs: __m256i) -> __m256i {
        op!(_mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs)))
    }

    #[inline(always)]
    unsafe fn odd(self, pairs: __m256i) -> __m256i {
        op!(_mm256_srai_epi32::<16>(pairs))
    }

    #[inline(always)]
    unsafe fn dot_pairs(self, acc: __m256i, pairs: __m256i, x: *const i16) -> __m256i {
        op!(_mm256_dpwssd_avx_epi32(acc, pairs, _mm256_set1_epi32(x.cast::<i32>().read_unaligned())))
    }
});
