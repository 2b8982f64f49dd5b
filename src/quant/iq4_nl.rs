//! IQ4_NL: 32 elements of 4 bits that index a codebook, and one scale, `x = d c[q]`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block};

/// The codebook (`kvalues_iq4nl` in ggml): finer near zero, where weights are.
pub(crate) const CODEBOOK: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ4_NL {
    pub(crate) d: f16,
    /// Element `j` in the low half of byte `j`, element `j + 16` in the high half.
    pub(crate) qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockIQ4_NL>() == QuantType::IQ4_NL.block_bytes());

impl Block<32> for BlockIQ4_NL {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        for (j, x) in out.iter_mut().enumerate() {
            *x = d * f32::from(CODEBOOK[usize::from(block::nibble(&self.qs, j))]);
        }
    }
}
