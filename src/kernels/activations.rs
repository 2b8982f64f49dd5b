//! Inputs of a matrix product, quantized once and shared by every weight that they meet.

use super::quantize;
use crate::error::{Error, Result};
use crate::exec::{Shards, Team};
use crate::quant::QuantType;
use crate::simd::Isa;

/// What the input becomes before it meets weights of some format: the partner that ggml gives that format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partner {
    /// Blocks of 32 with a half-precision scale, and for formats with a minimum the block's sum (Q8_0 and Q8_1).
    Q8 = 0,
    /// Blocks of 256 with a single-precision scale and sums of 16 (Q8_K).
    Q8K = 1,
    /// Rounded to half precision.
    F16 = 2,
    /// Rounded to bfloat16.
    BF16 = 3,
    /// Unchanged.
    F32 = 4,
}

impl Partner {
    pub(crate) fn of(ty: QuantType) -> Self {
        use QuantType::*;
        match ty {
            Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 | IQ4_NL => Self::Q8,
            Q2_K | Q3_K | Q4_K | Q5_K | Q6_K | IQ4_XS => Self::Q8K,
            F16 => Self::F16,
            BF16 => Self::BF16,
            F32 => Self::F32,
        }
    }

    fn block_len(self) -> usize {
        match self {
            Self::Q8 => 32,
            Self::Q8K => 256,
            Self::F16 | Self::BF16 | Self::F32 => 1,
        }
    }
}

/// `n` columns of `k` inputs in the forms that the weights at hand need. Its buffers are reused from call to call.
#[derive(Default)]
pub struct Activations {
    n: usize,
    k: usize,
    ready: [bool; 5],
    x: Vec<f32>,
    q8: Q8Columns,
    q8k: Q8KColumns,
    /// F16, BF16, F32: values widened to f32, columns padded with zeros to whole vectors.
    float: [Vec<f32>; 3],
}

/// Per column: `k` quants, and per block of 32 a scale and a sum, padded with zeros to a multiple of eight blocks.
#[derive(Default)]
struct Q8Columns {
    q: Vec<i8>,
    d: Vec<f32>,
    s: Vec<f32>,
}

/// Per column: `k` quants, a scale per 256, a sum of quants per 16.
#[derive(Default)]
struct Q8KColumns {
    q: Vec<i8>,
    d: Vec<f32>,
    sums: Vec<i16>,
}

/// One column for weights in blocks of 32.
#[derive(Clone, Copy)]
pub(crate) struct ColumnQ8<'a> {
    pub(crate) q: &'a [i8],
    pub(crate) d: &'a [f32],
    pub(crate) s: &'a [f32],
}

/// One column for weights in blocks of 256.
#[derive(Clone, Copy)]
pub(crate) struct ColumnQ8K<'a> {
    pub(crate) q: &'a [i8],
    pub(crate) d: &'a [f32],
    pub(crate) sums: &'a [i16],
}

impl Activations {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Columns held.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Inputs per column.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        let floats = self.x.capacity() + self.q8.d.capacity() + self.q8.s.capacity() + self.q8k.d.capacity();
        let floats = floats + self.float.iter().map(Vec::capacity).sum::<usize>();
        self.q8.q.capacity() + self.q8k.q.capacity() + 2 * self.q8k.sums.capacity() + 4 * floats
    }

    /// Takes `x`, laid out `[column][k]`, as the new input; forms prepared for an earlier one are forgotten.
    pub fn set(&mut self, x: &[f32], k: usize) -> Result<()> {
        self.ready = [false; 5];
        if k == 0 || !x.len().is_multiple_of(k) {
            return Err(Error::invalid(format!("{} inputs are no whole number of columns of {k}", x.len())));
        }
        (self.n, self.k) = (x.len() / k, k);
        self.x.clear();
        self.x.extend_from_slice(x);
        Ok(())
    }

    /// Brings the input into the form that weights of format `ty` need, once per input; does nothing where `k` cannot
    /// be cut into such blocks, which [`matmul`](super::matmul) then reports.
    pub fn prepare(&mut self, team: &Team, isa: Isa, ty: QuantType) {
        let partner = Partner::of(ty);
        if self.k.is_multiple_of(partner.block_len()) && !std::mem::replace(&mut self.ready[partner as usize], true) {
            let x = std::mem::take(&mut self.x);
            self.fill(team, isa, partner, &x);
            self.x = x;
        }
    }

    pub(crate) fn is_ready(&self, ty: QuantType) -> bool {
        self.ready[Partner::of(ty) as usize]
    }

    /// Column `c`, which must be below `n`, after Q8 was filled.
    pub(crate) fn q8(&self, c: usize) -> ColumnQ8<'_> {
        let (k, blocks) = (self.k, padded_blocks(self.k));
        let block = c * blocks..(c + 1) * blocks;
        ColumnQ8 { q: &self.q8.q[c * k..(c + 1) * k], d: &self.q8.d[block.clone()], s: &self.q8.s[block] }
    }

    /// Column `c`, which must be below `n`, after Q8K was filled.
    pub(crate) fn q8k(&self, c: usize) -> ColumnQ8K<'_> {
        let k = self.k;
        ColumnQ8K {
            q: &self.q8k.q[c * k..(c + 1) * k],
            d: &self.q8k.d[c * (k / 256)..(c + 1) * (k / 256)],
            sums: &self.q8k.sums[c * (k / 16)..(c + 1) * (k / 16)],
        }
    }

    /// Column `c`, which must be below `n`, in the float form that weights of `ty` need.
    pub(crate) fn float(&self, ty: QuantType, c: usize) -> &[f32] {
        let padded = self.k.next_multiple_of(8);
        &self.float[Partner::of(ty) as usize - Partner::F16 as usize][c * padded..(c + 1) * padded]
    }

    fn fill(&mut self, team: &Team, isa: Isa, partner: Partner, x: &[f32]) {
        let (n, k) = (self.n, self.k);
        // One column is too little work to wake anybody for.
        let columns =
            |work: &(dyn Fn(usize) + Sync)| if n * k < 8192 { (0..n).for_each(work) } else { team.run(n, work) };
        let input = |c: usize| &x[c * k..(c + 1) * k];
        match partner {
            Partner::Q8 => {
                let blocks = padded_blocks(k);
                let (q, d, s) = (
                    Shards::new(sized(&mut self.q8.q, n * k)),
                    Shards::new(sized(&mut self.q8.d, n * blocks)),
                    Shards::new(sized(&mut self.q8.s, n * blocks)),
                );
                columns(&|c| {
                    let block = c * blocks..(c + 1) * blocks;
                    // SAFETY: every part is one column, and columns do not overlap.
                    let (q, d, s) = unsafe { (q.range(c * k..(c + 1) * k), d.range(block.clone()), s.range(block)) };
                    quantize::q8(isa, input(c), q, d, s);
                });
            }
            Partner::Q8K => {
                let (q, d, sums) = (
                    Shards::new(sized(&mut self.q8k.q, n * k)),
                    Shards::new(sized(&mut self.q8k.d, n * (k / 256))),
                    Shards::new(sized(&mut self.q8k.sums, n * (k / 16))),
                );
                columns(&|c| {
                    let (super_blocks, groups) = (k / 256, k / 16);
                    // SAFETY: every part is one column, and columns do not overlap.
                    let (q, d, sums) = unsafe {
                        (
                            q.range(c * k..(c + 1) * k),
                            d.range(c * super_blocks..(c + 1) * super_blocks),
                            sums.range(c * groups..(c + 1) * groups),
                        )
                    };
                    quantize::q8k(isa, input(c), q, d, sums);
                });
            }
            Partner::F16 | Partner::BF16 | Partner::F32 => {
                let padded = k.next_multiple_of(8);
                let out = Shards::new(sized(&mut self.float[partner as usize - Partner::F16 as usize], n * padded));
                let round = match partner {
                    Partner::F16 => quantize::f16,
                    Partner::BF16 => quantize::bf16,
                    _ => quantize::f32,
                };
                columns(&|c| {
                    // SAFETY: every part is one column, and columns do not overlap.
                    round(isa, input(c), unsafe { out.range(c * padded..(c + 1) * padded) });
                });
            }
        }
    }
}

/// Blocks of 32 in `k` inputs, rounded up to whole vectors of scales.
pub(crate) fn padded_blocks(k: usize) -> usize {
    (k / 32).next_multiple_of(8)
}

fn sized<T: Default + Clone>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
