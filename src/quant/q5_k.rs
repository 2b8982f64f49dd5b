//! Q5_K: 256 elements of 5 bits; a 6-bit scale and a 6-bit minimum per 32, `x = d s q - dmin m`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::Block;
use super::q4_k::scale_min;

/// 256 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_K {
    pub(crate) d: f16,
    pub(crate) dmin: f16,
    /// 8 scales and 8 minimums of 6 bits; [`scale_min`] unpacks them.
    pub(crate) scales: [u8; 12],
    /// The fifth bits: byte `i % 32`, bit `i / 32`.
    pub(crate) qh: [u8; 32],
    /// The low four bits as in Q4_K.
    pub(crate) qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockQ5_K>() == QuantType::Q5_K.block_bytes());

impl Block<256> for BlockQ5_K {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let (d, dmin) = (self.d.to_f32(), self.dmin.to_f32());
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_min(&self.scales, j);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            for (l, x) in out.iter_mut().enumerate() {
                let low = self.qs[j / 2 * 32 + l] >> (j % 2 * 4) & 0x0F;
                let high = self.qh[l] >> j & 1;
                *x = scale * f32::from(low | high << 4) - min;
            }
        }
    }
}
