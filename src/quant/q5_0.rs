//! Q5_0: 32 elements of 5 bits and one scale, `x = d (q - 16)`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block, Quantize};

/// 32 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_0 {
    pub(crate) d: f16,
    /// The fifth bits, element `j` in bit `j` of the little-endian word.
    pub(crate) qh: [u8; 4],
    /// The low four bits as in Q4_0.
    pub(crate) qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ5_0>() == QuantType::Q5_0.block_bytes());

impl Block<32> for BlockQ5_0 {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let (d, high) = (self.d.to_f32(), u32::from_le_bytes(self.qh));
        for (j, x) in out.iter_mut().enumerate() {
            let q = block::nibble(&self.qs, j) | ((high >> j & 1) as u8) << 4;
            *x = d * f32::from(q as i8 - 16);
        }
    }
}

impl Quantize<32> for BlockQ5_0 {
    fn quantize(x: &[f32; 32]) -> Option<Self> {
        // The extreme maps to -16, which has no positive twin.
        let d = block::extreme(x) / -16.0;
        let inverse = block::inverse(d);
        let q = x.map(|x| ((x * inverse + 16.5) as u8).min(31));
        Some(Self { d: block::scale(d)?, qh: block::pack_fifth_bits(&q), qs: block::pack_nibbles(&q) })
    }
}
