//! Element by element: activation functions, sums, conversions, checks.

use crate::exec::Team;
use crate::simd::{Isa, LANES, Simd, dispatch, exp, gelu, load_or, tanh};

/// Elements of one part of a job; fewer are not worth waking the team for.
const CHUNK: usize = 4096;

/// The gate of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// SwiGLU: `silu(gate) * up`.
    Silu,
    /// GeGLU with the tanh approximation: `gelu(gate) * up`.
    Gelu,
}

impl Activation {
    /// `gate[i] = f(gate[i]) * up[i]`.
    pub(super) fn mul(self, isa: Isa, gate: &mut [f32], up: &[f32]) {
        match self {
            Self::Silu => silu_mul(isa, gate, up),
            Self::Gelu => gelu_mul(isa, gate, up),
        }
    }
}

/// `gate[i] = f(gate[i]) * up[i]`, the same bits as [`matmul_gated`](super::matmul_gated) gives.
pub fn gate(team: &Team, isa: Isa, f: Activation, gate: &mut [f32], up: &[f32]) {
    team.for_each_chunk_mut(gate, CHUNK, |i, gate| f.mul(isa, gate, up.get(i * CHUNK..).unwrap_or_default()));
}

/// `x[i] = cap * tanh(x[i] / cap)`.
pub fn soft_cap(team: &Team, isa: Isa, x: &mut [f32], cap: f32) {
    team.for_each_chunk_mut(x, CHUNK, |_, x| soft_cap_chunk(isa, x, cap));
}

dispatch! {
    fn soft_cap_chunk(x: &mut [f32], cap: f32) = soft_cap_with
}

dispatch! {
    /// `gate[i] = silu(gate[i]) * up[i]` with `silu(x) = x / (1 + e^-x)`.
    pub fn silu_mul(gate: &mut [f32], up: &[f32]) = silu_mul_with
}

dispatch! {
    /// `gate[i] = gelu(gate[i]) * up[i]`, GELU in its tanh form.
    pub fn gelu_mul(gate: &mut [f32], up: &[f32]) = gelu_mul_with
}

dispatch! {
    /// `x[i] += y[i]`.
    pub fn add(x: &mut [f32], y: &[f32]) = add_with
}

dispatch! {
    /// `x[i] *= by`.
    pub fn scale(x: &mut [f32], by: f32) = scale_with
}

dispatch! {
    /// Whether no value is NaN or infinite.
    pub fn all_finite(x: &[f32]) -> bool = all_finite_with
}

/// `x[i] = f(x[i], y[i])` over vectors, the last one filled up with zeros.
#[inline(always)]
fn map2<S: Simd>(s: S, x: &mut [f32], y: &[f32], f: impl Fn(S::F32, S::F32) -> S::F32) {
    let len = x.len().min(y.len());
    let (full, tail) = x[..len].as_chunks_mut::<LANES>();
    let (full_y, tail_y) = y[..len].as_chunks::<LANES>();
    for (x, y) in full.iter_mut().zip(full_y) {
        let z = f(s.load(x), s.load(y));
        s.store(z, x);
    }
    let mut last = [0.0; LANES];
    s.store(f(load_or(s, tail, 0.0), load_or(s, tail_y, 0.0)), &mut last);
    tail.iter_mut().zip(last).for_each(|(x, z)| *x = z);
}

/// `x[i] = f(x[i])` over vectors, the last one filled up with zeros.
#[inline(always)]
fn map<S: Simd>(s: S, x: &mut [f32], f: impl Fn(S::F32) -> S::F32) {
    let (full, tail) = x.as_chunks_mut::<LANES>();
    for x in full {
        s.store(f(s.load(x)), x);
    }
    let mut last = [0.0; LANES];
    s.store(f(load_or(s, tail, 0.0)), &mut last);
    tail.iter_mut().zip(last).for_each(|(x, y)| *x = y);
}

#[inline(always)]
fn silu_mul_with<S: Simd>(s: S, gate: &mut [f32], up: &[f32]) {
    map2(
        s,
        gate,
        up,
        #[inline(always)]
        |g, u| {
            let e = exp(s, s.sub(s.splat(0.0), g));
            s.mul(s.div(g, s.add(s.splat(1.0), e)), u)
        },
    );
}

#[inline(always)]
fn gelu_mul_with<S: Simd>(s: S, gate: &mut [f32], up: &[f32]) {
    map2(
        s,
        gate,
        up,
        #[inline(always)]
        |g, u| s.mul(gelu(s, g), u),
    );
}

#[inline(always)]
fn soft_cap_with<S: Simd>(s: S, x: &mut [f32], cap: f32) {
    let cap = s.splat(cap);
    map(
        s,
        x,
        #[inline(always)]
        |x| s.mul(cap, tanh(s, s.div(x, cap))),
    );
}

// Plain loops: one rounding per element, so the compiler's vectors give the same bits.

#[inline(always)]
fn add_with<S: Simd>(_: S, x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

#[inline(always)]
fn scale_with<S: Simd>(_: S, x: &mut [f32], by: f32) {
    x.iter_mut().for_each(|x| *x *= by);
}

#[inline(always)]
fn all_finite_with<S: Simd>(_: S, x: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    // No early exit inside a chunk, so that it becomes vector code.
    x.chunks(256).all(|x| x.iter().fold(0, |bad, x| bad | u32::from(x.to_bits() & EXPONENT == EXPONENT)) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Noise, bits};

    /// Runs `f` on every instruction set, checks that the bits agree, and returns the result.
    fn same_on_all(x: &[f32], f: impl Fn(Isa, &mut [f32])) -> Vec<f32> {
        let run = |isa| {
            let mut x = x.to_vec();
            f(isa, &mut x);
            x
        };
        let want = run(Isa::Scalar);
        Isa::available().into_iter().for_each(|isa| assert_eq!(bits(&run(isa)), bits(&want), "{isa:?}"));
        want
    }

    #[test]
    fn functions_match_f64_and_agree_between_instruction_sets() {
        let team = Team::new(2).unwrap();
        for len in [1, 7, 8, 9, 64, 83, CHUNK + 3] {
            let mut noise = Noise::new(len as u64);
            let (x, y): (Vec<f32>, _) = (noise.normals(len).iter().map(|x| x * 4.0).collect(), noise.normals(len));
            let silu = same_on_all(&x, |isa, x| silu_mul(isa, x, &y));
            let gelu = same_on_all(&x, |isa, x| gelu_mul(isa, x, &y));
            for (f, want) in [(Activation::Silu, &silu), (Activation::Gelu, &gelu)] {
                let found = same_on_all(&x, |isa, x| gate(&team, isa, f, x, &y));
                assert_eq!(bits(&found), bits(want), "{f:?}, {len}");
            }
            let cap = same_on_all(&x, |isa, x| soft_cap(&team, isa, x, 5.0));
            let sum = same_on_all(&x, |isa, x| add(isa, x, &y));
            let tripled = same_on_all(&x, |isa, x| scale(isa, x, 3.0));
            for i in 0..len {
                let (x, y) = (f64::from(x[i]), f64::from(y[i]));
                let near = |got: f32, want: f64| assert!((f64::from(got) - want).abs() < 5e-6, "{got} {want} at {x}");
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                near(silu[i], x / (1.0 + (-x).exp()) * y);
                near(gelu[i], 0.5 * x * (1.0 + u.tanh()) * y);
                near(cap[i], 5.0 * (x / 5.0).tanh());
                near(sum[i], x + y);
                near(tripled[i], x * 3.0);
            }
        }
    }

    #[test]
    fn one_bad_value_anywhere_is_found() {
        for isa in Isa::available() {
            let mut x = vec![f32::MAX; 600];
            assert!(all_finite(isa, &x) && all_finite(isa, &[]));
            for at in [0, 255, 256, 599] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[at] = bad;
                    assert!(!all_finite(isa, &x), "{isa:?} {bad} at {at}");
                }
                x[at] = 0.0;
            }
        }
    }
}
