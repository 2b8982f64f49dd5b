//! Eight and sixteen f32 lanes as a trait.

use half::f16;

/// Lanes of [`Simd::F32`].
pub const LANES: usize = 8;
/// Lanes of [`Simd::Wide`].
pub const WIDE: usize = 16;

/// Operations on eight f32 lanes. Every implementation rounds alike, so results agree bit for bit for finite numbers.
///
/// Implementors are tokens: a value proves that the processor has the instructions. Methods must be `#[inline(always)]`.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Eight f32 values.
    type F32: Copy;
    /// Sixteen f32 values, for sums that run down a row: one register where the processor has such, else several.
    type Wide: Copy;
    /// How many [`Wide`](Self::Wide) values fit the registers.
    const WIDE_REGISTERS: usize;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;
    /// The eight values at `x`.
    fn load(self, x: &[f32; LANES]) -> Self::F32;
    /// Writes the eight lanes to `out`.
    fn store(self, v: Self::F32, out: &mut [f32; LANES]);
    /// Eight half-precision values, widened exactly.
    fn load_f16(self, x: &[f16; LANES]) -> Self::F32;
    /// Writes the lanes rounded to half precision, nearest, ties to even.
    fn store_f16(self, v: Self::F32, out: &mut [f16; LANES]);
    /// Writes 32 integral values between -128 and 127 as bytes.
    fn store_i8(self, v: [Self::F32; 4], out: &mut [i8; 4 * LANES]);

    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger of `a` and `b`; `b` when either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller of `a` and `b`; `b` when either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Nearest integral value, ties to even.
    fn round(self, a: Self::F32) -> Self::F32;
    /// Absolute value.
    fn abs(self, a: Self::F32) -> Self::F32;
    /// `2^n` for integral `n` between -126 and 127.
    fn pow2(self, n: Self::F32) -> Self::F32;
    /// Lane by lane: `yes` where `a < b`, else `no`.
    fn select_lt(self, a: Self::F32, b: Self::F32, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// The sum of all lanes: `((0+4)+(2+6)) + ((1+5)+(3+7))`.
    fn sum(self, v: Self::F32) -> f32;
    /// The largest lane.
    fn largest(self, v: Self::F32) -> f32;

    /// `x` in all sixteen lanes.
    fn wide_splat(self, x: f32) -> Self::Wide;
    /// The sixteen values at `x`.
    fn wide_load(self, x: &[f32; WIDE]) -> Self::Wide;
    /// Sixteen half-precision values, widened exactly.
    fn wide_load_f16(self, x: &[f16; WIDE]) -> Self::Wide;
    /// Sixteen integers, converted exactly.
    fn wide_load_i8(self, x: &[i8; WIDE]) -> Self::Wide;
    /// Writes the sixteen lanes to `out`.
    fn wide_store(self, v: Self::Wide, out: &mut [f32; WIDE]);
    /// `a + b`.
    fn wide_add(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// `a * b`.
    fn wide_mul(self, a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// `a * b + c`, rounded once.
    fn wide_mul_add(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide;
}

/// The eight values at the start of `x`, or all of `x` with `fill` in the lanes beyond it.
#[inline(always)]
pub fn load_or<S: Simd>(s: S, x: &[f32], fill: f32) -> S::F32 {
    match x.first_chunk() {
        Some(full) => s.load(full),
        None => {
            let mut lanes = [fill; LANES];
            lanes.iter_mut().zip(x).for_each(|(lane, x)| *lane = *x);
            s.load(&lanes)
        }
    }
}
