//! F16: IEEE half precision.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::{self, Block, Quantize};

/// One element.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockF16 {
    pub(crate) x: f16,
}

const _: () = assert!(size_of::<BlockF16>() == QuantType::F16.block_bytes());

impl Block<1> for BlockF16 {
    fn dequantize(&self, out: &mut [f32; 1]) {
        *out = [self.x.to_f32()];
    }
}

impl Quantize<1> for BlockF16 {
    fn quantize([x]: &[f32; 1]) -> Option<Self> {
        Some(Self { x: block::scale(*x)? })
    }
}
