//! Q5_1: 32 elements of 5 bits, a scale and a minimum, `x = d q + m`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block, Quantize};

/// 32 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_1 {
    pub(crate) d: f16,
    pub(crate) m: f16,
    /// The fifth bits, element `j` in bit `j` of the little-endian word.
    pub(crate) qh: [u8; 4],
    /// The low four bits as in Q4_0.
    pub(crate) qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ5_1>() == QuantType::Q5_1.block_bytes());

impl Block<32> for BlockQ5_1 {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let (d, m, high) = (self.d.to_f32(), self.m.to_f32(), u32::from_le_bytes(self.qh));
        for (j, x) in out.iter_mut().enumerate() {
            let q = block::nibble(&self.qs, j) | ((high >> j & 1) as u8) << 4;
            *x = d * f32::from(q) + m;
        }
    }
}

impl Quantize<32> for BlockQ5_1 {
    fn quantize(x: &[f32; 32]) -> Option<Self> {
        let (m, max) = block::bounds(x);
        let d = (max - m) / 31.0;
        let inverse = block::inverse(d);
        let q = x.map(|x| (((x - m) * inverse + 0.5) as u8).min(31));
        let (qh, qs) = (block::pack_fifth_bits(&q), block::pack_nibbles(&q));
        Some(Self { d: block::scale(d)?, m: block::scale(m)?, qh, qs })
    }
}
