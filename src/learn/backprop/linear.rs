//! A frozen matrix with an adapter's factors beside it, forward and backward.

use super::{Buffer, Compute};
use crate::error::Result;
use crate::kernels::{Mat, gemm, matmul_f32, matmul_f32_back};
use crate::model::{Adapter, Layer, Linear, Lora, Projection};

/// `y = W x + bias + scale * B (A x)`.
#[derive(Clone, Copy)]
pub(super) struct Projected<'a> {
    linear: &'a Linear,
    lora: Option<(&'a Lora, f32)>,
}

impl<'a> Projected<'a> {
    /// A matrix of layer `i`.
    pub fn new(layer: &'a Layer, i: usize, projection: Projection, adapter: Option<&'a Adapter>) -> Self {
        let lora = adapter.and_then(|adapter| adapter.get(i, projection).map(|lora| (lora, adapter.scale(lora))));
        Self { linear: projection.of(layer), lora }
    }

    /// The outputs of `n` rows of inputs.
    pub fn forward(&self, on: Compute<'_>, x: &[f32], n: usize) -> Result<Buffer> {
        let w = self.linear.weight.view()?;
        let mut y = on.buffers.scratch(n * w.rows());
        matmul_f32(on.team, &w, x, n, &mut y, on.interrupt)?;
        if let Some(bias) = &self.linear.bias {
            for y in y.chunks_exact_mut(bias.len()) {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        }
        if let Some((lora, scale)) = self.lora {
            let inner = inner(on, lora, x, n, w.cols())?;
            let b = Mat::new(&lora.b, w.rows(), lora.rank).t();
            gemm(on.team, &mut y, true, scale, Mat::new(&inner, n, lora.rank), b)?;
        }
        Ok(y)
    }

    /// Adds the gradients at the factors to `grads`, and that at the inputs to `dx`, where they are wanted.
    pub fn backward(
        &self,
        on: Compute<'_>,
        x: &[f32],
        dy: &[f32],
        n: usize,
        grads: Option<&mut Lora>,
        mut dx: Option<&mut [f32]>,
    ) -> Result<()> {
        let w = self.linear.weight.view()?;
        let (rows, cols) = (w.rows(), w.cols());
        if let Some(dx) = dx.as_deref_mut() {
            matmul_f32_back(on.team, &w, dy, n, dx, true, on.interrupt)?;
        }
        let (Some((lora, scale)), Some(grads)) = (self.lora, grads) else { return Ok(()) };
        let rank = lora.rank;
        let inner = inner(on, lora, x, n, cols)?;
        gemm(on.team, &mut grads.b, true, scale, Mat::new(dy, n, rows).t(), Mat::new(&inner, n, rank))?;
        let mut d_inner = on.buffers.scratch(n * rank);
        gemm(on.team, &mut d_inner, false, scale, Mat::new(dy, n, rows), Mat::new(&lora.b, rows, rank))?;
        gemm(on.team, &mut grads.a, true, 1.0, Mat::new(&d_inner, n, rank).t(), Mat::new(x, n, cols))?;
        match dx {
            Some(dx) => gemm(on.team, dx, true, 1.0, Mat::new(&d_inner, n, rank), Mat::new(&lora.a, rank, cols)),
            None => Ok(()),
        }
    }
}

/// `A x` of `n` rows.
fn inner(on: Compute<'_>, lora: &Lora, x: &[f32], n: usize, cols: usize) -> Result<Buffer> {
    let mut inner = on.buffers.scratch(n * lora.rank);
    gemm(on.team, &mut inner, false, 1.0, Mat::new(x, n, cols), Mat::new(&lora.a, lora.rank, cols).t())?;
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compute, gradients_agree, linear};
    use super::*;
    use crate::kernels::testing::Noise;
    use crate::quant::QuantType;

    #[test]
    fn backward_is_the_gradient_of_forward_through_every_block_format() {
        compute(|on| {
            for ty in [QuantType::F32, QuantType::Q4_0, QuantType::Q8_0] {
                let mut noise = Noise::new(3);
                let (rows, cols, n, rank) = (24, 64, 5, 3);
                let linear = linear(&mut noise, ty, rows, cols);
                let lora = Lora { rank, a: noise.normals(rank * cols), b: noise.normals(rows * rank) };
                let (x, dy) = (noise.normals(n * cols), noise.normals(n * rows));
                let run = |lora: &Lora, x: &[f32]| {
                    Projected { linear: &linear, lora: Some((lora, 0.5)) }.forward(on, x, n).unwrap()
                };
                let mut grads = Lora { rank, a: vec![0.0; rank * cols], b: vec![0.0; rows * rank] };
                let mut dx = vec![0.0; x.len()];
                let projected = Projected { linear: &linear, lora: Some((&lora, 0.5)) };
                projected.backward(on, &x, &dy, n, Some(&mut grads), Some(&mut dx)).unwrap();
                gradients_agree(&x, &dx, &dy, |x| run(&lora, x));
                gradients_agree(&lora.a, &grads.a, &dy, |a| run(&Lora { a: a.to_vec(), ..lora.clone() }, &x));
                gradients_agree(&lora.b, &grads.b, &dy, |b| run(&Lora { b: b.to_vec(), ..lora.clone() }, &x));
            }
        });
    }
}
