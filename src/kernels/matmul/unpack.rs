//! What a block's bits mean as integers: quants, integer scales and minimums, and the real factors in front of them.
//!
//! A weight is `d * scale * (q - excess) - dmin * min` (256-blocks) or `d * q + m` (32-blocks); layouts are ggml's
//! (`ggml-common.h`, `ggml-quants.c`).

use crate::quant::QuantType;
use half::f16;

/// The 16 values of the non-linear 4-bit formats (ggml's `kvalues_iq4nl`).
pub(super) const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Whether 32-blocks of `ty` have a minimum.
pub(super) fn has_min32(ty: QuantType) -> bool {
    matches!(ty, QuantType::Q4_1 | QuantType::Q5_1)
}

/// Whether 256-blocks of `ty` have minimums, and by how much their unpacked quants are too large: an excess is taken off
/// in integers, with the scales in the place of minimums.
pub(super) fn minimums256(ty: QuantType) -> (bool, i32) {
    match ty {
        QuantType::Q2_K | QuantType::Q4_K | QuantType::Q5_K => (true, 0),
        QuantType::Q6_K => (false, 32),
        _ => (false, 0),
    }
}

/// Unpacks one block of 32 into `q` and returns `(d, m)`.
#[inline]
pub(super) fn block32(ty: QuantType, block: &[u8], q: &mut [i8; 32]) -> (f32, f32) {
    let d = half_at(block, 0);
    match ty {
        QuantType::Q4_0 => nibbles(&block[2..], q, |n| n as i8 - 8),
        QuantType::IQ4_NL => nibbles(&block[2..], q, |n| IQ4_VALUES[n as usize]),
        QuantType::Q4_1 => {
            nibbles(&block[4..], q, |n| n as i8);
            return (d, half_at(block, 2));
        }
        QuantType::Q5_0 => {
            nibbles(&block[6..], q, |n| n as i8 - 16);
            fifth_bits(&block[2..], q);
        }
        QuantType::Q5_1 => {
            nibbles(&block[8..], q, |n| n as i8);
            fifth_bits(&block[4..], q);
            return (d, half_at(block, 2));
        }
        _ => q.iter_mut().zip(&block[2..]).for_each(|(q, b)| *q = *b as i8),
    }
    (d, 0.0)
}

/// Unpacks one block of 256 into `q`, its scales and minimums (one per 16 weights), and returns `(d, dmin)`.
#[inline]
pub(super) fn block256(
    ty: QuantType,
    block: &[u8],
    q: &mut [i8; 256],
    scales: &mut [i16; 16],
    mins: &mut [i16; 16],
) -> (f32, f32) {
    match ty {
        QuantType::Q2_K => {
            for i in 0..16 {
                (scales[i], mins[i]) = (i16::from(block[i] & 15), i16::from(block[i] >> 4));
            }
            fields(&block[16..80], 2, q);
            (half_at(block, 80), half_at(block, 82))
        }
        QuantType::Q3_K => {
            let packed = &block[96..108];
            for (i, scale) in scales.iter_mut().enumerate() {
                let low = (packed[i % 8] >> (4 * (i / 8))) & 15;
                let high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
                *scale = i16::from(low | high << 4) - 32;
            }
            fields(&block[32..96], 2, q);
            for (i, q) in q.iter_mut().enumerate() {
                *q -= if block[i % 32] >> (i / 32) & 1 == 1 { 0 } else { 4 };
            }
            (half_at(block, 108), 0.0)
        }
        QuantType::Q4_K => {
            six_bit_scales(&block[4..16], scales, mins);
            fields(&block[16..144], 4, q);
            (half_at(block, 0), half_at(block, 2))
        }
        QuantType::Q5_K => {
            six_bit_scales(&block[4..16], scales, mins);
            fields(&block[48..176], 4, q);
            for (i, q) in q.iter_mut().enumerate() {
                *q |= ((block[16 + i % 32] >> (i / 32) & 1) << 4) as i8;
            }
            (half_at(block, 0), half_at(block, 2))
        }
        QuantType::Q6_K => {
            for (i, q) in q.iter_mut().enumerate() {
                let (half, quarter, at) = (i / 128, i % 128 / 32, i % 32);
                let low = (block[64 * half + 32 * (quarter % 2) + at] >> (4 * (quarter / 2))) & 15;
                let high = (block[128 + 32 * half + at] >> (2 * quarter)) & 3;
                *q = (low | high << 4) as i8;
            }
            scales.iter_mut().zip(&block[192..208]).for_each(|(scale, b)| *scale = i16::from(*b as i8));
            *mins = *scales;
            (half_at(block, 208), 0.0)
        }
        _ => {
            let high = u16::from_le_bytes([block[2], block[3]]);
            for (i, scale) in scales.iter_mut().enumerate() {
                let i = i / 2;
                let low = (block[4 + i / 2] >> (4 * (i % 2))) & 15;
                *scale = i16::from(low) + ((high >> (2 * i)) & 3) as i16 * 16 - 32;
            }
            for (q, packed) in q.as_chunks_mut::<32>().0.iter_mut().zip(block[8..].chunks_exact(16)) {
                nibbles(packed, q, |n| IQ4_VALUES[n as usize]);
            }
            (half_at(block, 0), 0.0)
        }
    }
}

#[inline]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 16 bytes to 32 values: the low nibbles, then the high ones.
#[inline]
fn nibbles(packed: &[u8], q: &mut [i8; 32], value: impl Fn(u8) -> i8) {
    for (i, byte) in packed.iter().take(16).enumerate() {
        (q[i], q[i + 16]) = (value(byte & 15), value(byte >> 4));
    }
}

/// Adds bit `i` of `bits`, worth 16, to value `i`.
#[inline]
fn fifth_bits(bits: &[u8], q: &mut [i8; 32]) {
    for (i, q) in q.iter_mut().enumerate() {
        *q += ((bits[i / 8] >> (i % 8) & 1) << 4) as i8;
    }
}

/// Fields of `width` bits: 32 bytes hold the lowest fields of 32 values, then the next fields of the 32 that follow.
#[inline]
fn fields(packed: &[u8], width: usize, q: &mut [i8; 256]) {
    let per_byte = 8 / width;
    for (i, q) in q.iter_mut().enumerate() {
        let (run, at) = (i / 32, i % 32);
        *q = (packed[32 * (run / per_byte) + at] >> (width * (run % per_byte)) & ((1 << width) - 1)) as i8;
    }
}

/// Eight 6-bit scales and minimums in 12 bytes (ggml's `get_scale_min_k4`), each for two groups of 16.
#[inline]
fn six_bit_scales(packed: &[u8], scales: &mut [i16; 16], mins: &mut [i16; 16]) {
    for i in 0..8 {
        let (scale, min) = if i < 4 {
            (packed[i] & 63, packed[i + 4] & 63)
        } else {
            (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
        };
        scales[2 * i..][..2].fill(i16::from(scale));
        mins[2 * i..][..2].fill(i16::from(min));
    }
}
