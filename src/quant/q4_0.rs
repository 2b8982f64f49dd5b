//! Q4_0: 32 elements of 4 bits and one scale, `x = d (q - 8)`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block, Quantize};

/// 32 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_0 {
    pub(crate) d: f16,
    /// Element `j` in the low half of byte `j`, element `j + 16` in the high half.
    pub(crate) qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ4_0>() == QuantType::Q4_0.block_bytes());

impl Block<32> for BlockQ4_0 {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        for (j, x) in out.iter_mut().enumerate() {
            *x = d * f32::from(block::nibble(&self.qs, j) as i8 - 8);
        }
    }
}

impl Quantize<32> for BlockQ4_0 {
    fn quantize(x: &[f32; 32]) -> Option<Self> {
        // The extreme maps to -8, which has no positive twin.
        let d = block::extreme(x) / -8.0;
        let inverse = block::inverse(d);
        let q = x.map(|x| ((x * inverse + 8.5) as u8).min(15));
        Some(Self { d: block::scale(d)?, qs: block::pack_nibbles(&q) })
    }
}
