//! Softmax in place.

use crate::simd::{LANES, Simd, dispatch, exp};

dispatch! {
    /// `x[i] = e^(x[i] - max) / sum`: probabilities. Values of minus infinity become 0; a row of nothing but minus
    /// infinity, or one with a NaN, becomes NaN.
    pub fn softmax(x: &mut [f32]) = softmax_with
}

#[inline(always)]
fn softmax_with<S: Simd>(s: S, x: &mut [f32]) {
    let (full, tail) = x.as_chunks_mut::<LANES>();
    let mut last = [f32::NEG_INFINITY; LANES];
    last.iter_mut().zip(&*tail).for_each(|(l, x)| *l = *x);
    let sum = exp_minus_max(s, full, Some(&mut last));
    let factor = s.splat(1.0 / sum);
    for x in full {
        s.store(s.mul(s.load(x), factor), x);
    }
    tail.iter_mut().zip(last).for_each(|(x, e)| *x = e * (1.0 / sum));
}

/// Replaces every value of `x` and of the vector `last` after it by `e^(value - max)`; their sum, lane by lane in order.
#[inline(always)]
pub(super) fn exp_minus_max<S: Simd>(s: S, x: &mut [[f32; LANES]], last: Option<&mut [f32; LANES]>) -> f32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    for v in x.iter().chain(last.as_deref()) {
        max = s.max(s.load(v), max);
    }
    let max = s.splat(s.largest(max));
    let mut sum = s.splat(0.0);
    for v in x.iter_mut().chain(last) {
        let e = exp(s, s.sub(s.load(v), max));
        sum = s.add(sum, e);
        s.store(e, v);
    }
    s.sum(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Noise, bits};
    use crate::simd::Isa;

    #[test]
    fn probabilities_match_f64_and_agree_between_instruction_sets() {
        for len in [1, 7, 8, 9, 100, 1000] {
            let mut x: Vec<f32> = Noise::new(len as u64).normals(len).iter().map(|x| x * 9.0).collect();
            if len > 8 {
                x[3] = f32::NEG_INFINITY;
            }
            let run = |isa| {
                let mut x = x.clone();
                softmax(isa, &mut x);
                x
            };
            let got = run(Isa::Scalar);
            Isa::available().into_iter().for_each(|isa| assert_eq!(bits(&run(isa)), bits(&got), "{isa:?}"));
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let e: Vec<f64> = x.iter().map(|x| f64::from(x - max).exp()).collect();
            let sum: f64 = e.iter().sum();
            assert!(e.iter().zip(&got).all(|(e, p)| (e / sum - f64::from(*p)).abs() < 1e-6));
        }
    }

    #[test]
    fn hopeless_rows_become_nan() {
        for isa in Isa::available() {
            for row in [[f32::NEG_INFINITY; 9], {
                let mut r = [0.0; 9];
                r[4] = f32::NAN;
                r
            }] {
                let mut x = row;
                softmax(isa, &mut x);
                assert!(x.iter().all(|x| x.is_nan()), "{isa:?} {x:?}");
            }
        }
    }
}
