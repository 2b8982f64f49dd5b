//! AVX-VNNI: eight rows in a register, VPDPBUSD.

use super::{Dot, Range};
use crate::simd::AvxVnni;
use std::arch::x86_64::*;

products!(AvxVnni, "avx2,fma,f16c,avxvnni");

/// Intrinsics inside a method of [`Dot`], whose caller has the instructions and gives pointers to enough bytes.
macro_rules! op {
    ($e:expr) => {
        // SAFETY: the caller's promise.
        unsafe { $e }
    };
}

impl Dot for AvxVnni {
    const ROWS: usize = 8;
    // VPDPBUSD takes unsigned times signed.
    const SIGNED_EXCESS: i32 = 128;
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
