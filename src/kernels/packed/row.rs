//! One row of a packed matrix as numbers: the embedding lookup.

use super::{GROUP_ROWS, PackedMatrix};
use crate::error::{Error, Result};
use crate::quant::QuantType::*;
use crate::quant::iq4_nl::CODEBOOK;
use half::{bf16, f16};

impl PackedMatrix {
    /// Writes row `row`, dequantized to the same numbers as [`QuantType::dequantize`](crate::quant::QuantType) gives for
    /// the row in its file, to `out`, which holds `cols` values.
    pub fn get_row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        if row >= self.rows || out.len() != self.cols {
            let (rows, cols, len) = (self.rows, self.cols, out.len());
            return Err(Error::invalid(format!("row {row} of a matrix of {rows} rows of {cols}, into {len} values")));
        }
        let row_of = Row { group: self.group(row / GROUP_ROWS), r: row % GROUP_ROWS, m: self };
        for (b, out) in out.chunks_exact_mut(self.ty.block_len()).enumerate() {
            match self.ty.block_len() {
                1 => out[0] = row_of.float(b),
                32 => row_of.block32(b, out),
                _ => row_of.block256(b, out),
            }
        }
        Ok(())
    }
}

struct Row<'a> {
    group: &'a [u8],
    r: usize,
    m: &'a PackedMatrix,
}

impl Row<'_> {
    fn float(&self, column: usize) -> f32 {
        let at = &self.group[self.m.layout.quants + column * self.m.layout.block..];
        match self.m.ty {
            F32 => f32::from_le_bytes([at[4 * self.r], at[4 * self.r + 1], at[4 * self.r + 2], at[4 * self.r + 3]]),
            F16 => f16::from_le_bytes([at[2 * self.r], at[2 * self.r + 1]]).to_f32(),
            _ => bf16::from_le_bytes([at[2 * self.r], at[2 * self.r + 1]]).to_f32(),
        }
    }

    fn block32(&self, b: usize, out: &mut [f32]) {
        let d = self.half(b * self.m.layout.head);
        let m =
            if matches!(self.m.ty, Q4_1 | Q5_1) { self.half(self.m.layout.mins + b * self.m.layout.head) } else { 0.0 };
        for (i, out) in out.iter_mut().enumerate() {
            let nibble = |first: usize| self.quant(b, first + i % 16 / 4, i) >> (4 * (i / 16)) & 15;
            let fifth = || (self.quant(b, 0, i) >> (i / 4) & 1) << 4;
            *out = match self.m.ty {
                Q4_0 => d * f32::from(nibble(0) as i8 - 8),
                Q4_1 => d * f32::from(nibble(0)) + m,
                Q5_0 => d * f32::from((nibble(1) | fifth()) as i8 - 16),
                Q5_1 => d * f32::from(nibble(1) | fifth()) + m,
                Q8_0 => d * f32::from(self.quant(b, i / 4, i) as i8),
                _ => d * f32::from(CODEBOOK[usize::from(nibble(0))]),
            };
        }
    }

    fn block256(&self, b: usize, out: &mut [f32]) {
        let halves = 2 * GROUP_ROWS;
        let head = b * self.m.layout.head;
        let d = self.half(head);
        let dmin = if matches!(self.m.ty, Q2_K | Q4_K | Q5_K) { self.half(head + halves) } else { 0.0 };
        // The `j`-th byte of the pairs that begin at `from`.
        let pairs = |from: usize, j: usize| self.group[head + from + j / 2 * halves + 2 * self.r + j % 2];
        for (i, out) in out.iter_mut().enumerate() {
            // Byte `i % 32` of the eight words from `first` on.
            let word = |first: usize| self.quant(b, first + i % 32 / 4, i);
            let bits2 = |first: usize| word(first + i / 128 * 8) >> (2 * (i / 32 % 4)) & 3;
            let nibble = |first: usize| word(first + i / 64 * 8) >> (4 * (i / 32 % 2)) & 15;
            *out = match self.m.ty {
                Q2_K => {
                    let scale = pairs(2 * halves, i / 16);
                    d * f32::from(scale & 15) * f32::from(bits2(0)) - dmin * f32::from(scale >> 4)
                }
                Q3_K => {
                    let q = bits2(8) | (word(0) >> (i / 32) & 1) << 2;
                    d * f32::from(pairs(halves, i / 16) as i8) * f32::from(q as i8 - 4)
                }
                Q4_K => {
                    let (scale, min) = (pairs(2 * halves, i / 32), pairs(6 * halves, i / 32));
                    d * f32::from(scale) * f32::from(nibble(0)) - dmin * f32::from(min)
                }
                Q5_K => {
                    let (scale, min) = (pairs(2 * halves, i / 32), pairs(6 * halves, i / 32));
                    let q = nibble(8) | (word(0) >> (i / 32) & 1) << 4;
                    d * f32::from(scale) * f32::from(q) - dmin * f32::from(min)
                }
                Q6_K => {
                    let low = word(i / 128 * 16 + i / 32 % 2 * 8) >> (4 * (i / 64 % 2)) & 15;
                    let q = low | bits2(32) << 4;
                    d * f32::from(pairs(halves, i / 16) as i8) * f32::from(q as i8 - 32)
                }
                _ => {
                    let q = self.quant(b, i / 32 * 4 + i % 16 / 4, i) >> (4 * (i % 32 / 16)) & 15;
                    d * f32::from(pairs(halves, i / 32) as i8) * f32::from(CODEBOOK[usize::from(q)])
                }
            };
        }
    }

    /// This row's half-precision number among the sixteen at `at`.
    fn half(&self, at: usize) -> f32 {
        f16::from_le_bytes([self.group[at + 2 * self.r], self.group[at + 2 * self.r + 1]]).to_f32()
    }

    /// Byte `i % 4` of word `word` of block `b`.
    fn quant(&self, b: usize, word: usize, i: usize) -> u8 {
        self.group[self.m.layout.quants + b * self.m.layout.block + 4 * GROUP_ROWS * word + 4 * self.r + i % 4]
    }
}
