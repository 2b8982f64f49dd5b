//! F32: IEEE single precision.

use bytemuck::{Pod, Zeroable};

use super::QuantType;
use super::block::{Block, Quantize};

/// One element.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockF32 {
    pub(crate) x: f32,
}

const _: () = assert!(size_of::<BlockF32>() == QuantType::F32.block_bytes());

impl Block<1> for BlockF32 {
    fn dequantize(&self, out: &mut [f32; 1]) {
        *out = [self.x];
    }
}

impl Quantize<1> for BlockF32 {
    fn quantize([x]: &[f32; 1]) -> Option<Self> {
        Some(Self { x: *x })
    }
}
