//! Root mean square normalization (Zhang and Sennrich, arXiv 1910.07467).

use crate::exec::{Shards, Team};
use crate::simd::{Isa, LANES, Simd, dispatch, load_or};

/// Elements below which waking the team costs more than it saves.
const SERIAL_ELEMENTS: usize = 1 << 14;

/// `x = x / sqrt(mean(x^2) + eps) * weight` for every row of `x`, each as long as `weight`.
pub fn rms_norm_inplace(team: &Team, isa: Isa, x: &mut [f32], weight: &[f32], eps: f32) {
    let len = weight.len().max(1);
    let rows = x.len() / len;
    let parts = if rows * len < SERIAL_ELEMENTS { 1 } else { team.threads().min(rows) };
    let shards = Shards::new(x);
    team.run(parts, &|part| {
        let rows = rows * part / parts..rows * (part + 1) / parts;
        // SAFETY: parts have disjoint rows.
        normalize_inplace(isa, unsafe { shards.range(rows.start * len..rows.end * len) }, weight, eps);
    });
}

dispatch! {
    /// As [`rms_norm_inplace`], on this thread and into `out`, which is as long as `x`.
    pub(super) fn normalize(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) = normalize_with
}
dispatch! {
    fn normalize_inplace(x: &mut [f32], weight: &[f32], eps: f32) = normalize_inplace_with
}

#[inline(always)]
fn normalize_with<S: Simd>(s: S, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let len = weight.len().max(1);
    for (x, out) in x.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
        let factor = factor(s, x, eps);
        for ((x, weight), out) in x.iter().zip(weight).zip(out) {
            *out = x * factor * weight;
        }
    }
}

#[inline(always)]
fn normalize_inplace_with<S: Simd>(s: S, x: &mut [f32], weight: &[f32], eps: f32) {
    for x in x.chunks_exact_mut(weight.len().max(1)) {
        let factor = factor(s, x, eps);
        x.iter_mut().zip(weight).for_each(|(x, weight)| *x = *x * factor * weight);
    }
}

#[inline(always)]
fn factor<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    let mut squares = s.splat(0.0);
    for x in x.chunks(LANES) {
        let v = load_or(s, x, 0.0);
        squares = s.mul_add(v, v, squares);
    }
    1.0 / (s.sum(squares) / x.len() as f32 + eps).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Noise, bits};

    #[test]
    fn rows_match_f64_and_agree_between_instruction_sets() {
        let team = Team::new(2).unwrap();
        for (len, rows) in [(1, 3), (8, 2), (64, 5), (80, 3), (576, 1), (897, 20)] {
            let mut noise = Noise::new(len as u64);
            let (x, weight) = (noise.normals(rows * len), noise.normals(len));
            let run = |isa| {
                let mut out = vec![0.0; x.len()];
                normalize(isa, &x, &weight, 1e-5, &mut out);
                let mut again = x.clone();
                rms_norm_inplace(&team, isa, &mut again, &weight, 1e-5);
                assert_eq!(bits(&out), bits(&again));
                out
            };
            let got = run(Isa::Scalar);
            Isa::available().into_iter().for_each(|isa| assert_eq!(bits(&run(isa)), bits(&got), "{isa:?} {len}"));
            for (x, got) in x.chunks(len).zip(got.chunks(len)) {
                let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / len as f64;
                for i in 0..len {
                    let want = f64::from(x[i]) / (mean + 1e-5).sqrt() * f64::from(weight[i]);
                    assert!((f64::from(got[i]) - want).abs() <= 1e-6 * want.abs().max(1e-3), "{} {want}", got[i]);
                }
            }
        }
    }
}
