//! 64-bit Arm with SMMLA: two rows times two columns, eight bytes deep, in one instruction. Four rows in a register, as
//! for SDOT, which serves a column that has no neighbour.

use super::dotprod::dot;
use super::neon::{arm_dot, widen};
use super::{Dot, Range};
use crate::simd::I8mm;
use std::arch::aarch64::*;
use std::arch::asm;

products!(I8mm, "dotprod,i8mm");
arm_dot!(I8mm, dot, dot_two);

/// `acc[c] + w[0] . x[c][0..4] + w[1] . x[c][4..8] + …` for two columns.
#[inline(always)]
unsafe fn dot_two<const N: usize>(acc: [int32x4_t; 2], w: [int8x16_t; N], x: [*const i8; 2]) -> [int32x4_t; 2] {
    const { assert!(N % 2 == 0, "words of weights come in pairs") };
    macro_rules! smmla {
        ($acc:ident, $w:expr, $x:ident) => {
            // The intrinsic is unstable.
            asm!(
                "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) $acc, in(vreg) $w, in(vreg) $x, options(pure, nomem, nostack, preserves_flags)
            )
        };
    }
    // SAFETY: the caller has the instruction, which only computes, and gives 4 N bytes of each column.
    unsafe {
        // `[row][column]` of rows 0 and 1, of rows 2 and 3.
        let (mut low, mut high) = (vzip1q_s32(acc[0], acc[1]), vzip2q_s32(acc[0], acc[1]));
        for j in (0..N).step_by(2) {
            let x = vcombine_s8(vld1_s8(x[0].add(4 * j)), vld1_s8(x[1].add(4 * j)));
            let (a, b) = (vreinterpretq_s32_s8(w[j]), vreinterpretq_s32_s8(w[j + 1]));
            smmla!(low, vzip1q_s32(a, b), x);
            smmla!(high, vzip2q_s32(a, b), x);
        }
        [vuzp1q_s32(low, high), vuzp2q_s32(low, high)]
    }
}
