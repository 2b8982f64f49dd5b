//! What AVX2 and AVX-VNNI share: eight rows in a register, and all but the dot products.

/// Implements [`Dot`](super::Dot) for a token with AVX2; in braces what its dot products decide: `SIGNED_ZERO_POINT`,
/// `signed`, `dot`, the scales `even` and `odd`, and `dot_pairs`.
macro_rules! ymm_dot {
    ($token:ty { $($own:tt)* }) => {
        impl Dot for $token {
            const ROWS: usize = 8;
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

            $($own)*
        }
    };
}
pub(super) use ymm_dot;
