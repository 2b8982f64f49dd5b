//! One matrix of weights, still in its file's bytes.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernels::MatrixView;
use crate::quant::QuantType;
use crate::storage::Bytes;

/// A matrix of `rows` × `cols` weights in blocks along `cols`; `rows` outputs, `cols` inputs.
#[derive(Clone)]
pub struct Tensor {
    bytes: Bytes,
    range: Range<usize>,
    ty: QuantType,
    rows: usize,
    cols: usize,
}

impl Tensor {
    /// The matrix at `range` of `bytes`; an error when the range does not hold exactly that many blocks.
    pub fn new(bytes: Bytes, range: Range<usize>, ty: QuantType, rows: usize, cols: usize) -> Result<Self> {
        let tensor = Self { bytes, range, ty, rows, cols };
        tensor.view()?;
        Ok(tensor)
    }

    /// Format of the weights.
    pub fn ty(&self) -> QuantType {
        self.ty
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The weights as the kernels take them.
    pub fn view(&self) -> Result<MatrixView<'_>> {
        let data = self.bytes.as_slice().get(self.range.clone());
        let data = data.ok_or_else(|| Error::format("a tensor's data lie outside its file"))?;
        MatrixView::new(self.ty, self.rows, self.cols, data)
    }

    /// Rows `first..first + rows` as a matrix of their own: fused projections are split so.
    pub fn split_rows(&self, first: usize, rows: usize) -> Result<Self> {
        let row_bytes = self.range.len() / self.rows;
        let end = first.checked_add(rows).filter(|&end| end <= self.rows && rows > 0);
        let end = end.ok_or_else(|| Error::format(format!("rows {first}+{rows} of a matrix of {}", self.rows)))?;
        let range = self.range.start + first * row_bytes..self.range.start + end * row_bytes;
        Self::new(self.bytes.clone(), range, self.ty, rows, self.cols)
    }
}
