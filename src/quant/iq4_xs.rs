//! IQ4_XS: 256 elements of 4 bits that index a codebook, and a 6-bit scale per 32, `x = d (s - 32) c[q]`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::Block;
use super::iq4_nl::CODEBOOK;

/// 256 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockIQ4_XS {
    pub(crate) d: f16,
    /// The high two bits of the 8 scales, lowest first.
    pub(crate) scales_h: u16,
    /// The low four bits of the 8 scales, two per byte.
    pub(crate) scales_l: [u8; 4],
    /// Per 32 elements 16 bytes, within them as in IQ4_NL.
    pub(crate) qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockIQ4_XS>() == QuantType::IQ4_XS.block_bytes());

impl BlockIQ4_XS {
    /// The scale of elements `32 j..32 (j + 1)`, in -32..32.
    pub(crate) fn scale(&self, j: usize) -> i8 {
        let low = self.scales_l[j / 2] >> (j % 2 * 4) & 0x0F;
        let high = (self.scales_h >> (j * 2) & 3) as u8;
        (low | high << 4) as i8 - 32
    }
}

impl Block<256> for BlockIQ4_XS {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let d = self.d.to_f32();
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = d * f32::from(self.scale(j));
            for (l, x) in out.iter_mut().enumerate() {
                let q = self.qs[j * 16 + l % 16] >> (l / 16 * 4) & 0x0F;
                *x = scale * f32::from(CODEBOOK[usize::from(q)]);
            }
        }
    }
}
