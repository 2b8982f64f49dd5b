//! The activations of one forward pass, kept between passes.

use crate::engine::native::attend::{self, AttendState};
use crate::engine::native::lora::LowRank;
use crate::kernels::{Activations, attention_scratch_bytes};
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
        }
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
            buffer.resize(n * width, 0.0);
        }
    }

    /// Fills the rotation tables for these positions.
    pub fn rotate_to(&mut self, positions: impl Iterator<Item = usize> + Clone) {
        for table in [Some(&mut self.rope), self.rope_local.as_mut()].into_iter().flatten() {
            table.fill(positions.clone());
        }
    }

    /// Gives the buffers' memory back to the system; the next pass takes what it needs again. Rotations stay.
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
    }

    pub fn bytes(&self) -> u64 {
        let buffers = [&self.x, &self.h, &self.q, &self.k, &self.v, &self.attn, &self.ffn, &self.gate];
        let elements: usize = buffers.iter().map(|b| b.capacity()).sum();
        (elements * size_of::<f32>() + self.acts.bytes() + self.low.bytes() + self.attend.bytes()) as u64
    }
}

/// Bytes of the buffers of the largest chunk: f32 by role, and the input of the widest matmul as f32 and in a second form, which
/// takes four bytes an element where weights are F16 or BF16, and less where it is quantized; and what attention over `n_ctx` tokens
/// takes on so many threads.
pub(super) fn bytes(config: &Config, threads: usize, n_ctx: usize) -> u64 {
    let widths = 2 * config.n_embd + 2 * config.n_embd_q() + 2 * config.n_embd_kv() + config.n_ff;
    let widest = config.n_ff.max(config.n_embd_q()).max(config.n_embd);
    (CHUNK_TOKENS * (widths * size_of::<f32>() + widest * 8)) as u64
        + attention_scratch_bytes(&attend::shape(config), threads, n_ctx)
}
