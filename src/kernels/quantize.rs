//! Rounding of inputs to 8 bits and to half precision, to the same values as ggml's `quantize_row_q8_0`, `_q8_1`,
//! `_q8_K` and its half-precision conversions.

use crate::simd::{LANES, Simd, dispatch, load_or};
use half::{bf16 as Bf16, f16 as F16};

/// Blocks whose largest magnitude is below this become zeros: their scale would vanish in the product anyway, and its
/// reciprocal overflows.
const TINY: f32 = 1e-35;

dispatch! {
    /// Blocks of 32: quants `q`, scales `d` and sums `s`, both rounded to half precision; `d` and `s` may be longer
    /// than the blocks and are filled with zeros. A NaN or infinity in a block makes its scale NaN or infinite.
    pub(super) fn q8(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [f32]) = q8_with
}

dispatch! {
    /// Blocks of 256: quants `q`, scales `d` (negative where the block's extreme is positive, as ggml has it) and sums
    /// of 16 quants. A NaN or infinity in a block makes its scale NaN.
    pub(super) fn q8k(x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i16]) = q8k_with
}

dispatch! {
    /// Rounds to half precision and widens again; the rest of `out` becomes zero.
    pub(super) fn f16(x: &[f32], out: &mut [f32]) = f16_with
}

dispatch! {
    /// Rounds to bfloat16 and widens again; the rest of `out` becomes zero.
    pub(super) fn bf16(x: &[f32], out: &mut [f32]) = bf16_with
}

dispatch! {
    /// Copies; the rest of `out` becomes zero.
    pub(super) fn f32(x: &[f32], out: &mut [f32]) = f32_with
}

#[inline(always)]
fn q8_with<S: Simd>(s: S, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [f32]) {
    let (blocks, _) = x.as_chunks::<32>();
    let (quants, _) = q.as_chunks_mut::<32>();
    for (((x, q), d), sum) in blocks.iter().zip(quants).zip(d.iter_mut()).zip(sums.iter_mut()) {
        let v = lanes(s, x);
        let (amax, poison) = extremes(s, &v, s.splat(0.0), s.splat(0.0));
        let amax = s.largest(amax);
        let scale = amax / 127.0 + s.sum(poison);
        let inverse = s.splat(if amax > TINY { 127.0 / amax } else { 0.0 });
        s.store_i8(rounded(s, &v, inverse), q);
        let total: i32 = q.iter().map(|q| i32::from(*q)).sum();
        *d = F16::from_f32(scale).to_f32();
        *sum = F16::from_f32(scale * total as f32).to_f32();
    }
    d[blocks.len()..].fill(0.0);
    sums[blocks.len()..].fill(0.0);
}

#[inline(always)]
fn q8k_with<S: Simd>(s: S, x: &[f32], q: &mut [i8], d: &mut [f32], sums: &mut [i16]) {
    let (blocks, _) = x.as_chunks::<256>();
    let (quants, _) = q.as_chunks_mut::<256>();
    let (sums, _) = sums.as_chunks_mut::<16>();
    for (((x, q), d), sums) in blocks.iter().zip(quants).zip(d).zip(sums) {
        let (mut amax, mut poison) = (s.splat(0.0), s.splat(0.0));
        for x in x.as_chunks::<32>().0 {
            (amax, poison) = extremes(s, &lanes(s, x), amax, poison);
        }
        let (amax, poison) = (s.largest(amax), s.sum(poison));
        // The first of equal magnitudes decides the sign.
        let extreme = x.iter().copied().find(|x| x.abs() == amax).unwrap_or(f32::NAN);
        let inverse = if amax > TINY { -127.0 / extreme } else { 0.0 };
        for (x, q) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0) {
            s.store_i8(rounded(s, &lanes(s, x), s.splat(inverse)), q);
        }
        for (sum, q) in sums.iter_mut().zip(q.as_chunks::<16>().0) {
            *sum = q.iter().map(|q| i16::from(*q)).sum();
        }
        *d = if amax > TINY { 1.0 / inverse + poison } else { poison };
    }
}

#[inline(always)]
fn lanes<S: Simd>(s: S, x: &[f32; 32]) -> [S::F32; 4] {
    let (x, _) = x.as_chunks::<LANES>();
    [s.load(&x[0]), s.load(&x[1]), s.load(&x[2]), s.load(&x[3])]
}

/// `v * inverse` as integral values of at most 127. No `map`: a closure that is not inlined loses its instructions.
#[inline(always)]
fn rounded<S: Simd>(s: S, v: &[S::F32; 4], inverse: S::F32) -> [S::F32; 4] {
    let mut out = *v;
    for out in &mut out {
        *out = s.min(s.round(s.mul(*out, inverse)), s.splat(127.0));
    }
    out
}

/// Raises `amax` to the magnitudes of `v`; adds to `poison` 0 for every finite value and NaN for any other.
#[inline(always)]
fn extremes<S: Simd>(s: S, v: &[S::F32; 4], amax: S::F32, poison: S::F32) -> (S::F32, S::F32) {
    let (mut amax, mut poison) = (amax, poison);
    for v in v {
        amax = s.max(s.abs(*v), amax);
        poison = s.mul_add(*v, s.splat(0.0), poison);
    }
    (amax, poison)
}

#[inline(always)]
fn f16_with<S: Simd>(s: S, x: &[f32], out: &mut [f32]) {
    for (x, out) in x.chunks(LANES).zip(out.as_chunks_mut().0) {
        let mut half = [F16::ZERO; LANES];
        s.store_f16(load_or(s, x, 0.0), &mut half);
        s.store(s.load_f16(&half), out);
    }
}

#[inline(always)]
fn bf16_with<S: Simd>(_: S, x: &[f32], out: &mut [f32]) {
    out[x.len()..].fill(0.0);
    out.iter_mut().zip(x).for_each(|(out, x)| *out = Bf16::from_f32(*x).to_f32());
}

#[inline(always)]
fn f32_with<S: Simd>(_: S, x: &[f32], out: &mut [f32]) {
    out[x.len()..].fill(0.0);
    out[..x.len()].copy_from_slice(x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;
    use crate::simd::Isa;

    fn blocks_of_every_kind() -> Vec<f32> {
        let mut x = Noise::new(7).normals(256 * 6);
        x[256..512].fill(0.0);
        x[512..768].iter_mut().for_each(|x| *x *= 1e-9);
        x[768..1024].iter_mut().enumerate().for_each(|(i, x)| *x = if i % 3 == 0 { -2.5 } else { 2.5 });
        x[1024..1280].iter_mut().for_each(|x| *x *= 1e4);
        x
    }

    #[test]
    fn q8_has_the_scalar_bits_and_ggml_s_values() {
        let x = blocks_of_every_kind();
        let blocks = x.len() / 32;
        let run = |isa| {
            let (mut q, mut d, mut s) = (vec![1; x.len()], vec![1.0; blocks + 3], vec![1.0; blocks + 3]);
            q8(isa, &x, &mut q, &mut d, &mut s);
            (q, d, s)
        };
        let want = run(Isa::Scalar);
        for isa in Isa::available() {
            assert_eq!(run(isa), want, "{isa:?}");
        }
        let (q, d, s) = want;
        for (b, x) in x.chunks(32).enumerate() {
            let amax = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            let id = if amax > 0.0 { 127.0 / amax } else { 0.0 };
            let total: i32 = q[32 * b..][..32].iter().map(|q| *q as i32).sum();
            assert_eq!(d[b], F16::from_f32(amax / 127.0).to_f32());
            assert_eq!(s[b], F16::from_f32(amax / 127.0 * total as f32).to_f32());
            assert!(x.iter().zip(&q[32 * b..]).all(|(x, q)| (x * id).round_ties_even() == f32::from(*q)));
        }
        assert_eq!((&d[blocks..], &s[blocks..]), (&[0.0; 3][..], &[0.0; 3][..]));
    }

    #[test]
    fn q8k_has_the_scalar_bits_and_ggml_s_values() {
        let x = blocks_of_every_kind();
        let run = |isa| {
            let (mut q, mut d, mut sums) = (vec![1; x.len()], vec![1.0; x.len() / 256], vec![1; x.len() / 16]);
            q8k(isa, &x, &mut q, &mut d, &mut sums);
            (q, d, sums)
        };
        let want = run(Isa::Scalar);
        for isa in Isa::available() {
            assert_eq!(run(isa), want, "{isa:?}");
        }
        let (q, d, sums) = want;
        for (b, x) in x.chunks(256).enumerate() {
            let extreme = x.iter().fold(0.0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
            let q = &q[256 * b..][..256];
            if extreme != 0.0 {
                let inverse = -127.0 / extreme;
                assert_eq!(d[b], 1.0 / inverse);
                assert!(x.iter().zip(q).all(|(x, q)| (inverse * x).round_ties_even().min(127.0) == f32::from(*q)));
            } else {
                assert!(d[b] == 0.0 && q.iter().all(|q| *q == 0));
            }
            assert!(q.chunks(16).zip(&sums[16 * b..]).all(|(q, s)| q.iter().map(|q| *q as i16).sum::<i16>() == *s));
        }
    }

    #[test]
    fn a_nan_or_an_infinity_is_not_lost() {
        for isa in Isa::available() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in [0, 7, 31] {
                    let mut x = vec![1.0; 256];
                    x[at] = bad;
                    let (mut q, mut d, mut s) = (vec![0; 256], vec![0.0; 8], vec![0.0; 8]);
                    q8(isa, &x, &mut q, &mut d, &mut s);
                    assert!(!d[0].is_finite() && d[1].is_finite(), "{isa:?} {bad} at {at}: {d:?}");
                    q8k(isa, &x, &mut q, &mut d[..1], &mut [0; 16]);
                    assert!(!d[0].is_finite(), "{isa:?} {bad} at {at}: {d:?}");
                }
            }
        }
    }

    #[test]
    fn half_precision_rounds_to_even_and_pads_with_zeros() {
        let x: Vec<f32> = Noise::new(3).normals(19).into_iter().map(|x| x * 1e-3).collect();
        for isa in Isa::available() {
            let mut out = vec![9.0; 24];
            f16(isa, &x, &mut out);
            assert!(x.iter().zip(&out).all(|(x, y)| F16::from_f32(*x).to_f32() == *y));
            assert_eq!(out[19..], [0.0; 5]);
            bf16(isa, &x, &mut out);
            assert!(x.iter().zip(&out).all(|(x, y)| Bf16::from_f32(*x).to_f32() == *y));
            assert_eq!(out[19..], [0.0; 5]);
        }
    }
}
