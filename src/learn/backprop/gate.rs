//! The gate of the feed-forward layer, forward and backward.

use super::{Buffer, Compute};
use crate::kernels::{self, Activation};

/// Numbers of one part of a job.
const CHUNK: usize = 4096;
/// GELU's tanh form (Hendrycks and Gimpel, arXiv 1606.08415).
const GELU_CUBIC: f32 = 0.044_715;
const GELU_SCALE: f32 = 0.797_884_6;

/// `f(gate) * up`.
pub(super) fn forward(on: Compute<'_>, f: Activation, gate: &[f32], up: &[f32]) -> Buffer {
    let mut out = on.buffers.copy(gate);
    on.team.for_each_chunk_mut(&mut out, CHUNK, |i, out| {
        let Some(up) = up.get(i * CHUNK..i * CHUNK + out.len()) else { return };
        match f {
            Activation::Silu => kernels::silu_mul(on.isa, out, up),
            Activation::Gelu => kernels::gelu_mul(on.isa, out, up),
        }
    });
    out
}

/// Turns `gate` and `up` into the gradients at them; leaves off when interrupted, which the next product will tell.
pub(super) fn backward(on: Compute<'_>, f: Activation, gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
    let old = on.buffers.copy(gate);
    on.team.for_each_chunk_mut(gate, CHUNK, |i, gate| {
        let here = i * CHUNK..i * CHUNK + gate.len();
        let (Some(up), Some(dy), Ok(())) = (up.get(here.clone()), dy.get(here), on.interrupt.check()) else { return };
        for ((gate, up), dy) in gate.iter_mut().zip(up).zip(dy) {
            *gate = dy * up * value_and_derivative(f, *gate).1;
        }
    });
    on.team.for_each_chunk_mut(up, CHUNK, |i, up| {
        let here = i * CHUNK..i * CHUNK + up.len();
        let (Some(gate), Some(dy), Ok(())) = (old.get(here.clone()), dy.get(here), on.interrupt.check()) else {
            return;
        };
        for ((up, gate), dy) in up.iter_mut().zip(gate).zip(dy) {
            *up = dy * value_and_derivative(f, *gate).0;
        }
    });
}

fn value_and_derivative(f: Activation, x: f32) -> (f32, f32) {
    match f {
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            (x * s, s * (1.0 + x * (1.0 - s)))
        }
        Activation::Gelu => {
            let t = (GELU_SCALE * (x + GELU_CUBIC * x * x * x)).tanh();
            let inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * x * x);
            (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compute, gradients_agree};
    use super::*;
    use crate::kernels::testing::Noise;

    #[test]
    fn backward_is_the_gradient_of_forward() {
        compute(|on| {
            for f in [Activation::Silu, Activation::Gelu] {
                let mut noise = Noise::new(2);
                let (gate, up, dy) = (noise.normals(100), noise.normals(100), noise.normals(100));
                let (mut d_gate, mut d_up) = (gate.clone(), up.clone());
                backward(on, f, &mut d_gate, &mut d_up, &dy);
                gradients_agree(&gate, &d_gate, &dy, |gate| forward(on, f, gate, &up));
                gradients_agree(&up, &d_up, &dy, |up| forward(on, f, &gate, up));
            }
        });
    }
}
