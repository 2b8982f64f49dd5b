//! Q8_0: 32 elements of 8 bits and one scale, `x = d q`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block, Quantize};

/// 32 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ8_0 {
    pub(crate) d: f16,
    pub(crate) qs: [i8; 32],
}

const _: () = assert!(size_of::<BlockQ8_0>() == QuantType::Q8_0.block_bytes());

impl Block<32> for BlockQ8_0 {
    fn dequantize(&self, out: &mut [f32; 32]) {
        let d = self.d.to_f32();
        for (x, q) in out.iter_mut().zip(self.qs) {
            *x = f32::from(q) * d;
        }
    }
}

impl Quantize<32> for BlockQ8_0 {
    fn quantize(x: &[f32; 32]) -> Option<Self> {
        let d = block::extreme(x).abs() / 127.0;
        let inverse = block::inverse(d);
        // Halves round away from zero, as C's roundf does.
        Some(Self { d: block::scale(d)?, qs: x.map(|x| (x * inverse).round() as i8) })
    }
}
