//! Weights in groups of sixteen rows whose bytes lie side by side, as the matrix products read them.
//!
//! The quants of four neighbouring columns make a word, and the words of sixteen rows a cache line, so a vector of weights
//! meets one word of inputs and its sums need no adding across lanes. The same layout serves every instruction set.
//!
//! A group is a plane of factors, filled up to whole cache lines, then a plane of quants:
//! - blocks of 32: per block the 16 scales, then (in a plane of their own) the 16 minimums, in half precision;
//! - blocks of 256: per block 16 scales, 16 scales of the minimums where there are any, then the integer scales and
//!   minimums of two neighbouring groups of weights as pairs of bytes, `[pair][row][2]`;
//! - floats: no factors, quants `[column][row]`.

mod pack;
mod row;

use crate::error::{Error, Result};
use crate::exec::Team;
use crate::kernels::MatrixView;
use crate::quant::QuantType::{self, *};
use crate::storage::Bytes;
use std::ops::Range;

/// Rows of one group.
pub(crate) const GROUP_ROWS: usize = 16;
/// Alignment of planes.
const LINE: usize = 64;

/// A matrix in groups of sixteen rows; the rows that fill up the last group are zeros.
#[derive(Clone)]
pub struct PackedMatrix {
    ty: QuantType,
    rows: usize,
    cols: usize,
    layout: GroupLayout,
    bytes: Bytes,
    range: Range<usize>,
}

/// Where things lie in a group, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupLayout {
    /// Factors of one block, all sixteen rows.
    pub(crate) head: usize,
    /// Where the minimums of 32-blocks begin.
    pub(crate) mins: usize,
    /// Where the quants begin.
    pub(crate) quants: usize,
    /// Quants of one block (of one column, for floats), all sixteen rows.
    pub(crate) block: usize,
    /// The whole group.
    pub(crate) group: usize,
}

impl GroupLayout {
    /// The layout of rows of `cols` weights, which must be whole blocks; `None` when sizes overflow.
    pub(crate) fn new(ty: QuantType, cols: usize) -> Option<Self> {
        let (head, planes) = head_bytes(ty);
        let block = match ty {
            F32 => 4 * GROUP_ROWS,
            F16 | BF16 => 2 * GROUP_ROWS,
            _ => 4 * GROUP_ROWS * quant_words(ty).1,
        };
        let blocks = cols / ty.block_len();
        let mins = blocks.checked_mul(head)?;
        let quants = mins.checked_mul(planes)?.checked_next_multiple_of(LINE)?;
        let group = quants.checked_add(blocks.checked_mul(block)?)?.checked_next_multiple_of(LINE)?;
        Some(Self { head, mins, quants, block, group })
    }
}

impl PackedMatrix {
    /// Packs `w`, with the team.
    pub fn new(team: &Team, w: &MatrixView<'_>) -> Result<Self> {
        Self::new_in_steps(team, w, &mut |_| Ok(()))
    }

    /// Packs `w`, with the team, and tells `go_on` step by step which bytes of `w` are not needed any more. Its error ends the
    /// work and is handed on.
    pub fn new_in_steps(
        team: &Team,
        w: &MatrixView<'_>,
        go_on: &mut dyn FnMut(Range<usize>) -> Result<()>,
    ) -> Result<Self> {
        let (ty, rows, cols) = (w.ty(), w.rows(), w.cols());
        let (layout, len) = sizes(ty, rows, cols)?;
        let bytes = Bytes::filled(len, |out| pack::groups(team, w, &layout, out, go_on))?;
        Ok(Self { ty, rows, cols, layout, bytes, range: 0..len })
    }

    /// The matrix whose groups, packed earlier, lie in `bytes` from `start` on, which has to be a multiple of 64 in memory, too
    /// ([`Bytes::aligned`]).
    pub fn from_bytes(bytes: Bytes, start: usize, ty: QuantType, rows: usize, cols: usize) -> Result<Self> {
        let (layout, len) = sizes(ty, rows, cols)?;
        match start.checked_add(len) {
            Some(end) if end <= bytes.len() && start.is_multiple_of(LINE) && ty.row_bytes(cols).is_some() => {
                if !bytes.as_slice().as_ptr().addr().is_multiple_of(LINE) {
                    return Err(Error::invalid(format!(
                        "packed rows in bytes that do not begin at a multiple of {LINE}"
                    )));
                }
                Ok(Self { ty, rows, cols, layout, bytes, range: start..end })
            }
            _ => Err(Error::format(format!("{rows} packed rows of {cols} in {ty:?} do not lie at byte {start}"))),
        }
    }

    /// Bytes of `rows` rows of `cols` weights once they are packed; `None` when sizes overflow.
    pub(crate) fn len_of(ty: QuantType, rows: usize, cols: usize) -> Option<usize> {
        sizes(ty, rows, cols).ok().map(|(_, len)| len)
    }

    /// The format that the blocks came from.
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

    /// All groups.
    pub fn data(&self) -> &[u8] {
        &self.bytes.as_slice()[self.range.clone()]
    }

    pub(crate) fn layout(&self) -> GroupLayout {
        self.layout
    }

    /// Groups of sixteen rows.
    pub(crate) fn groups(&self) -> usize {
        self.rows.div_ceil(GROUP_ROWS)
    }

    /// The bytes of one group, which must exist.
    pub(crate) fn group(&self, group: usize) -> &[u8] {
        &self.data()[group * self.layout.group..][..self.layout.group]
    }
}

/// The layout of a matrix, and its bytes.
fn sizes(ty: QuantType, rows: usize, cols: usize) -> Result<(GroupLayout, usize)> {
    let sizes = GroupLayout::new(ty, cols)
        .and_then(|layout| Some((layout, rows.div_ceil(GROUP_ROWS).checked_mul(layout.group)?)));
    sizes.ok_or_else(|| Error::format(format!("{rows} rows of {cols} in {ty:?} are too large to pack")))
}

/// Bytes of a block's factors for sixteen rows, and how many planes of them there are.
fn head_bytes(ty: QuantType) -> (usize, usize) {
    let halves = 2 * GROUP_ROWS;
    match ty {
        F32 | F16 | BF16 => (0, 1),
        Q4_0 | Q5_0 | Q8_0 | IQ4_NL => (halves, 1),
        Q4_1 | Q5_1 => (halves, 2),
        Q2_K => (2 * halves + 8 * halves, 1),
        Q3_K | Q6_K => (halves + 8 * halves, 1),
        Q4_K | Q5_K => (2 * halves + 8 * halves, 1),
        IQ4_XS => (halves + 4 * halves, 1),
    }
}

/// The first byte of the quants in a block of the file, and how many words of four bytes they are.
fn quant_words(ty: QuantType) -> (usize, usize) {
    match ty {
        F32 | F16 | BF16 => (0, 0),
        Q4_0 | IQ4_NL => (2, 4),
        Q4_1 => (4, 4),
        Q5_0 => (2, 5),
        Q5_1 => (4, 5),
        Q8_0 => (2, 8),
        Q2_K => (16, 16),
        Q3_K => (0, 24),
        Q4_K => (16, 32),
        Q5_K => (16, 40),
        Q6_K => (0, 48),
        IQ4_XS => (8, 32),
    }
}

#[cfg(test)]
mod tests;
