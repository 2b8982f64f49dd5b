//! Products of f32 matrices, computed by the `gemm` crate and split among the team.

use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Shards, Team};

/// Products below which handing a part to another thread costs more than it saves.
const PART_PRODUCTS: usize = 1 << 17;
/// Rows or columns of a part, at least: one tile of a register-blocked kernel.
const PART_WIDTH: usize = 16;

/// A matrix in a slice: element `(row, col)` lies at `row * row_stride + col * col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// `rows` rows of `cols` numbers, one after the other.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transposed matrix; nothing is moved.
    pub fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    fn fits(&self) -> bool {
        let end = |n: usize, stride: usize| n.checked_sub(1).and_then(|last| last.checked_mul(stride));
        match (end(self.rows, self.row_stride), end(self.cols, self.col_stride)) {
            (Some(row), Some(col)) => row.checked_add(col).is_some_and(|last| last < self.data.len()),
            _ => true,
        }
    }
}

/// `out = alpha * a * b`, or that added to `out`; `out` is `[a.rows][b.cols]`.
pub fn gemm(team: &Team, out: &mut [f32], add: bool, alpha: f32, a: Mat<'_>, b: Mat<'_>) -> Result<()> {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if b.rows != k || m.checked_mul(n) != Some(out.len()) || !a.fits() || !b.fits() {
        let message = format!("a product of {m} x {k} and {} x {n} into {} numbers", b.rows, out.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    if out.is_empty() {
        return Ok(());
    }
    let by_rows = m >= n;
    let width = m.max(n);
    let parts = (m.saturating_mul(n).saturating_mul(k) / PART_PRODUCTS).clamp(1, 2 * team.threads());
    let parts = parts.min(width.div_ceil(PART_WIDTH)).max(1);
    let shards = Shards::new(out);
    team.run(parts, &|part| {
        let mine = width * part / parts..width * (part + 1) / parts;
        let (rows, cols) = if by_rows { (mine, 0..n) } else { (0..m, mine) };
        // SAFETY: parts have disjoint rows or columns of `out`, which is `m` x `n`; `a` and `b` hold all that is read of them.
        unsafe {
            let dst = shards.as_mut_ptr().add(rows.start * n + cols.start);
            let lhs = a.data.as_ptr().add(rows.start * a.row_stride);
            let rhs = b.data.as_ptr().add(cols.start * b.col_stride);
            multiply(
                dst,
                n,
                add,
                alpha,
                (lhs, a.row_stride, a.col_stride),
                (rhs, b.row_stride, b.col_stride),
                [rows.len(), cols.len(), k],
            );
        }
    });
    Ok(())
}

/// `dst = alpha * lhs * rhs` or that added to it, on this thread; `[m, n, k]` are the sizes, `dst` has rows `stride` apart.
///
/// # Safety
/// All elements of the three matrices, given as pointer, row stride and column stride, must be valid, those of `dst` for
/// writing, and nobody else may use them meanwhile.
pub(super) unsafe fn multiply(
    dst: *mut f32,
    stride: usize,
    add: bool,
    alpha: f32,
    lhs: (*const f32, usize, usize),
    rhs: (*const f32, usize, usize),
    [m, n, k]: [usize; 3],
) {
    // SAFETY: as this function's own contract.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            1,
            stride as isize,
            add,
            lhs.0,
            lhs.2 as isize,
            lhs.1 as isize,
            rhs.0,
            rhs.2 as isize,
            rhs.1 as isize,
            1.0,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;

    #[test]
    fn products_match_f64_with_any_strides_and_threads() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (40, 17, 64), (8, 300, 33), (130, 90, 70)] {
            let mut noise = Noise::new((m * n * k) as u64);
            let (a, b, old) = (noise.normals(m * k), noise.normals(k * n), noise.normals(m * n));
            for threads in [1, 2] {
                let team = Team::new(threads).unwrap();
                for add in [false, true] {
                    let mut plain = old.clone();
                    gemm(&team, &mut plain, add, 0.5, Mat::new(&a, m, k), Mat::new(&b, k, n)).unwrap();
                    // The transposed product of the transposed factors is the same matrix turned.
                    let mut turned: Vec<f32> = (0..n * m).map(|i| old[i % m * n + i / m]).collect();
                    gemm(&team, &mut turned, add, 0.5, Mat::new(&b, k, n).t(), Mat::new(&a, m, k).t()).unwrap();
                    for (i, &got) in plain.iter().enumerate() {
                        let (row, col) = (i / n, i % n);
                        let sum: f64 = (0..k).map(|j| f64::from(a[row * k + j]) * f64::from(b[j * n + col])).sum();
                        let want = 0.5 * sum + if add { f64::from(old[i]) } else { 0.0 };
                        assert!((f64::from(got) - want).abs() < 2e-5, "{m} {n} {k} {add}: {got} {want}");
                        assert!((got - turned[col * m + row]).abs() < 2e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let team = Team::new(1).unwrap();
        let data = [0.0; 6];
        let mut out = [0.0; 4];
        assert!(gemm(&team, &mut out, false, 1.0, Mat::new(&data, 2, 3), Mat::new(&data, 3, 2)).is_ok());
        assert!(gemm(&team, &mut out, false, 1.0, Mat::new(&data, 2, 3), Mat::new(&data, 2, 3)).is_err());
        assert!(gemm(&team, &mut out, false, 1.0, Mat::new(&data, 2, 4), Mat::new(&data, 4, 2)).is_err());
        assert!(gemm(&team, &mut out[..3], false, 1.0, Mat::new(&data, 2, 3), Mat::new(&data, 3, 2)).is_err());
    }
}
