//! Elementary functions over eight lanes, the same bits on every instruction set.

use super::vector::Simd;

/// Below this, [`exp`] is 0: the result would be within a factor of four of the smallest normal number.
const EXP_MIN: f32 = -86.0;
/// Above this, [`exp`] overflows.
const EXP_MAX: f32 = 88.72283;

/// `e^x` with an error below 1.5 units in the last place; 0 below -86, infinity above 88.72, NaN for NaN.
///
/// Cody and Waite's reduction `x = n ln 2 + r`, then the Taylor series of `e^r` to degree 7 (|r| <= 0.3466).
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let clamped = s.max(s.splat(EXP_MIN), s.min(s.splat(EXP_MAX), x));
    let n = s.round(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts; the first has few enough bits that n times it is exact.
    let r = s.mul_add(n, s.splat(-355.0 / 512.0), clamped);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.mul_add(p, r, s.splat(c));
    }
    // n reaches 128, whose power of two is no f32: scale by 2^(n-1), then by 2.
    let scaled = s.mul(p, s.pow2(s.sub(n, s.splat(1.0))));
    let y = s.add(scaled, scaled);
    let y = s.select_lt(x, s.splat(EXP_MIN), s.splat(0.0), y);
    s.select_lt(s.splat(EXP_MAX), x, s.splat(f32::INFINITY), y)
}

/// The logistic function `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.div(s.splat(1.0), s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), x))))
}

/// Hyperbolic tangent, absolute error below 2e-7.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let e = exp(s, s.add(x, x));
    s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))))
}

/// GELU in its tanh form (Hendrycks and Gimpel, arXiv 1606.08415), as `x sigmoid(2u)`.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // 1.5957… is 2 sqrt(2 / pi).
    let cubic = s.mul_add(s.mul(x, x), s.splat(0.044715), s.splat(1.0));
    let u = s.mul(s.mul(x, s.splat(1.595_769_2)), cubic);
    s.mul(x, sigmoid(s, u))
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, LANES, Scalar, dispatch};
    use super::*;

    #[inline(always)]
    fn all_functions<S: Simd>(s: S, x: &[f32; LANES]) -> [[f32; LANES]; 4] {
        let v = s.load(x);
        let mut out = [[0.0; LANES]; 4];
        for (out, y) in out.iter_mut().zip([exp(s, v), sigmoid(s, v), tanh(s, v), gelu(s, v)]) {
            s.store(y, out);
        }
        out
    }
    dispatch! { fn run(x: &[f32; LANES]) -> [[f32; LANES]; 4] = all_functions }

    fn samples() -> impl Iterator<Item = [f32; LANES]> {
        (0..40_000u32).map(|i| std::array::from_fn(|lane| (i as f32 - 20_000.0) * 0.0047 + lane as f32 * 0.00061))
    }

    #[test]
    fn every_instruction_set_gives_the_scalar_bits() {
        for isa in Isa::available() {
            for x in samples() {
                let (got, want) = (run(isa, &x), all_functions(Scalar, &x));
                assert_eq!(got.map(|r| r.map(f32::to_bits)), want.map(|r| r.map(f32::to_bits)), "{isa:?} {x:?}");
            }
        }
    }

    #[test]
    fn functions_match_f64() {
        let mut worst = 0.0f64;
        for x in samples() {
            let [e, sig, th, ge] = all_functions(Scalar, &x);
            for (i, &x) in x.iter().enumerate() {
                let (x64, e64) = (x as f64, (x as f64).exp());
                if x > EXP_MIN && x < EXP_MAX {
                    let ulp = (e[i] as f64 - e64).abs() / ((e64 as f32).next_up() as f64 - e64 as f32 as f64);
                    worst = worst.max(ulp);
                }
                assert!((sig[i] as f64 - 1.0 / (1.0 + (-x64).exp())).abs() < 2e-7, "sigmoid {x}");
                assert!((th[i] as f64 - x64.tanh()).abs() < 2e-7, "tanh {x}");
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x64 + 0.044715 * x64.powi(3));
                let want = 0.5 * x64 * (1.0 + u.tanh());
                assert!((ge[i] as f64 - want).abs() <= 1e-6 * (1.0 + x64.abs()), "gelu {x}: {} {want}", ge[i]);
            }
        }
        assert!(worst < 1.5, "exp is {worst} units in the last place off");
    }

    #[test]
    fn exp_at_the_edges() {
        let at = |x: f32| all_functions(Scalar, &[x; LANES])[0][0];
        assert_eq!(at(f32::NEG_INFINITY), 0.0);
        assert_eq!(at(-1e30), 0.0);
        assert_eq!(at(0.0), 1.0);
        assert_eq!(at(89.0), f32::INFINITY);
        assert_eq!(at(f32::INFINITY), f32::INFINITY);
        assert!(at(88.7).is_finite());
        assert!(at(f32::NAN).is_nan());
    }
}
