//! What every block format has in common.

use bytemuck::Pod;

use crate::error::{Error, ErrorKind, Result};

/// A block of `N` consecutive elements, laid out as in ggml's `ggml-common.h`.
pub(crate) trait Block<const N: usize>: Pod {
    /// The elements, each rounded once per operation in the order that ggml's reference code uses.
    fn dequantize(&self, out: &mut [f32; N]);
}

/// A block format that can be made from floats.
pub(crate) trait Quantize<const N: usize>: Block<N> {
    /// The block nearest to `x` by ggml's reference rule; `None` when the finite `x` is too large for the format.
    fn quantize(x: &[f32; N]) -> Option<Self>;
}

/// Dequantizes whole blocks; the caller has matched the sizes of `src` and `dst`.
pub(super) fn dequantize<B: Block<N>, const N: usize>(src: &[u8], dst: &mut [f32]) {
    for (bytes, out) in src.chunks_exact(size_of::<B>()).zip(dst.as_chunks_mut::<N>().0) {
        bytemuck::pod_read_unaligned::<B>(bytes).dequantize(out);
    }
}

/// Quantizes whole blocks; the caller has made sure that `src` is a whole number of them.
pub(super) fn quantize<B: Quantize<N>, const N: usize>(src: &[f32]) -> Result<Vec<u8>> {
    let (blocks, _) = src.as_chunks::<N>();
    let mut out = Vec::with_capacity(blocks.len().saturating_mul(size_of::<B>()));
    for (i, x) in blocks.iter().enumerate() {
        let block = if x.iter().all(|x| x.is_finite()) { B::quantize(x) } else { None };
        let block = block.ok_or_else(|| {
            let at = i * N;
            Error::new(
                ErrorKind::NonFinite,
                format!("elements {at}..{} hold NaN, infinity or a number too large for the format", at + N),
            )
        })?;
        out.extend_from_slice(bytemuck::bytes_of(&block));
    }
    Ok(out)
}

/// A scale as the format stores it; `None` when it overflows.
pub(super) fn scale(d: f32) -> Option<half::f16> {
    Some(half::f16::from_f32(d)).filter(|d| d.is_finite())
}

/// The factor from floats to steps of `d`; zero for a block of zeros.
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The element with the largest magnitude, the first of equals, with its sign.
pub(super) fn extreme(x: &[f32; 32]) -> f32 {
    x.iter().fold(x[0], |most, x| if x.abs() > most.abs() { *x } else { most })
}

/// The smallest and the largest element.
pub(super) fn bounds(x: &[f32; 32]) -> (f32, f32) {
    let first = x[0];
    x.iter().fold((first, first), |(min, max), x| (if *x < min { *x } else { min }, if *x > max { *x } else { max }))
}

/// Two elements per byte: element `j` in the low half of byte `j`, element `j + 16` in the high half.
pub(super) fn pack_nibbles(q: &[u8; 32]) -> [u8; 16] {
    let (low, high) = q.split_at(16);
    let mut qs = [0; 16];
    for ((byte, low), high) in qs.iter_mut().zip(low).zip(high) {
        *byte = (low & 0x0F) | (high << 4);
    }
    qs
}

/// The fifth bit of every element: bit `j` of the little-endian word belongs to element `j`.
pub(super) fn pack_fifth_bits(q: &[u8; 32]) -> [u8; 4] {
    q.iter().enumerate().fold(0_u32, |bits, (j, q)| bits | (u32::from(q >> 4 & 1) << j)).to_le_bytes()
}

/// The other way round: element `j` of 32 from [`pack_nibbles`].
pub(super) fn nibble(qs: &[u8; 16], j: usize) -> u8 {
    if j < 16 { qs[j] & 0x0F } else { qs[j - 16] >> 4 }
}
