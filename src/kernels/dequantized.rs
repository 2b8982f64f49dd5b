//! Products in single precision with quantized weights: tiles of the matrix are dequantized, multiplied and forgotten, so that
//! no full copy of it ever exists. For training, where inputs are not quantized and many tokens share a tile.

use std::ops::Range;

use super::MatrixView;
use super::gemm::multiply;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Shards, Team};
use crate::observe::Interrupt;

/// Numbers of one tile: it stays in the second-level cache.
const TILE: usize = 1 << 17;
/// Rows of a tile, at least, so that a product is worth its preparation.
const TILE_ROWS: usize = 32;

/// `out[i][row] = w[row] . x[i]` for `n` inputs; `x` is `[n][cols]`, `out` `[n][rows]`.
/// [`Cancelled`](ErrorKind::Cancelled) when `interrupt` fired between tiles.
pub fn matmul_f32(
    team: &Team,
    w: &MatrixView<'_>,
    x: &[f32],
    n: usize,
    out: &mut [f32],
    interrupt: &Interrupt,
) -> Result<()> {
    let (rows, cols) = (w.rows(), w.cols());
    check(w, n, x.len(), out.len())?;
    if n == 0 || rows == 0 {
        return Ok(());
    }
    let tile_rows = (TILE / cols).max(TILE_ROWS).min(rows.div_ceil(team.threads())).max(1);
    let shards = Shards::new(out);
    team.run(rows.div_ceil(tile_rows), &|part| {
        if interrupt.check().is_err() {
            return;
        }
        let mine = part * tile_rows..((part + 1) * tile_rows).min(rows);
        let tile = tile(w, mine.clone(), 0..cols);
        let sizes = [n, mine.len(), cols];
        // SAFETY: parts have disjoint columns of `out`; `x` holds `n` rows and the tile `mine.len()`, each `cols` long.
        unsafe {
            let dst = shards.as_mut_ptr().add(mine.start);
            multiply(dst, rows, false, 1.0, (x.as_ptr(), cols, 1), (tile.as_ptr(), 1, cols), sizes);
        }
    });
    interrupt.check()
}

/// `dx[i] = sum over row of dy[i][row] * w[row]`, or that added to `dx`: how [`matmul_f32`] passes gradients back to its
/// inputs, and as interruptible. `dy` is `[n][rows]`, `dx` `[n][cols]`.
pub fn matmul_f32_back(
    team: &Team,
    w: &MatrixView<'_>,
    dy: &[f32],
    n: usize,
    dx: &mut [f32],
    add: bool,
    interrupt: &Interrupt,
) -> Result<()> {
    let (rows, cols) = (w.rows(), w.cols());
    check(w, n, dx.len(), dy.len())?;
    if n == 0 {
        return Ok(());
    }
    let block = w.ty().block_len();
    let blocks = cols / block;
    let parts = (2 * team.threads()).min(blocks).max(1);
    let shards = Shards::new(dx);
    team.run(parts, &|part| {
        let mine = blocks * part / parts * block..blocks * (part + 1) / parts * block;
        let tile_rows = (TILE / mine.len().max(1)).max(TILE_ROWS);
        for first in (0..rows).step_by(tile_rows) {
            if interrupt.check().is_err() {
                return;
            }
            let these = first..(first + tile_rows).min(rows);
            let tile = tile(w, these.clone(), mine.clone());
            let sizes = [n, mine.len(), these.len()];
            // SAFETY: parts have disjoint columns of `dx`; `dy` holds `n` rows and the tile `these.len()`.
            unsafe {
                let dst = shards.as_mut_ptr().add(mine.start);
                let dy = dy.as_ptr().add(first);
                multiply(dst, cols, add || first > 0, 1.0, (dy, rows, 1), (tile.as_ptr(), mine.len(), 1), sizes);
            }
        }
    });
    interrupt.check()
}

/// Rows and columns of `w` as numbers; the columns are whole blocks.
fn tile(w: &MatrixView<'_>, rows: Range<usize>, cols: Range<usize>) -> Vec<f32> {
    let mut tile = vec![0.0; rows.len() * cols.len()];
    let bytes = w.ty().row_bytes(cols.start).unwrap_or(0)..w.ty().row_bytes(cols.end).unwrap_or(0);
    for (row, out) in rows.zip(tile.chunks_exact_mut(cols.len().max(1))) {
        // A view's rows are whole blocks, so this cannot fail; NaN would show if it did.
        let done = w.ty().dequantize(w.row(row).get(bytes.clone()).unwrap_or_default(), out);
        if done.is_err() {
            out.fill(f32::NAN);
        }
    }
    tile
}

fn check(w: &MatrixView<'_>, n: usize, inputs: usize, outputs: usize) -> Result<()> {
    if n.checked_mul(w.cols()) == Some(inputs) && n.checked_mul(w.rows()) == Some(outputs) {
        return Ok(());
    }
    let message = format!("{n} times {} x {} with {inputs} inputs and {outputs} outputs", w.rows(), w.cols());
    Err(Error::new(ErrorKind::Internal, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;
    use crate::quant::QuantType;

    #[test]
    fn products_both_ways_match_f64_in_every_format() {
        for ty in [QuantType::F32, QuantType::F16, QuantType::Q4_0, QuantType::Q8_0, QuantType::Q4_K] {
            for (rows, cols, n) in [(1, 256, 1), (70, 512, 3), (300, 768, 33)] {
                let mut noise = Noise::new((rows * n) as u64);
                let data = blocks(&mut noise, ty, rows * cols);
                let w = MatrixView::new(ty, rows, cols, &data).unwrap();
                let mut dense = vec![0.0; rows * cols];
                ty.dequantize(&data, &mut dense).unwrap();
                let (x, dy) = (noise.normals(n * cols), noise.normals(n * rows));
                let (old, go) = (noise.normals(n * cols), Interrupt::default());
                for threads in [1, 2] {
                    let team = Team::new(threads).unwrap();
                    let (mut out, mut dx) = (vec![0.0; n * rows], old.clone());
                    matmul_f32(&team, &w, &x, n, &mut out, &go).unwrap();
                    matmul_f32_back(&team, &w, &dy, n, &mut dx, true, &go).unwrap();
                    let near = |got: f32, want: f64, mass: f64| {
                        assert!(
                            (f64::from(got) - want).abs() <= 1e-6 * (1.0 + mass),
                            "{ty:?} {rows} {cols} {n}: {got} {want}"
                        );
                    };
                    for (i, &got) in out.iter().enumerate() {
                        let products = (0..cols)
                            .map(|j| f64::from(x[i / rows * cols + j]) * f64::from(dense[i % rows * cols + j]));
                        near(got, products.clone().sum(), products.map(f64::abs).sum());
                    }
                    for (i, &got) in dx.iter().enumerate() {
                        let products = (0..rows)
                            .map(|j| f64::from(dy[i / cols * rows + j]) * f64::from(dense[j * cols + i % cols]));
                        near(got, f64::from(old[i]) + products.clone().sum::<f64>(), products.map(f64::abs).sum());
                    }
                }
            }
        }
    }

    /// Weights of noise; for a format that is only read, noise as its quants under fixed scales.
    fn blocks(noise: &mut Noise, ty: QuantType, len: usize) -> Vec<u8> {
        if let Ok(data) = ty.quantize(&noise.normals(len)) {
            return data;
        }
        let mut data: Vec<u8> = (0..ty.row_bytes(len).unwrap()).map(|_| noise.next() as u8).collect();
        for block in data.chunks_exact_mut(ty.block_bytes()) {
            for scale in block[..4].chunks_exact_mut(2) {
                scale.copy_from_slice(&half::f16::from_f32(0.01).to_le_bytes());
            }
        }
        data
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let team = Team::new(1).unwrap();
        let w = MatrixView::new(QuantType::F32, 1, 2, &[0; 8]).unwrap();
        let go = Interrupt::default();
        assert!(matmul_f32(&team, &w, &[0.0; 4], 2, &mut [0.0; 2], &go).is_ok());
        assert!(matmul_f32(&team, &w, &[0.0; 3], 2, &mut [0.0; 2], &go).is_err());
        assert!(matmul_f32_back(&team, &w, &[0.0; 2], 2, &mut [0.0; 3], false, &go).is_err());
        go.cancel.cancel();
        let cancelled = |done: Result<()>| done.unwrap_err().kind() == ErrorKind::Cancelled;
        let (mut out, mut dx) = ([7.0; 2], [7.0; 4]);
        assert!(cancelled(matmul_f32(&team, &w, &[0.0; 4], 2, &mut out, &go)) && out == [7.0; 2]);
        assert!(cancelled(matmul_f32_back(&team, &w, &[0.0; 2], 2, &mut dx, false, &go)) && dx == [7.0; 4]);
    }
}
