//! Softmax, up to the division by its sum.

use crate::simd::{LANES, Simd, exp};

/// Replaces every value of `x` by `e^(value - max)`; their sum, lane by lane in order. Values of minus infinity become 0;
/// where there is nothing else, or a NaN, the sum is NaN.
#[inline(always)]
pub(super) fn exp_minus_max<S: Simd>(s: S, x: &mut [[f32; LANES]]) -> f32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    for v in &*x {
        max = s.max(s.load(v), max);
    }
    let max = s.splat(s.largest(max));
    let mut sum = s.splat(0.0);
    for v in x {
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
    use crate::simd::{Isa, dispatch};

    dispatch! {
        fn softmax(x: &mut [[f32; LANES]]) -> f32 = exp_minus_max
    }

    #[test]
    fn probabilities_match_f64_and_agree_between_instruction_sets() {
        for vectors in [1, 2, 13, 125] {
            let x = Noise::new(vectors as u64).normals(vectors * LANES);
            let mut x: Vec<f32> = x.iter().map(|x| x * 9.0).collect();
            if vectors > 1 {
                x[3] = f32::NEG_INFINITY;
            }
            let run = |isa| {
                let mut x = x.clone();
                let sum = softmax(isa, x.as_chunks_mut().0);
                x.push(sum);
                x
            };
            let got = run(Isa::Scalar);
            Isa::available().into_iter().for_each(|isa| assert_eq!(bits(&run(isa)), bits(&got), "{isa:?}"));
            let (sum, got) = got.split_last().unwrap();
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let want: Vec<f64> = x.iter().map(|x| f64::from(x - max).exp()).collect();
            let total: f64 = want.iter().sum();
            assert!((f64::from(*sum) / total - 1.0).abs() < 1e-6);
            assert!(want.iter().zip(got).all(|(want, got)| (want - f64::from(*got)).abs() < 1e-6));
        }
    }

    #[test]
    fn hopeless_rows_have_a_sum_of_nan() {
        let mut one_nan = [0.0; 2 * LANES];
        one_nan[4] = f32::NAN;
        for isa in Isa::available() {
            for mut row in [[f32::NEG_INFINITY; 2 * LANES], one_nan] {
                assert!(softmax(isa, row.as_chunks_mut().0).is_nan(), "{isa:?} {row:?}");
            }
        }
    }
}
