//! BF16: the upper half of IEEE single precision.

use bytemuck::{Pod, Zeroable};
use half::bf16;

use super::QuantType;
use super::block::{Block, Quantize};

/// One element.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockBF16 {
    pub(crate) x: bf16,
}

const _: () = assert!(size_of::<BlockBF16>() == QuantType::BF16.block_bytes());

impl Block<1> for BlockBF16 {
    fn dequantize(&self, out: &mut [f32; 1]) {
        *out = [self.x.to_f32()];
    }
}

impl Quantize<1> for BlockBF16 {
    fn quantize([x]: &[f32; 1]) -> Option<Self> {
        Some(Self { x: bf16::from_f32(*x) }).filter(|block| block.x.is_finite())
    }
}
