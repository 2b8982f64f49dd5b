//! One matrix of weights: in its file's bytes until it is first multiplied, packed from then on.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::exec::Team;
use crate::kernels::{self, MatrixView, PackedMatrix};
use crate::observe::Interrupt;
use crate::quant::QuantType;
use crate::storage::Bytes;

/// A matrix of `rows` × `cols` weights in blocks along `cols`; `rows` outputs, `cols` inputs. A clone shares everything.
#[derive(Clone)]
pub struct Tensor {
    bytes: Bytes,
    range: Range<usize>,
    ty: QuantType,
    rows: usize,
    cols: usize,
    packed: Arc<Packed>,
}

#[derive(Default)]
struct Packed {
    matrix: OnceLock<PackedMatrix>,
    /// Held while packing, so that engines that share the model pack once.
    packing: Mutex<()>,
}

impl Tensor {
    /// The matrix at `range` of `bytes`; an error when the range does not hold exactly that many blocks.
    pub fn new(bytes: Bytes, range: Range<usize>, ty: QuantType, rows: usize, cols: usize) -> Result<Self> {
        let tensor = Self { bytes, range, ty, rows, cols, packed: Arc::default() };
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

    /// The weights as they lie in the file.
    pub fn view(&self) -> Result<MatrixView<'_>> {
        let data = self.bytes.as_slice().get(self.range.clone());
        let data = data.ok_or_else(|| Error::format("a tensor's data lie outside its file"))?;
        MatrixView::new(self.ty, self.rows, self.cols, data)
    }

    /// The weights as the matrix products take them: packed by the team on the first call, which lets the pages of a mapped
    /// file go, so that only one form stays in memory. [`Cancelled`](crate::ErrorKind::Cancelled) when `interrupt` fired in it.
    pub fn packed(&self, team: &Team, interrupt: &Interrupt) -> Result<&PackedMatrix> {
        if let Some(matrix) = self.packed.matrix.get() {
            return Ok(matrix);
        }
        let _packing = self.packed.packing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(matrix) = self.packed.matrix.get() {
            return Ok(matrix);
        }
        self.bytes.advise_will_need(self.range.clone());
        let matrix = PackedMatrix::new_in_steps(team, &self.view()?, &mut |done| {
            self.bytes.advise_dont_need(self.range.start + done.start..self.range.start + done.end);
            interrupt.check()
        })?;
        Ok(self.packed.matrix.get_or_init(|| matrix))
    }

    /// The packed form, if it was made.
    pub(crate) fn if_packed(&self) -> Option<&PackedMatrix> {
        self.packed.matrix.get()
    }

    /// Uses this packed form from now on, unless there is one already.
    pub(crate) fn set_packed(&self, matrix: PackedMatrix) {
        self.packed.matrix.get_or_init(|| matrix);
    }

    /// Where the weights lie in their file.
    pub(crate) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Whether this is a clone of `other`, which shares its weights in either form.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.packed, &other.packed)
    }

    /// Bytes that the weights take in memory: in the file, or packed; where the file was read and not mapped, in both.
    pub fn bytes(&self) -> u64 {
        let file = self.range.len();
        let kept = if self.bytes.is_owned() { file } else { 0 };
        self.if_packed().map_or(file, |matrix| matrix.data().len() + kept) as u64
    }

    /// Row `row` as numbers to `out`, which holds `cols` values.
    pub fn get_row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        match self.packed.matrix.get() {
            Some(matrix) => matrix.get_row(row, out),
            None => kernels::get_row(&self.view()?, row, out),
        }
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
