//! 64-bit Arm with SDOT: four rows in a register, and one instruction for four bytes of each.

use super::neon::{arm_dot, widen};
use super::{Dot, Range};
use crate::simd::Dotprod;
use std::arch::aarch64::*;
use std::arch::asm;

products!(Dotprod, "dotprod");
arm_dot!(Dotprod, dot);

/// `acc + w[0] . x[0..4] + w[1] . x[4..8] + …`.
#[inline(always)]
pub(super) unsafe fn dot<const N: usize>(mut acc: int32x4_t, w: [int8x16_t; N], x: *const i8, _: Range) -> int32x4_t {
    const { assert!(N % 4 == 0, "inputs are loaded sixteen at a time") };
    macro_rules! sdot {
        ($w:expr, $x:expr, $lane:literal) => {
            // The intrinsic is unstable.
            asm!(
                concat!("sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[", $lane, "]"),
                inout(vreg) acc, in(vreg) $w, in(vreg) $x, options(pure, nomem, nostack, preserves_flags)
            )
        };
    }
    // SAFETY: the caller has the instruction, which only computes, and gives 4 N bytes.
    unsafe {
        for j in (0..N).step_by(4) {
            let x = vld1q_s8(x.add(4 * j));
            sdot!(w[j], x, 0);
            sdot!(w[j + 1], x, 1);
            sdot!(w[j + 2], x, 2);
            sdot!(w[j + 3], x, 3);
        }
    }
    acc
}
