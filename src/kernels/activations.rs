//! Inputs of a matrix product, quantized once and shared by every weight that they meet.

use super::norm;
use super::quantize::{self, Place};
use crate::error::{Error, Result};
use crate::exec::{Shards, Team};
use crate::quant::QuantType;
use crate::simd::Isa;

/// Columns that are kept together: the block `b` of all columns of a tile lies before their block `b + 1`.
pub(crate) const TILE: usize = 32;
/// Inputs below which waking the team costs more than it saves.
const SERIAL_INPUTS: usize = 8192;
/// The longest block of a form.
pub const LONGEST_BLOCK: usize = 256;

/// What the input becomes before it meets weights of some format: the partner that ggml gives that format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partner {
    /// Blocks of 32 with a scale, and for formats with a minimum the block's sum (Q8_0 and Q8_1).
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

/// Where the inputs come from, `[column][k]`.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// As they are.
    Plain(&'a [f32]),
    /// `x / sqrt(mean(x^2) + eps) * weight` of each column `x`.
    RmsNorm {
        /// The columns.
        x: &'a [f32],
        /// As long as a column.
        weight: &'a [f32],
        /// Added to the mean of the squares.
        eps: f32,
    },
}

/// `n` columns of `k` inputs in the forms that the weights at hand need. Its buffers are reused from call to call.
#[derive(Default)]
pub struct Activations {
    n: usize,
    k: usize,
    ready: [bool; 5],
    x: Vec<f32>,
    q8: Q8Tiles,
    q8k: Q8KTiles,
    /// F16 and BF16: values widened to f32, `[column][k]`.
    rounded: [Vec<f32>; 2],
}

/// Per tile `[block][column]`: 32 quants, a scale, scale times sum, and what weights with a zero point of 8, 16 and 128
/// add to the sum of products too much, negated.
#[derive(Default)]
struct Q8Tiles {
    q: Vec<i8>,
    d: Vec<f32>,
    s: Vec<f32>,
    corrections: [Vec<i32>; 3],
}

/// Per tile `[block][32 quants of eight groups][column]` and `[block][column]`: a scale, the sums of 16 and of 32 quants.
#[derive(Default)]
struct Q8KTiles {
    q: Vec<i8>,
    d: Vec<f32>,
    sums16: Vec<i16>,
    sums32: Vec<i16>,
}

/// Columns for weights in blocks of 32.
pub(crate) struct TileQ8<'a> {
    pub(crate) width: usize,
    pub(crate) blocks: usize,
    pub(crate) q: &'a [i8],
    pub(crate) d: &'a [f32],
    pub(crate) s: &'a [f32],
    corrections: [&'a [i32]; 3],
}

impl<'a> TileQ8<'a> {
    /// `[block][column]`: minus `zero_point` times the sum of the quants; `None` for 0.
    #[inline(always)]
    pub(crate) fn corrections(&self, zero_point: i32) -> Option<&'a [i32]> {
        quantize::ZERO_POINTS.iter().position(|z| *z == zero_point).map(|i| self.corrections[i])
    }
}

/// Columns for weights in blocks of 256.
pub(crate) struct TileQ8K<'a> {
    pub(crate) width: usize,
    pub(crate) blocks: usize,
    pub(crate) q: &'a [i8],
    pub(crate) d: &'a [f32],
    pub(crate) sums16: &'a [i16],
    pub(crate) sums32: &'a [i16],
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

    /// The input itself, normed if so asked, `[column][k]`.
    pub fn input(&self) -> &[f32] {
        &self.x[..self.n * self.k]
    }

    /// Bytes that [`LONGEST_BLOCK`] inputs take, at most, in the forms that weights of these formats need.
    pub fn block_bytes(formats: impl Iterator<Item = QuantType>) -> usize {
        let mut wants = [false; 5];
        formats.for_each(|ty| wants[Partner::of(ty) as usize] = true);
        // Q8: quants, scale, sum and three corrections. Q8_K: quants, scale, sums of 16 and of 32.
        let forms =
            [LONGEST_BLOCK / 32 * (32 + 5 * 4), 256 + 4 + 2 * (16 + 8), 4 * LONGEST_BLOCK, 4 * LONGEST_BLOCK, 0];
        4 * LONGEST_BLOCK + forms.iter().zip(wants).filter(|(_, wanted)| *wanted).map(|(bytes, _)| bytes).sum::<usize>()
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> usize {
        let q8 = &self.q8;
        let floats = [&self.x, &q8.d, &q8.s, &self.q8k.d, &self.rounded[0], &self.rounded[1]];
        let words: usize = floats.iter().map(|f| f.capacity()).sum();
        let words = words + q8.corrections.iter().map(Vec::capacity).sum::<usize>();
        let sums = self.q8k.sums16.capacity() + self.q8k.sums32.capacity();
        q8.q.capacity() + self.q8k.q.capacity() + 2 * sums + 4 * words
    }

    /// Takes columns of `k` inputs in the forms that weights of these formats need. A format whose blocks do not cut `k` is
    /// left out, which [`matmul`](super::matmul) then reports.
    pub fn set(&mut self, team: &Team, isa: Isa, input: Input<'_>, k: usize, formats: &[QuantType]) -> Result<()> {
        let (Input::Plain(x) | Input::RmsNorm { x, .. }) = input;
        self.ready = [false; 5];
        if k == 0 || !x.len().is_multiple_of(k) {
            return Err(Error::invalid(format!("{} inputs are no whole number of columns of {k}", x.len())));
        }
        (self.n, self.k) = (x.len() / k, k);
        let n = self.n;
        for partner in formats.iter().map(|ty| Partner::of(*ty)) {
            self.ready[partner as usize] |= k.is_multiple_of(partner.block_len());
        }
        let ready = self.ready;
        let wants = |partner: Partner| ready[partner as usize];
        let (blocks, blocks_k) =
            (n * (k / 32) * usize::from(wants(Partner::Q8)), n * (k / 256) * usize::from(wants(Partner::Q8K)));
        let [f16, bf16] = &mut self.rounded;
        let [by8, by16, by128] = &mut self.q8.corrections;
        let out = Columns {
            isa,
            input,
            n,
            k,
            x: Shards::new(sized(&mut self.x, n * k)),
            q8: quantize::Q8 {
                q: Shards::new(sized(&mut self.q8.q, 32 * blocks)),
                d: Shards::new(sized(&mut self.q8.d, blocks)),
                s: Shards::new(sized(&mut self.q8.s, blocks)),
                corrections: [by8, by16, by128].map(|of| Shards::new(sized(of, blocks))),
            },
            q8k: quantize::Q8K {
                q: Shards::new(sized(&mut self.q8k.q, 256 * blocks_k)),
                d: Shards::new(sized(&mut self.q8k.d, blocks_k)),
                sums16: Shards::new(sized(&mut self.q8k.sums16, 16 * blocks_k)),
                sums32: Shards::new(sized(&mut self.q8k.sums32, 8 * blocks_k)),
            },
            f16: Shards::new(sized(f16, n * k * usize::from(wants(Partner::F16)))),
            bf16: Shards::new(sized(bf16, n * k * usize::from(wants(Partner::BF16)))),
            ready,
        };
        if n * k < SERIAL_INPUTS {
            (0..n).for_each(|c| out.fill(c));
        } else {
            team.run(n, &|c| out.fill(c));
        }
        Ok(())
    }

    pub(crate) fn is_ready(&self, ty: QuantType) -> bool {
        self.ready[Partner::of(ty) as usize]
    }

    /// Tiles of columns.
    pub(crate) fn tiles(&self) -> usize {
        self.n.div_ceil(TILE)
    }

    /// Columns of tile `t`.
    pub(crate) fn width(&self, t: usize) -> usize {
        TILE.min(self.n - t * TILE)
    }

    /// Tile `t`; empty slices unless Q8 was filled.
    pub(crate) fn q8(&self, t: usize) -> TileQ8<'_> {
        let (blocks, width) = (self.k / 32, self.width(t));
        let at = t * TILE * blocks..(t * TILE + width) * blocks;
        TileQ8 {
            width,
            blocks,
            q: self.q8.q.get(32 * at.start..32 * at.end).unwrap_or_default(),
            d: self.q8.d.get(at.clone()).unwrap_or_default(),
            s: self.q8.s.get(at.clone()).unwrap_or_default(),
            corrections: self.q8.corrections.each_ref().map(|of| of.get(at.clone()).unwrap_or_default()),
        }
    }

    /// Tile `t`; empty slices unless Q8K was filled.
    pub(crate) fn q8k(&self, t: usize) -> TileQ8K<'_> {
        let (blocks, width) = (self.k / 256, self.width(t));
        let at = t * TILE * blocks..(t * TILE + width) * blocks;
        TileQ8K {
            width,
            blocks,
            q: self.q8k.q.get(256 * at.start..256 * at.end).unwrap_or_default(),
            d: self.q8k.d.get(at.clone()).unwrap_or_default(),
            sums16: self.q8k.sums16.get(16 * at.start..16 * at.end).unwrap_or_default(),
            sums32: self.q8k.sums32.get(8 * at.start..8 * at.end).unwrap_or_default(),
        }
    }

    /// All columns in the float form that weights of `ty` need, `[column][k]`.
    pub(crate) fn float(&self, ty: QuantType) -> &[f32] {
        match Partner::of(ty) {
            Partner::F16 => &self.rounded[0],
            Partner::BF16 => &self.rounded[1],
            _ => &self.x,
        }
    }
}

/// Everything that the columns are written to; each is one part of the job.
struct Columns<'a> {
    isa: Isa,
    input: Input<'a>,
    n: usize,
    k: usize,
    x: Shards<'a, f32>,
    q8: quantize::Q8<'a>,
    q8k: quantize::Q8K<'a>,
    f16: Shards<'a, f32>,
    bf16: Shards<'a, f32>,
    ready: [bool; 5],
}

impl Columns<'_> {
    fn fill(&self, c: usize) {
        let (isa, at) = (self.isa, c * self.k..(c + 1) * self.k);
        // SAFETY: every column is filled by one part, and columns do not overlap.
        let x = unsafe { self.x.range(at.clone()) };
        match self.input {
            Input::Plain(input) => x.copy_from_slice(&input[at.clone()]),
            Input::RmsNorm { x: input, weight, eps } => norm::normalize(isa, &input[at.clone()], weight, eps, x),
        }
        let tile = c / TILE;
        let width = TILE.min(self.n - tile * TILE);
        let place = |blocks: usize| Place { tile: tile * TILE * blocks, column: c % TILE, width };
        if self.ready[Partner::Q8 as usize] {
            quantize::q8(isa, x, place(self.k / 32), &self.q8);
        }
        if self.ready[Partner::Q8K as usize] {
            quantize::q8k(isa, x, place(self.k / 256), &self.q8k);
        }
        for (partner, out, round) in [
            (Partner::F16, &self.f16, quantize::f16 as fn(Isa, &[f32], &mut [f32])),
            (Partner::BF16, &self.bf16, quantize::bf16),
        ] {
            if self.ready[partner as usize] {
                // SAFETY: as above.
                round(isa, x, unsafe { out.range(at.clone()) });
            }
        }
    }
}

fn sized<T: Default + Clone>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.reserve_exact(len - buffer.len());
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
