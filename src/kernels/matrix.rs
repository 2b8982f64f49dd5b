//! A weight matrix as it lies in its file.

use crate::error::{Error, Result};
use crate::quant::QuantType;

/// Rows of quantized blocks, borrowed; its existence proves that the sizes fit.
#[derive(Clone, Copy)]
pub struct MatrixView<'a> {
    ty: QuantType,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    data: &'a [u8],
}

impl<'a> MatrixView<'a> {
    /// `rows` rows of `cols` elements in format `ty`, one after the other in `data`, which must be exactly as long.
    pub fn new(ty: QuantType, rows: usize, cols: usize, data: &'a [u8]) -> Result<Self> {
        let sizes = ty.row_bytes(cols).and_then(|row| Some((row, row.checked_mul(rows)?)));
        match sizes {
            Some((row_bytes, bytes)) if bytes == data.len() && cols > 0 => Ok(Self { ty, rows, cols, row_bytes, data }),
            _ => Err(Error::format(format!("{rows} rows of {cols} in {ty:?} do not fill {} bytes", data.len()))),
        }
    }

    /// The format of the blocks.
    pub fn ty(&self) -> QuantType {
        self.ty
    }

    /// Rows: the length of one output column.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of one row: the length of one input column.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of all rows.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The bytes of row `row`; empty beyond the last row.
    pub fn row(&self, row: usize) -> &'a [u8] {
        let start = row.saturating_mul(self.row_bytes);
        self.data.get(start..start.saturating_add(self.row_bytes)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_once() {
        let data = vec![0; 3 * 36];
        assert!(MatrixView::new(QuantType::Q4_0, 3, 64, &data).is_ok());
        assert!(MatrixView::new(QuantType::Q4_0, 3, 63, &data).is_err());
        assert!(MatrixView::new(QuantType::Q4_0, 4, 64, &data).is_err());
        assert!(MatrixView::new(QuantType::Q4_0, usize::MAX, 64, &data).is_err());
        assert!(MatrixView::new(QuantType::F32, 0, 0, &[]).is_err());
    }

    #[test]
    fn rows_are_cut_in_order() {
        let data: Vec<u8> = (0..12).collect();
        let view = MatrixView::new(QuantType::F16, 3, 2, &data).unwrap();
        assert_eq!(view.row(1), &[4, 5, 6, 7]);
        assert!(view.row(3).is_empty());
    }
}
