//! Q4_1: 32 elements of 4 bits, a scale and a minimum, `x = d q + m`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block, Quantize};

/// 32 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_1 {
    pub(crate) d: f16,
    pub(crate) m: f16,
    /// Element `j` in the low half of byte `j`, element `j + 16` in the high half.
    pub(crate) qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ4_1>() == QuantType::Q4_1.block_bytes());

impl Block<32> for BlockQ4_1 {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        for (j, x) in out.iter_mut().enumerate() {
            *x = d * f32::from(block::nibble(&self.qs, j)) + m;
        }
    }
}

impl Quantize<32> for BlockQ4_1 {
    fn quantize(x: &[f32; 32]) -> Option<Self> {
        let (m, max) = block::bounds(x);
        let d = (max - m) / 15.0;
        let inverse = block::inverse(d);
        let q = x.map(|x| (((x - m) * inverse + 0.5) as u8).min(15));
        Some(Self { d: block::scale(d)?, m: block::scale(m)?, qs: block::pack_nibbles(&q) })
    }
}
