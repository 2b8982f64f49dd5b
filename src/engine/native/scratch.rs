//! The activations of one forward pass, kept between passes.

use crate::engine::native::attend::{self, AttendState};
use crate::engine::native::lora::LowRank;
use crate::kernels::{Activations, LONGEST_BLOCK, attention_scratch_bytes};
use crate::model::{Config, RopeTable};

/// Tokens whose activations are held at once; longer batches run in chunks of this many.
pub(super) const CHUNK_TOKENS: usize = 512;

/// Buffers by role, each `[token][width]`.
pub(super) struct Scratch {
    /// Residual stream, `n_embd` wide.
    pub x: Vec<f32>,
    /// What a block adds to the residual stream after a norm of its own, `n_embd` wide.
    pub h: Vec<f32>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    /// Attention's result, as wide as `q`.
    pub attn: Vec<f32>,
    /// Gated values of the feed-forward layer, `n_ff` wide.
    pub ffn: Vec<f32>,
    /// The gate, `n_ff` wide, where an adapter keeps it apart from what it scales; else empty.
    pub gate: Vec<f32>,
    /// Between the factors of an adapter.
    pub low: LowRank,
    /// A matmul's input in the weights' partner formats.
    pub acts: Activations,
    pub attend: AttendState,
    /// Rotations of global layers.
    pub rope: RopeTable,
    /// Rotations of local layers.
    pub rope_local: Option<RopeTable>,
    /// The largest chunks since the buffers were given back.
    demand: Demand,
}

/// What the buffers hold at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Demand {
    pub tokens: usize,
    /// The most positions that one of them sees.
    pub positions: usize,
    /// Parts of pages that they see, counted for every token.
    pub stretches: usize,
}

impl Demand {
    /// What holds both at once.
    pub fn beside(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            positions: self.positions.max(other.positions),
            stretches: self.stretches + other.stretches,
        }
    }

    /// What holds one or the other.
    pub fn max(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.max(other.tokens),
            positions: self.positions.max(other.positions),
            stretches: self.stretches.max(other.stretches),
        }
    }
}

impl Scratch {
    pub fn new(config: &Config, n_ctx: usize) -> Self {
        Self {
            x: Vec::new(),
            h: Vec::new(),
            q: Vec::new(),
            k: Vec::new(),
            v: Vec::new(),
            attn: Vec::new(),
            ffn: Vec::new(),
            gate: Vec::new(),
            low: LowRank::default(),
            acts: Activations::default(),
            attend: AttendState::default(),
            rope: RopeTable::new(&config.rope, n_ctx),
            rope_local: config.window.as_ref().map(|w| RopeTable::new(&w.rope, n_ctx)),
            demand: Demand::default(),
        }
    }

    /// What the buffers have to hold when a pass of this demand comes.
    pub fn together_with(&self, demand: Demand) -> Demand {
        self.demand.max(Demand { tokens: demand.tokens.min(CHUNK_TOKENS), ..demand })
    }

    /// A pass of this demand comes.
    pub fn expect(&mut self, demand: Demand) {
        self.demand = self.together_with(demand);
    }

    /// Sizes all buffers for `n` tokens.
    pub fn resize(&mut self, config: &Config, n: usize) {
        for (buffer, width) in [
            (&mut self.x, config.n_embd),
            (&mut self.h, config.n_embd),
            (&mut self.q, config.n_embd_q()),
            (&mut self.k, config.n_embd_kv()),
            (&mut self.v, config.n_embd_kv()),
            (&mut self.attn, config.n_embd_q()),
            (&mut self.ffn, config.n_ff),
        ] {
            resize_exact(buffer, n * width);
        }
    }

    /// Fills the rotation tables for these positions.
    pub fn rotate_to(&mut self, positions: impl Iterator<Item = usize> + Clone) {
        for table in [Some(&mut self.rope), self.rope_local.as_mut()].into_iter().flatten() {
            table.fill(positions.clone());
        }
    }

    /// Gives the buffers' memory back to the system; the next pass takes what it needs again.
    pub fn trim(&mut self) {
        let buffers = [
            &mut self.x,
            &mut self.h,
            &mut self.q,
            &mut self.k,
            &mut self.v,
            &mut self.attn,
            &mut self.ffn,
            &mut self.gate,
        ];
        buffers.into_iter().for_each(|buffer| *buffer = Vec::new());
        (self.low, self.acts, self.attend) = (LowRank::default(), Activations::default(), AttendState::default());
        [Some(&mut self.rope), self.rope_local.as_mut()].into_iter().flatten().for_each(RopeTable::trim);
        self.demand = Demand::default();
    }

    pub fn bytes(&self) -> u64 {
        let buffers = [&self.x, &self.h, &self.q, &self.k, &self.v, &self.attn, &self.ffn, &self.gate];
        let elements: usize = buffers.iter().map(|b| b.capacity()).sum();
        let rotations = self.rope.bytes() + self.rope_local.as_ref().map_or(0, RopeTable::bytes);
        (elements * size_of::<f32>() + self.acts.bytes() + self.low.bytes() + self.attend.bytes() + rotations) as u64
    }
}

/// A buffer of `len` elements, whose memory grows by no more than that.
pub(super) fn resize_exact(buffer: &mut Vec<f32>, len: usize) {
    buffer.reserve_exact(len.saturating_sub(buffer.len()));
    buffer.resize(len, 0.0);
}

/// What the sizes of the buffers depend on, beside the demand.
pub(super) struct ScratchSizes<'a> {
    pub config: &'a Config,
    pub threads: usize,
    /// Bytes of [`LONGEST_BLOCK`] inputs of a matmul in the forms that the weights need.
    pub block_bytes: usize,
    /// What adapters add to one input, in outputs of their first factors; 0 without any.
    pub rank: usize,
}

impl ScratchSizes<'_> {
    /// The most that [`Scratch::bytes`] becomes by this demand.
    pub fn bytes(&self, demand: Demand) -> u64 {
        let Self { config, threads, block_bytes, rank } = self;
        let gate = if *rank > 0 { config.n_ff } else { 0 };
        let rotated = config.rope.n_rot + config.window.as_ref().map_or(0, |window| window.rope.n_rot);
        let widths = 2 * config.n_embd + 2 * config.n_embd_q() + 2 * config.n_embd_kv() + config.n_ff + gate;
        let widest = config.n_ff.max(config.n_embd_q()).max(config.n_embd);
        // Between an adapter's factors: of all parts, of one, and that as an input.
        let floats = widths + rotated + 3 * rank;
        let token = floats * size_of::<f32>() + (widest * block_bytes).div_ceil(LONGEST_BLOCK);
        let windows = if config.window.is_some() { 2 } else { 1 };
        (demand.tokens as u64).saturating_mul(token as u64)
            + attend::bytes(demand, windows)
            + attention_scratch_bytes(&attend::shape(config), *threads, demand.positions)
    }
}
