//! RMS norm (Zhang and Sennrich, arXiv 1910.07467), forward and backward.

use super::{Buffer, Compute};
use crate::kernels;

/// `x / rms(x) * weight` for every row of `x`, each as long as `weight`.
pub(super) fn forward(on: Compute<'_>, x: &[f32], weight: &[f32], eps: f32) -> Buffer {
    let mut y = on.buffers.copy(x);
    kernels::rms_norm_inplace(on.team, on.isa, &mut y, weight, eps);
    y
}

/// Adds the gradient at `x` to `dx`: with `r = 1 / rms(x)` and `g = dy * weight`, it is `r g - r^3 x mean(x g)`.
pub(super) fn backward(on: Compute<'_>, x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) {
    let len = weight.len().max(1);
    on.team.for_each_chunk_mut(dx, len, |i, dx| {
        let rows = i * len..(i + 1) * len;
        let (Some(x), Some(dy)) = (x.get(rows.clone()), dy.get(rows)) else { return };
        let squares: f32 = x.iter().map(|x| x * x).sum();
        let r = 1.0 / (squares / len as f32 + eps).sqrt();
        let along: f32 = x.iter().zip(dy).zip(weight).map(|((x, dy), w)| x * dy * w).sum();
        let pull = r * r * r * along / len as f32;
        for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
            *dx += r * dy * w - pull * x;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compute, gradients_agree};
    use super::*;
    use crate::kernels::testing::Noise;

    #[test]
    fn backward_is_the_gradient_of_forward() {
        compute(|on| {
            let mut noise = Noise::new(1);
            let (rows, len) = (3, 20);
            let (x, weight, dy) = (noise.normals(rows * len), noise.normals(len), noise.normals(rows * len));
            let mut dx = vec![0.0; x.len()];
            backward(on, &x, &weight, 1e-2, &dy, &mut dx);
            gradients_agree(&x, &dx, &dy, |x| forward(on, x, &weight, 1e-2));
        });
    }
}
