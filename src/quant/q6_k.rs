//! Q6_K: 256 elements of 6 bits and an 8-bit scale per 16, `x = d s (q - 32)`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::Block;

/// 256 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ6_K {
    /// The low four bits: per 128 elements 64 bytes, elements 64 apart share a byte.
    pub(crate) ql: [u8; 128],
    /// The high two bits: per 128 elements 32 bytes, elements 32 apart share a byte.
    pub(crate) qh: [u8; 64],
    pub(crate) scales: [i8; 16],
    pub(crate) d: f16,
}

const _: () = assert!(size_of::<BlockQ6_K>() == QuantType::Q6_K.block_bytes());

impl Block<256> for BlockQ6_K {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let d = self.d.to_f32();
        for (i, x) in out.iter_mut().enumerate() {
            let low = self.ql[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 0x0F;
            let high = self.qh[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
            *x = d * f32::from(self.scales[i / 16]) * f32::from((low | high << 4) as i8 - 32);
        }
    }
}
