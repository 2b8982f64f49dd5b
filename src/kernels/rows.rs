//! Single rows of a matrix as numbers: the embedding lookup.

use super::MatrixView;
use crate::error::{Error, Result};

/// Writes row `row` of `w`, dequantized, to `out`, which holds `w.cols()` values.
pub fn get_row(w: &MatrixView<'_>, row: usize, out: &mut [f32]) -> Result<()> {
    if row >= w.rows() || out.len() != w.cols() {
        let (rows, cols, len) = (w.rows(), w.cols(), out.len());
        return Err(Error::invalid(format!("row {row} of a matrix of {rows} rows of {cols}, into {len} values")));
    }
    w.ty().dequantize(w.row(row), out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::QuantType;

    #[test]
    fn rows_come_out_as_numbers_and_bad_ones_are_refused() {
        let data: Vec<u8> = [1.5f32, -2.0, 3.0, 4.25].iter().flat_map(|x| x.to_le_bytes()).collect();
        let w = MatrixView::new(QuantType::F32, 2, 2, &data).unwrap();
        let mut out = [0.0; 2];
        get_row(&w, 1, &mut out).unwrap();
        assert_eq!(out, [3.0, 4.25]);
        assert!(get_row(&w, 2, &mut out).is_err());
        assert!(get_row(&w, 0, &mut out[..1]).is_err());
    }
}
