//! Q2_K: 256 elements of 2 bits; a 4-bit scale and a 4-bit minimum per 16, `x = d s q - dmin m`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::Block;

/// 256 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ2_K {
    /// Per 16 elements: the scale in the low half, the minimum in the high half.
    pub(crate) scales: [u8; 16],
    /// Per 128 elements 32 bytes; elements 32 apart share a byte, lowest bits first.
    pub(crate) qs: [u8; 64],
    pub(crate) d: f16,
    pub(crate) dmin: f16,
}

const _: () = assert!(size_of::<BlockQ2_K>() == QuantType::Q2_K.block_bytes());

impl Block<256> for BlockQ2_K {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        for (i, x) in out.iter_mut().enumerate() {
            let scale = self.scales[i / 16];
            let q = self.qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
            *x = d * f32::from(scale & 0x0F) * f32::from(q) - dmin * f32::from(scale >> 4);
        }
    }
}
