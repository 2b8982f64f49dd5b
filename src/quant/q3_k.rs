//! Q3_K: 256 elements of 3 bits and a 6-bit scale per 16, `x = d (s - 32) (q - 4)`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::QuantType;
use super::block::Block;

/// 256 elements.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ3_K {
    /// The third bits: byte `i % 32`, bit `i / 32`.
    pub(crate) hmask: [u8; 32],
    /// The low two bits as in Q2_K.
    pub(crate) qs: [u8; 64],
    /// 16 scales of 6 bits; [`scale`](Self::scale) unpacks them.
    pub(crate) scales: [u8; 12],
    pub(crate) d: f16,
}

const _: () = assert!(size_of::<BlockQ3_K>() == QuantType::Q3_K.block_bytes());

impl BlockQ3_K {
    /// The scale of elements `16 j..16 (j + 1)`, in -32..32. Bytes 0..8 hold the low four bits of scales `j` and
    /// `j + 8`; bytes 8..12 hold the high two bits of scales `j`, `j + 4`, `j + 8` and `j + 12`.
    pub(crate) fn scale(&self, j: usize) -> i8 {
        let low = self.scales[j % 8] >> (j / 8 * 4) & 0x0F;
        let high = self.scales[8 + j % 4] >> (j / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    }
}

impl Block<256> for BlockQ3_K {
    fn dequantize(&self, out: &mut [f32; 256]) {
        let d = self.d.to_f32();
        for (i, x) in out.iter_mut().enumerate() {
            let low = self.qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
            let high = self.hmask[i % 32] >> (i / 32) & 1;
            *x = d * f32::from(self.scale(i / 16)) * f32::from((low | high << 2) as i8 - 4);
        }
    }
}
