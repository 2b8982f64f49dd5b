//! The order in which a group of sixteen rows meets its columns, the same for every block shape.

use super::dot::Dot;

/// One group of weights and the columns that it meets.
///
/// Every method needs the instructions of `D`, and blocks, slices and columns that exist. Slices cut the sixteen rows into
/// vectors of `D::ROWS`.
pub(super) trait Blocks<D: Dot>: Copy {
    /// `sum` and the products of slice `s` of block `b` with the only column.
    unsafe fn add_to_one(self, sum: D::Floats, b: usize, s: usize) -> D::Floats;
    /// Adds the products of slice `s` of block `b` with all columns to `acc`: a vector at the start of every sixteen.
    unsafe fn add_to_all(self, b: usize, s: usize, acc: *mut f32);
}

/// `acc[column][row]` = all `count` blocks of a group times `n` columns.
///
/// # Safety
/// Needs the instructions of `d`, `count` blocks and `n` columns in `blocks`, and in `acc` room for sixteen numbers a column.
#[inline(always)]
pub(super) unsafe fn sweep<D: Dot>(d: D, blocks: impl Blocks<D>, count: usize, n: usize, acc: *mut f32) {
    let slices = 16 / D::ROWS;
    // SAFETY: the caller's promises; slices cut the sixteen rows.
    unsafe {
        if n == 1 {
            // All rows of a block before the next, so that the group streams through once; sums stay in registers.
            let mut sums = [d.floats(0.0); 4];
            for b in 0..count {
                for (s, sum) in sums.iter_mut().enumerate().take(slices) {
                    *sum = blocks.add_to_one(*sum, b, s);
                }
            }
            for (s, sum) in sums.into_iter().enumerate().take(slices) {
                d.store_floats(acc.add(s * D::ROWS), sum);
            }
            return;
        }
        for c in 0..n {
            for s in 0..slices {
                d.store_floats(acc.add(16 * c + s * D::ROWS), d.floats(0.0));
            }
        }
        for s in 0..slices {
            for b in 0..count {
                blocks.add_to_all(b, s, acc.add(s * D::ROWS));
            }
        }
    }
}

/// How many of `n` columns an instruction set takes two at a time.
#[inline(always)]
pub(super) fn paired<D: Dot>(n: usize) -> usize {
    if D::COLUMNS == 2 { n / 2 * 2 } else { 0 }
}
