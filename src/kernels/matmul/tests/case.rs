//! A matrix of random blocks, some columns, and their product.

use crate::exec::Team;
use crate::kernels::matmul::{Product, matmul};
use crate::kernels::testing::Noise;
use crate::kernels::{Activations, Input, MatrixView, PackedMatrix};
use crate::quant::QuantType::{self, *};
use crate::simd::Isa;
use half::{bf16, f16};

pub(super) struct Case {
    pub(super) ty: QuantType,
    pub(super) rows: usize,
    pub(super) k: usize,
    pub(super) data: Vec<u8>,
    /// `[column][k]`
    pub(super) x: Vec<f32>,
}

/// Where a block of `ty` keeps half-precision numbers.
fn halves(ty: QuantType) -> &'static [usize] {
    match ty {
        F32 | F16 | BF16 => &[],
        Q4_1 | Q5_1 | Q4_K | Q5_K => &[0, 2],
        Q4_0 | Q5_0 | Q8_0 | IQ4_NL | IQ4_XS => &[0],
        Q2_K => &[80, 82],
        Q3_K => &[108],
        Q6_K => &[208],
    }
}

/// Rows of `k` with bytes from `bytes` and scales from `scales`.
pub(super) fn matrix(
    ty: QuantType,
    rows: usize,
    k: usize,
    mut byte: impl FnMut() -> u8,
    mut scale: impl FnMut() -> f32,
) -> Vec<u8> {
    match ty {
        F32 => return (0..rows * k).flat_map(|_| scale().to_le_bytes()).collect(),
        F16 => return (0..rows * k).flat_map(|_| f16::from_f32(scale()).to_le_bytes()).collect(),
        BF16 => return (0..rows * k).flat_map(|_| bf16::from_f32(scale()).to_le_bytes()).collect(),
        _ => {}
    }
    let mut data: Vec<u8> = (0..rows * ty.row_bytes(k).unwrap()).map(|_| byte()).collect();
    for block in data.chunks_mut(ty.block_bytes()) {
        for &at in halves(ty) {
            block[at..at + 2].copy_from_slice(&f16::from_f32(scale()).to_le_bytes());
        }
    }
    data
}

pub(super) fn random(ty: QuantType, rows: usize, blocks: usize, columns: usize) -> Case {
    // Floats get a row that is no whole number of vectors.
    let k = if ty.block_len() == 1 { 32 * blocks + 5 } else { ty.block_len() * blocks };
    let (mut a, mut b) = (Noise::new(ty as u64), Noise::new(ty as u64 + 100));
    let data = matrix(ty, rows, k, || (a.next() >> 56) as u8, || b.normals(1)[0] * 0.03);
    Case { ty, rows, k, data, x: Noise::new(9).normals(columns * k) }
}

pub(super) fn packed(case: &Case) -> PackedMatrix {
    let w = MatrixView::new(case.ty, case.rows, case.k, &case.data).unwrap();
    PackedMatrix::new(&Team::new(2).unwrap(), &w).unwrap()
}

pub(super) fn run(case: &Case, isa: Isa, threads: usize) -> Vec<f32> {
    let (team, w) = (Team::new(threads).unwrap(), packed(case));
    let mut acts = Activations::new();
    acts.set(&team, isa, Input::Plain(&case.x), case.k, &[case.ty]).unwrap();
    let mut out = vec![f32::NAN; case.x.len() / case.k * case.rows];
    matmul(&team, isa, &acts, vec![Product { w: &w, bias: None, out: &mut out, add: false }]).unwrap();
    out
}
