//! Rows of weights unpacked to bytes, small enough to stay in the first-level cache while columns sweep over them.

use super::unpack;
use crate::kernels::MatrixView;
use crate::kernels::activations::padded_blocks;

/// A few unpacked rows. Which of the buffers are in use depends on the format's block length.
#[derive(Default)]
pub(super) struct Panel {
    k: usize,
    /// `[row][k]`.
    pub(super) q: Vec<i8>,
    /// `[row][block]`, blocks of 32 padded with zeros to whole vectors.
    pub(super) d: Vec<f32>,
    /// Like `d`: `m` of 32-blocks, `dmin` of 256-blocks.
    pub(super) m: Vec<f32>,
    /// `[row][block]`: per 256 the scales of the eight even, then of the eight odd groups of 16.
    pub(super) scales: Vec<[i16; 16]>,
    /// `[row][block]`: per 256 the minimums of the 16 groups.
    pub(super) mins: Vec<[i16; 16]>,
}

impl Panel {
    /// Room for `rows` rows of `w`.
    pub(super) fn new(w: &MatrixView<'_>, rows: usize) -> Self {
        let k = w.cols();
        match w.ty().block_len() {
            32 => {
                let blocks = rows * padded_blocks(k);
                Self { k, q: vec![0; rows * k], d: vec![0.0; blocks], m: vec![0.0; blocks], ..Self::default() }
            }
            _ => {
                let blocks = rows * (k / 256);
                Self {
                    k,
                    q: vec![0; rows * k],
                    d: vec![0.0; blocks],
                    m: vec![0.0; blocks],
                    scales: vec![[0; 16]; blocks],
                    mins: vec![[0; 16]; blocks],
                }
            }
        }
    }

    /// Scales per row in `d` and `m`.
    pub(super) fn blocks_per_row(&self, block_len: usize) -> usize {
        if block_len == 32 { padded_blocks(self.k) } else { self.k / 256 }
    }

    /// Unpacks row `row` of `w` into the panel's row `at`, in plain Rust.
    pub(super) fn unpack(&mut self, w: &MatrixView<'_>, row: usize, at: usize) {
        let (ty, k, first) = (w.ty(), self.k, at * self.blocks_per_row(w.ty().block_len()));
        let blocks = w.row(row).chunks_exact(ty.block_bytes()).zip(first..);
        let q = &mut self.q[at * k..(at + 1) * k];
        if ty.block_len() == 32 {
            for ((block, b), q) in blocks.zip(q.as_chunks_mut().0) {
                (self.d[b], self.m[b]) = unpack::block32(ty, block, q);
            }
        } else {
            for ((block, b), q) in blocks.zip(q.as_chunks_mut().0) {
                let mut scales = [0; 16];
                (self.d[b], self.m[b]) = unpack::block256(ty, block, q, &mut scales, &mut self.mins[b]);
                self.scales[b] = std::array::from_fn(|i| scales[2 * (i % 8) + i / 8]);
            }
        }
    }
}
