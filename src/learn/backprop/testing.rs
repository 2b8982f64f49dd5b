//! Finite differences, and matrices for the room's tests.

use std::ops::Deref;

use super::{Buffers, Compute};
use crate::exec::Team;
use crate::kernels::testing::Noise;
use crate::model::{Linear, Tensor};
use crate::observe::Interrupt;
use crate::quant::QuantType;
use crate::simd::Isa;
use crate::storage::Bytes;

/// Runs `test` with one thread and with two.
pub(super) fn compute(test: impl Fn(Compute<'_>)) {
    for threads in [1, 2] {
        let team = Team::new(threads).unwrap();
        let (buffers, interrupt) = (Buffers::default(), Interrupt::default());
        test(Compute { team: &team, isa: Isa::detect(), buffers: &buffers, interrupt: &interrupt });
    }
}

/// Holds `dx`, the gradient at `x` of `sum(dy * f(x))`, against central differences along ten random directions.
pub(super) fn gradients_agree<Y: Deref<Target = [f32]>>(x: &[f32], dx: &[f32], dy: &[f32], f: impl Fn(&[f32]) -> Y) {
    assert_eq!((x.len(), f(x).len()), (dx.len(), dy.len()));
    let mut noise = Noise::new(99);
    let norm = |v: &[f32]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    for _ in 0..10 {
        let direction = noise.normals(x.len());
        let h = 2e-3;
        let at = |h: f32| -> f64 {
            let moved: Vec<f32> = x.iter().zip(&direction).map(|(x, d)| x + h * d).collect();
            f(&moved).iter().zip(dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
        };
        let grad = (at(h) - at(-h)) / (2.0 * f64::from(h));
        let want: f64 = dx.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
        // Along a random direction the grad is of the order of the gradient's norm.
        assert!((grad - want).abs() < 1e-3 * norm(dx), "{grad} by differences, {want} backward, norm {}", norm(dx));
    }
}

/// A frozen matrix of noise with a bias.
pub(super) fn linear(noise: &mut Noise, ty: QuantType, rows: usize, cols: usize) -> Linear {
    let data = ty.quantize(&noise.normals(rows * cols)).unwrap();
    let len = data.len();
    let weight = Tensor::new(Bytes::from_vec(data), 0..len, ty, rows, cols).unwrap();
    Linear { weight, bias: Some(noise.normals(rows)) }
}
