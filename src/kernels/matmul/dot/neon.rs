//! 64-bit Arm: four rows in a register. NEON itself multiplies bytes to 16 bits and sums as many as the values allow.

use super::{Dot, Range};
use crate::simd::Neon;
use std::arch::aarch64::*;
use std::arch::asm;

/// Implements [`Dot`] for a token of 64-bit Arm: all share everything but the dot product of bytes, of one column and
/// perhaps of two.
macro_rules! arm_dot {
    ($token:ty, $dot:path $(, $dot_two:path)?) => {
        impl Dot for $token {
            const ROWS: usize = 4;
            const SIGNED_ZERO_POINT: i32 = 0;
            $(
                const COLUMNS: usize = 2;

                #[inline(always)]
                unsafe fn dots<const N: usize, const C: usize>(
                    self,
                    mut acc: [int32x4_t; C],
                    w: [int8x16_t; N],
                    x: [*const i8; C],
                    range: Range,
                    scale: Option<int32x4_t>,
                ) -> [int32x4_t; C] {
                    // SAFETY: the caller has the instructions and gives 4 N bytes of each column.
                    unsafe {
                        match (&mut acc[..], &x[..], scale) {
                            ([a, b], &[x, y], None) => [*a, *b] = $dot_two([*a, *b], w, [x, y]),
                            ([a, b], &[x, y], Some(scale)) => {
                                let [p, q] = $dot_two([vdupq_n_s32(0); 2], w, [x, y]);
                                (*a, *b) = (vmlaq_s32(*a, p, scale), vmlaq_s32(*b, q, scale));
                            }
                            _ => {
                                for c in 0..C {
                                    acc[c] = self.dot(acc[c], w, x[c], range, scale);
                                }
                            }
                        }
                    }
                    acc
                }
            )?
            type Bytes = int8x16_t;
            type Ints = int32x4_t;
            type Floats = float32x4_t;

            #[inline(always)]
            unsafe fn load(self, p: *const u8) -> int8x16_t {
                op!(vld1q_s8(p.cast()))
            }
            #[inline(always)]
            unsafe fn bytes(self, x: u8) -> int8x16_t {
                op!(vdupq_n_s8(x as i8))
            }
            #[inline(always)]
            unsafe fn and(self, a: int8x16_t, mask: u8) -> int8x16_t {
                op!(vandq_s8(a, vdupq_n_s8(mask as i8)))
            }
            #[inline(always)]
            unsafe fn or(self, a: int8x16_t, b: int8x16_t) -> int8x16_t {
                op!(vorrq_s8(a, b))
            }
            // Arm shifts bytes, so nothing crosses over.
            #[inline(always)]
            unsafe fn shl(self, a: int8x16_t, n: u32) -> int8x16_t {
                op!(vshlq_s8(a, vdupq_n_s8(n as i8)))
            }
            #[inline(always)]
            unsafe fn shr(self, a: int8x16_t, n: u32) -> int8x16_t {
                op!(vreinterpretq_s8_u8(vshlq_u8(vreinterpretq_u8_s8(a), vdupq_n_s8(-(n as i8)))))
            }
            #[inline(always)]
            unsafe fn look_up(self, table: &[i8; 16], i: int8x16_t) -> int8x16_t {
                op!(vqtbl1q_s8(vld1q_s8(table.as_ptr()), vreinterpretq_u8_s8(i)))
            }
            #[inline(always)]
            unsafe fn signed(self, a: int8x16_t) -> int8x16_t {
                a
            }

            #[inline(always)]
            unsafe fn dot<const N: usize>(
                self,
                acc: int32x4_t,
                w: [int8x16_t; N],
                x: *const i8,
                range: Range,
                scale: Option<int32x4_t>,
            ) -> int32x4_t {
                // SAFETY: the caller has the instructions and gives 4 N bytes.
                unsafe {
                    match scale {
                        Some(scale) => vmlaq_s32(acc, $dot(vdupq_n_s32(0), w, x, range), scale),
                        None => $dot(acc, w, x, range),
                    }
                }
            }

            #[inline(always)]
            unsafe fn pairs_u8(self, p: *const u8) -> int32x4_t {
                op!(vreinterpretq_s32_u16(vmovl_u8(vld1_u8(p))))
            }
            #[inline(always)]
            unsafe fn pairs_i8(self, p: *const u8) -> int32x4_t {
                op!(vreinterpretq_s32_s16(vmovl_s8(vld1_s8(p.cast()))))
            }
            #[inline(always)]
            unsafe fn scale_pairs(self, pairs: int32x4_t, by: i16) -> int32x4_t {
                op!(vreinterpretq_s32_s16(vmulq_n_s16(vreinterpretq_s16_s32(pairs), by)))
            }
            #[inline(always)]
            unsafe fn split_pairs(self, pairs: int32x4_t) -> (int32x4_t, int32x4_t) {
                op!({
                    let low = vdupq_n_s32(0x000f_000f);
                    (vandq_s32(pairs, low), vandq_s32(vshrq_n_s32::<4>(pairs), low))
                })
            }
            #[inline(always)]
            unsafe fn even(self, pairs: int32x4_t) -> int32x4_t {
                op!(vshrq_n_s32::<16>(vshlq_n_s32::<16>(pairs)))
            }
            #[inline(always)]
            unsafe fn odd(self, pairs: int32x4_t) -> int32x4_t {
                op!(vshrq_n_s32::<16>(pairs))
            }
            #[inline(always)]
            unsafe fn dot_pairs(self, acc: int32x4_t, pairs: int32x4_t, x: *const i16) -> int32x4_t {
                op!({
                    let pairs = vreinterpretq_s16_s32(pairs);
                    let x = vreinterpretq_s16_s32(vdupq_n_s32(x.cast::<i32>().read_unaligned()));
                    let (low, high) = (vmull_s16(vget_low_s16(pairs), vget_low_s16(x)), vmull_high_s16(pairs, x));
                    vaddq_s32(acc, vpaddq_s32(low, high))
                })
            }

            #[inline(always)]
            unsafe fn ints(self, x: i32) -> int32x4_t {
                op!(vdupq_n_s32(x))
            }
            #[inline(always)]
            unsafe fn load_ints(self, p: *const i32) -> int32x4_t {
                op!(vld1q_s32(p))
            }
            #[inline(always)]
            unsafe fn store_ints(self, p: *mut i32, v: int32x4_t) {
                op!(vst1q_s32(p, v))
            }
            #[inline(always)]
            unsafe fn to_floats(self, v: int32x4_t) -> float32x4_t {
                op!(vcvtq_f32_s32(v))
            }

            #[inline(always)]
            unsafe fn floats(self, x: f32) -> float32x4_t {
                op!(vdupq_n_f32(x))
            }
            #[inline(always)]
            unsafe fn load_halves(self, p: *const u8) -> float32x4_t {
                op!(widen(vreinterpret_u16_u8(vld1_u8(p))))
            }
            #[inline(always)]
            unsafe fn load_floats(self, p: *const f32) -> float32x4_t {
                op!(vld1q_f32(p))
            }
            #[inline(always)]
            unsafe fn store_floats(self, p: *mut f32, v: float32x4_t) {
                op!(vst1q_f32(p, v))
            }
            #[inline(always)]
            unsafe fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                op!(vmulq_f32(a, b))
            }
            #[inline(always)]
            unsafe fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
                op!(vfmaq_f32(c, a, b))
            }
        }
    };
}
pub(super) use arm_dot;

/// Four half-precision numbers as f32.
#[inline(always)]
pub(super) fn widen(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: every 64-bit Arm has the instruction, which only computes; its intrinsic is unstable.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    floats
}

products!(Neon);
arm_dot!(Neon, dot);

/// `acc + w[0] . x[0..4] + w[1] . x[4..8] + …`.
#[inline(always)]
unsafe fn dot<const N: usize>(acc: int32x4_t, w: [int8x16_t; N], x: *const i8, range: Range) -> int32x4_t {
    // Products whose sum fits 16 bits at the largest values, inputs of 127.
    let deep = match range {
        Range::U4 | Range::U5 => 8,
        Range::U6 => 4,
        Range::Signed => 2,
    };
    // SAFETY: the caller gives 4 N bytes.
    unsafe {
        let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
        let (mut low16, mut high16) = (vdupq_n_s16(0), vdupq_n_s16(0));
        for j in 0..N {
            let x = vreinterpretq_s8_s32(vdupq_n_s32(x.add(4 * j).cast::<i32>().read_unaligned()));
            if j % deep == 0 {
                (low16, high16) = (vmull_s8(vget_low_s8(w[j]), vget_low_s8(x)), vmull_high_s8(w[j], x));
            } else {
                low16 = vmlal_s8(low16, vget_low_s8(w[j]), vget_low_s8(x));
                high16 = vmlal_high_s8(high16, w[j], x);
            }
            if j % deep == deep - 1 || j == N - 1 {
                (low, high) = (vpadalq_s16(low, low16), vpadalq_s16(high, high16));
            }
        }
        // Two sums of each row lie side by side.
        vaddq_s32(acc, vpaddq_s32(low, high))
    }
}
