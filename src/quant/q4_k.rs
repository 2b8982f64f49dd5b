//! Q4_K: 256 elements of 4 bits; a 6-bit scale and a 6-bit minimum per 32, `x = d s q - dmin m`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::Block;

/// 256 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_K {
    pub(crate) d: f16,
    pub(crate) dmin: f16,
    /// 8 scales and 8 minimums of 6 bits; [`scale_min`] unpacks them.
    pub(crate) scales: [u8; 12],
    /// Per 64 elements 32 bytes: the first 32 elements in the low halves, the others in the high halves.
    pub(crate) qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockQ4_K>() == QuantType::Q4_K.block_bytes());

impl Block<256> for BlockQ4_K {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_min(&self.scales, j);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            for (l, x) in out.iter_mut().enumerate() {
                let q = self.qs[j / 2 * 32 + l] >> (j % 2 * 4) & 0x0F;
                *x = scale * f32::from(q) - min;
            }
        }
    }
}

/// Scale and minimum of elements `32 j..32 (j + 1)` of Q4_K and Q5_K, each in 0..64. The first four of each lie in the
/// low six bits of bytes 0..4 and 4..8; of the others the low four bits share bytes 8..12, and the high two bits are
/// the two spare bits of those first eight bytes.
pub(crate) fn scale_min(scales: &[u8; 12], j: usize) -> (u8, u8) {
    let (first, second) = (scales[j % 4], scales[4 + j % 4]);
    if j < 4 {
        (first & 0x3F, second & 0x3F)
    } else {
        let low = scales[8 + j % 4];
        (low & 0x0F | first >> 6 << 4, low >> 4 | second >> 6 << 4)
    }
}
