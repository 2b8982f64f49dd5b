//! Rounding of inputs to 8 bits and to half precision, to the same quants as ggml's `quantize_row_q8_0`, `_q8_1` and
//! `_q8_K`. Scales stay in single precision: rounding them to half, as ggml stores them, moves gemma-3's perplexity by
//! 0.4 %.

use crate::exec::Shards;
use crate::simd::{LANES, Simd, dispatch, load_or};
use half::{bf16 as Bf16, f16 as F16};

/// Blocks whose largest magnitude is below this become zeros: their scale would vanish in the product anyway, and its
/// reciprocal overflows.
const TINY: f32 = 1e-35;

/// The bytes that stand for a weight of zero, where that is not 0: of four bits, of five, of eight.
pub(super) const ZERO_POINTS: [i32; 3] = [8, 16, 128];

/// Where the blocks of a column lie: those of its tile begin at block `tile`, each followed by the same of its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) tile: usize,
    pub(super) column: usize,
    pub(super) width: usize,
}

/// Blocks of 32.
pub(super) struct Q8<'a> {
    pub(super) q: Shards<'a, i8>,
    /// Scales.
    pub(super) d: Shards<'a, f32>,
    /// Scale times sum.
    pub(super) s: Shards<'a, f32>,
    /// Minus each of [`ZERO_POINTS`] times the sum of the quants.
    pub(super) corrections: [Shards<'a, i32>; 3],
}

/// Blocks of 256: the quants of eight groups of 32, each at its own place as if it were a block of 32.
pub(super) struct Q8K<'a> {
    pub(super) q: Shards<'a, i8>,
    /// Scales, negative where the block's extreme is positive, as ggml has it.
    pub(super) d: Shards<'a, f32>,
    pub(super) sums16: Shards<'a, i16>,
    pub(super) sums32: Shards<'a, i16>,
}

dispatch! {
    /// One column in blocks of 32. A NaN or infinity in a block makes its scale NaN or infinite. No other call may write
    /// to the same place at the same time.
    pub(super) fn q8(x: &[f32], place: Place, out: &Q8<'_>) = q8_with
}

dispatch! {
    /// One column in blocks of 256. A NaN or infinity in a block makes its scale NaN. No other call may write to the same
    /// place at the same time.
    pub(super) fn q8k(x: &[f32], place: Place, out: &Q8K<'_>) = q8k_with
}

dispatch! {
    /// Rounds to half precision and widens again.
    pub(super) fn f16(x: &[f32], out: &mut [f32]) = f16_with
}

dispatch! {
    /// Rounds to bfloat16 and widens again.
    pub(super) fn bf16(x: &[f32], out: &mut [f32]) = bf16_with
}

#[inline(always)]
fn q8_with<S: Simd>(s: S, x: &[f32], place: Place, out: &Q8<'_>) {
    for (b, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let at = place.tile + b * place.width + place.column;
        let v = lanes(s, x);
        let (amax, poison) = extremes(s, &v, s.splat(0.0), s.splat(0.0));
        let amax = s.largest(amax);
        let scale = amax / 127.0 + s.sum(poison);
        let inverse = s.splat(if amax > TINY { 127.0 / amax } else { 0.0 });
        let mut q = [0; 32];
        s.store_i8(rounded(s, &v, inverse), &mut q);
        let total: i32 = q.iter().map(|q| i32::from(*q)).sum();
        // SAFETY: the caller has this place to itself.
        unsafe {
            out.q.range(32 * at..32 * at + 32).copy_from_slice(&q);
            out.d.range(at..at + 1).fill(scale);
            out.s.range(at..at + 1).fill(scale * total as f32);
            for (correction, zero_point) in out.corrections.iter().zip(ZERO_POINTS) {
                correction.range(at..at + 1).fill(-zero_point * total);
            }
        }
    }
}

#[inline(always)]
fn q8k_with<S: Simd>(s: S, x: &[f32], place: Place, out: &Q8K<'_>) {
    for (b, x) in x.as_chunks::<256>().0.iter().enumerate() {
        let at = place.tile + b * place.width + place.column;
        let groups = x.as_chunks::<32>().0;
        let (mut amax, mut poison) = (s.splat(0.0), s.splat(0.0));
        for x in groups {
            (amax, poison) = extremes(s, &lanes(s, x), amax, poison);
        }
        let (amax, poison) = (s.largest(amax), s.sum(poison));
        // The first of equal magnitudes decides the sign.
        let extreme = x.iter().copied().find(|x| x.abs() == amax).unwrap_or(f32::NAN);
        let inverse = if amax > TINY { -127.0 / extreme } else { 0.0 };
        let (mut sums16, mut sums32) = ([0i16; 16], [0i16; 8]);
        for (g, x) in groups.iter().enumerate() {
            let mut q = [0; 32];
            s.store_i8(rounded(s, &lanes(s, x), s.splat(inverse)), &mut q);
            for (sum, q) in sums16[2 * g..].iter_mut().zip(q.as_chunks::<16>().0) {
                *sum = q.iter().map(|q| i16::from(*q)).sum();
            }
            sums32[g] = sums16[2 * g] + sums16[2 * g + 1];
            let group = 8 * place.tile + (8 * b + g) * place.width + place.column;
            // SAFETY: the caller has this place to itself.
            unsafe { out.q.range(32 * group..32 * group + 32).copy_from_slice(&q) };
        }
        // SAFETY: as above.
        unsafe {
            out.d.range(at..at + 1).fill(if amax > TINY { 1.0 / inverse + poison } else { poison });
            out.sums16.range(16 * at..16 * at + 16).copy_from_slice(&sums16);
            out.sums32.range(8 * at..8 * at + 8).copy_from_slice(&sums32);
        }
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
    for (x, out) in x.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let (mut half, mut wide) = ([F16::ZERO; LANES], [0.0; LANES]);
        s.store_f16(load_or(s, x, 0.0), &mut half);
        s.store(s.load_f16(&half), &mut wide);
        out.iter_mut().zip(wide).for_each(|(out, x)| *out = x);
    }
}

#[inline(always)]
fn bf16_with<S: Simd>(_: S, x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = Bf16::from_f32(*x).to_f32());
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

    /// The second of three columns in blocks of 32: quants, scales, scaled sums, sums times minus eight.
    fn run_q8(isa: Isa, x: &[f32]) -> (Vec<i8>, Vec<f32>, Vec<f32>, Vec<i32>) {
        let blocks = x.len() / 32;
        let (mut q, mut d, mut s) = (vec![99; 96 * blocks], vec![9.0; 3 * blocks], vec![9.0; 3 * blocks]);
        let mut corrections = [(); 3].map(|()| vec![9; 3 * blocks]);
        let out = Q8 {
            q: Shards::new(&mut q),
            d: Shards::new(&mut d),
            s: Shards::new(&mut s),
            corrections: corrections.each_mut().map(|of| Shards::new(of)),
        };
        q8(isa, x, Place { tile: 0, column: 1, width: 3 }, &out);
        assert!(corrections[0].iter().zip(&corrections[2]).skip(1).step_by(3).all(|(a, b)| a * 16 == *b));
        assert!(q.as_chunks::<32>().0.iter().step_by(3).all(|q| q == &[99; 32]), "the neighbour's place is untouched");
        let mine = |x: &[f32]| x.iter().skip(1).step_by(3).copied().collect::<Vec<_>>();
        let q = q.as_chunks::<32>().0.iter().skip(1).step_by(3).flatten().copied().collect();
        (q, mine(&d), mine(&s), corrections[0].iter().skip(1).step_by(3).copied().collect())
    }

    /// The second of three columns in blocks of 256: quants, scales, sums of 16, sums of 32.
    fn run_q8k(isa: Isa, x: &[f32]) -> (Vec<i8>, Vec<f32>, Vec<i16>, Vec<i16>) {
        let blocks = x.len() / 256;
        let (mut q, mut d) = (vec![99; 3 * 256 * blocks], vec![9.0; 3 * blocks]);
        let (mut sums16, mut sums32) = (vec![9; 48 * blocks], vec![9; 24 * blocks]);
        let out = Q8K {
            q: Shards::new(&mut q),
            d: Shards::new(&mut d),
            sums16: Shards::new(&mut sums16),
            sums32: Shards::new(&mut sums32),
        };
        q8k(isa, x, Place { tile: 0, column: 1, width: 3 }, &out);
        let q = q.as_chunks::<32>().0.iter().skip(1).step_by(3).flatten().copied().collect();
        let d = d.iter().skip(1).step_by(3).copied().collect();
        let sums16 = sums16.as_chunks::<16>().0.iter().skip(1).step_by(3).flatten().copied().collect();
        let sums32 = sums32.as_chunks::<8>().0.iter().skip(1).step_by(3).flatten().copied().collect();
        (q, d, sums16, sums32)
    }

    #[test]
    fn q8_has_the_scalar_bits_and_ggml_s_values() {
        let x = blocks_of_every_kind();
        let want = run_q8(Isa::Scalar, &x);
        for isa in Isa::available() {
            assert_eq!(run_q8(isa, &x), want, "{isa:?}");
        }
        let (q, d, s, corrections) = want;
        for (b, x) in x.chunks(32).enumerate() {
            let amax = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            let id = if amax > 0.0 { 127.0 / amax } else { 0.0 };
            let total: i32 = q[32 * b..][..32].iter().map(|q| *q as i32).sum();
            assert_eq!((d[b], s[b]), (amax / 127.0, amax / 127.0 * total as f32));
            assert_eq!(corrections[b], -8 * total);
            assert!(x.iter().zip(&q[32 * b..]).all(|(x, q)| (x * id).round_ties_even() == f32::from(*q)));
        }
    }

    #[test]
    fn q8k_has_the_scalar_bits_and_ggml_s_values() {
        let x = blocks_of_every_kind();
        let want = run_q8k(Isa::Scalar, &x);
        for isa in Isa::available() {
            assert_eq!(run_q8k(isa, &x), want, "{isa:?}");
        }
        let (q, d, sums16, sums32) = want;
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
            let sum = |q: &[i8]| q.iter().map(|q| *q as i16).sum::<i16>();
            assert!(q.chunks(16).zip(&sums16[16 * b..]).all(|(q, s)| sum(q) == *s));
            assert!(q.chunks(32).zip(&sums32[8 * b..]).all(|(q, s)| sum(q) == *s));
        }
    }

    #[test]
    fn a_nan_or_an_infinity_is_not_lost() {
        for isa in Isa::available() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in [0, 7, 31] {
                    let mut x = vec![1.0; 256];
                    x[at] = bad;
                    let d = run_q8(isa, &x).1;
                    assert!(!d[0].is_finite() && d[1].is_finite(), "{isa:?} {bad} at {at}: {d:?}");
                    assert!(!run_q8k(isa, &x).1[0].is_finite(), "{isa:?} {bad} at {at}");
                }
            }
        }
    }

    #[test]
    fn half_precision_rounds_to_even() {
        let x: Vec<f32> = Noise::new(3).normals(19).into_iter().map(|x| x * 1e-3).collect();
        for isa in Isa::available() {
            let mut out = vec![9.0; 19];
            f16(isa, &x, &mut out);
            assert!(x.iter().zip(&out).all(|(x, y)| F16::from_f32(*x).to_f32() == *y));
            bf16(isa, &x, &mut out);
            assert!(x.iter().zip(&out).all(|(x, y)| Bf16::from_f32(*x).to_f32() == *y));
        }
    }
}
