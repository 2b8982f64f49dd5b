//! Rotary position embedding (Su et al., arXiv 2104.09864).

use crate::exec::Team;
use crate::simd::{Isa, Simd, dispatch};

/// Elements below which waking the team costs more than it saves.
const SERIAL_ELEMENTS: usize = 1 << 14;

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Neighbours `(2i, 2i + 1)`, the original form (ggml's NORM).
    Interleaved,
    /// Halves `(i, i + n_rot / 2)`, the form of GPT-NeoX.
    Neox,
}

/// Rotates the first `n_rot` elements of every head of every token in place.
///
/// `heads` is `[token][head][head_dim]`; `cos` and `sin` are `[token][n_rot / 2]`, the angles of each token's position.
#[allow(clippy::too_many_arguments)]
pub fn rope(
    team: &Team,
    isa: Isa,
    style: RopeStyle,
    head_dim: usize,
    n_rot: usize,
    cos: &[f32],
    sin: &[f32],
    heads: &mut [f32],
) {
    let pairs = (n_rot / 2).max(1);
    let tokens = cos.len() / pairs;
    let width = heads.len() / tokens.max(1);
    let rotate = |token: usize, heads: &mut [f32]| {
        let angles = token * pairs..(token + 1) * pairs;
        if let (Some(cos), Some(sin)) = (cos.get(angles.clone()), sin.get(angles)) {
            rope_token(isa, style, heads, head_dim, cos, sin);
        }
    };
    if heads.len() < SERIAL_ELEMENTS {
        heads.chunks_mut(width.max(1)).enumerate().for_each(|(token, heads)| rotate(token, heads));
    } else {
        team.for_each_chunk_mut(heads, width, rotate);
    }
}

dispatch! {
    fn rope_token(style: RopeStyle, x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) = rope_with
}

// Products and sums are rounded one by one, so the compiler's vectors give the same bits.
#[inline(always)]
fn rope_with<S: Simd>(_: S, style: RopeStyle, x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
    let pairs = cos.len().min(sin.len()).min(head_dim / 2);
    for head in x.chunks_exact_mut(head_dim.max(1)) {
        match style {
            RopeStyle::Interleaved => {
                for ((pair, c), s) in head.as_chunks_mut::<2>().0.iter_mut().zip(&cos[..pairs]).zip(sin) {
                    let [a, b] = *pair;
                    *pair = [a * c - b * s, a * s + b * c];
                }
            }
            RopeStyle::Neox => {
                let (low, high) = head.split_at_mut(pairs);
                for (((low, high), c), s) in low.iter_mut().zip(high).zip(&cos[..pairs]).zip(sin) {
                    let (a, b) = (*low, *high);
                    (*low, *high) = (a * c - b * s, a * s + b * c);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Noise, bits};

    #[test]
    fn rotations_match_f64_leave_the_rest_and_agree_between_instruction_sets() {
        let team = Team::new(2).unwrap();
        for (head_dim, n_rot, tokens) in [(64, 64, 1), (80, 32, 3), (96, 96, 60), (8, 6, 2), (2, 2, 5)] {
            let (mut noise, pairs, width) = (Noise::new(n_rot as u64), n_rot / 2, 3 * head_dim);
            let x = noise.normals(tokens * width);
            let angles: Vec<f64> = noise.normals(tokens * pairs).into_iter().map(|a| 100.0 * f64::from(a)).collect();
            let cos: Vec<f32> = angles.iter().map(|a| a.cos() as f32).collect();
            let sin: Vec<f32> = angles.iter().map(|a| a.sin() as f32).collect();
            for style in [RopeStyle::Interleaved, RopeStyle::Neox] {
                let run = |isa| {
                    let mut x = x.clone();
                    rope(&team, isa, style, head_dim, n_rot, &cos, &sin, &mut x);
                    x
                };
                let got = run(Isa::Scalar);
                Isa::available().into_iter().for_each(|isa| assert_eq!(bits(&run(isa)), bits(&got), "{isa:?}"));
                for (h, (x, got)) in x.chunks(head_dim).zip(got.chunks(head_dim)).enumerate() {
                    for (i, angle) in angles[h / 3 * pairs..][..pairs].iter().enumerate() {
                        let (a, b) = match style {
                            RopeStyle::Interleaved => (2 * i, 2 * i + 1),
                            RopeStyle::Neox => (i, i + pairs),
                        };
                        let (xa, xb) = (f64::from(x[a]), f64::from(x[b]));
                        assert!((f64::from(got[a]) - (xa * angle.cos() - xb * angle.sin())).abs() < 1e-6);
                        assert!((f64::from(got[b]) - (xa * angle.sin() + xb * angle.cos())).abs() < 1e-6);
                    }
                    assert_eq!(x[n_rot..], got[n_rot..]);
                }
            }
        }
    }
}
