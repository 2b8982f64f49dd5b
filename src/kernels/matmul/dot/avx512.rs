//! AVX-512 with VNNI: sixteen rows in a register, VPDPBUSD.

use super::{Dot, Range};
use crate::simd::Avx512;
use std::arch::x86_64::*;

products!(Avx512, "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");

impl Dot for Avx512 {
    const ROWS: usize = 16;
    // VPDPBUSD takes unsigned times signed.
    const SIGNED_ZERO_POINT: i32 = 128;
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> __m512i {
        op!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    unsafe fn bytes(self, x: u8) -> __m512i {
        op!(_mm512_set1_epi8(x as i8))
    }
    #[inline(always)]
    unsafe fn and(self, a: __m512i, mask: u8) -> __m512i {
        op!(_mm512_and_si512(a, _mm512_set1_epi8(mask as i8)))
    }
    #[inline(always)]
    unsafe fn or(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    unsafe fn shl(self, a: __m512i, n: u32) -> __m512i {
        op!(_mm512_sll_epi16(a, _mm_cvtsi32_si128(n as i32)))
    }
    #[inline(always)]
    unsafe fn shr(self, a: __m512i, n: u32) -> __m512i {
        op!(_mm512_srl_epi16(a, _mm_cvtsi32_si128(n as i32)))
    }
    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16], i: __m512i) -> __m512i {
        op!(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), i))
    }
    #[inline(always)]
    unsafe fn signed(self, a: __m512i) -> __m512i {
        op!(_mm512_xor_si512(a, _mm512_set1_epi8(-128)))
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        self,
        acc: __m512i,
        w: [__m512i; N],
        x: *const i8,
        _: Range,
        scale: Option<__m512i>,
    ) -> __m512i {
        // SAFETY: the caller has the instructions and gives 4 N bytes.
        unsafe {
            let mut sum = if scale.is_some() { _mm512_setzero_si512() } else { acc };
            for (j, w) in w.into_iter().enumerate() {
                let x = _mm512_set1_epi32(x.add(4 * j).cast::<i32>().read_unaligned());
                sum = _mm512_dpbusd_epi32(sum, w, x);
            }
            match scale {
                Some(scale) => _mm512_add_epi32(acc, _mm512_mullo_epi32(sum, scale)),
                None => sum,
            }
        }
    }

    #[inline(always)]
    unsafe fn pairs_u8(self, p: *const u8) -> __m512i {
        op!(_mm512_cvtepu8_epi16(_mm256_loadu_si256(p.cast())))
    }
    #[inline(always)]
    unsafe fn pairs_i8(self, p: *const u8) -> __m512i {
        op!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(p.cast())))
    }
    #[inline(always)]
    unsafe fn scale_pairs(self, pairs: __m512i, by: i16) -> __m512i {
        op!(_mm512_mullo_epi16(pairs, _mm512_set1_epi16(by)))
    }
    #[inline(always)]
    unsafe fn split_pairs(self, pairs: __m512i) -> (__m512i, __m512i) {
        op!({
            let low = _mm512_set1_epi16(15);
            (_mm512_and_si512(pairs, low), _mm512_and_si512(_mm512_srli_epi16::<4>(pairs), low))
        })
    }
    #[inline(always)]
    unsafe fn even(self, pairs: __m512i) -> __m512i {
        op!(_mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs)))
    }
    #[inline(always)]
    unsafe fn odd(self, pairs: __m512i) -> __m512i {
        op!(_mm512_srai_epi32::<16>(pairs))
    }
    #[inline(always)]
    unsafe fn dot_pairs(self, acc: __m512i, pairs: __m512i, x: *const i16) -> __m512i {
        op!(_mm512_dpwssd_epi32(acc, pairs, _mm512_set1_epi32(x.cast::<i32>().read_unaligned())))
    }

    #[inline(always)]
    unsafe fn ints(self, x: i32) -> __m512i {
        op!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    unsafe fn load_ints(self, p: *const i32) -> __m512i {
        op!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    unsafe fn store_ints(self, p: *mut i32, v: __m512i) {
        op!(_mm512_storeu_si512(p.cast(), v))
    }
    #[inline(always)]
    unsafe fn to_floats(self, v: __m512i) -> __m512 {
        op!(_mm512_cvtepi32_ps(v))
    }

    #[inline(always)]
    unsafe fn floats(self, x: f32) -> __m512 {
        op!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load_halves(self, p: *const u8) -> __m512 {
        op!(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_floats(self, p: *const f32) -> __m512 {
        op!(_mm512_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn store_floats(self, p: *mut f32, v: __m512) {
        op!(_mm512_storeu_ps(p, v))
    }
    #[inline(always)]
    unsafe fn mul(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }
}
