//! The matrices of a layer by role.

use crate::model::{Config, Layer, Linear};

/// A matrix of a layer that an adapter can stand beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// Queries.
    AttnQ,
    /// Keys.
    AttnK,
    /// Values.
    AttnV,
    /// Heads back to the residual stream.
    AttnOutput,
    /// Gate of the feed-forward layer.
    FfnGate,
    /// Values that the gate scales.
    FfnUp,
    /// Feed-forward layer back to the residual stream.
    FfnDown,
}

impl Projection {
    /// All of them, in the order in which a layer uses them.
    pub const ALL: [Self; 7] =
        [Self::AttnQ, Self::AttnK, Self::AttnV, Self::AttnOutput, Self::FfnGate, Self::FfnUp, Self::FfnDown];

    /// Its name in tensor names: `blk.0.<name>.weight`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AttnQ => "attn_q",
            Self::AttnK => "attn_k",
            Self::AttnV => "attn_v",
            Self::AttnOutput => "attn_output",
            Self::FfnGate => "ffn_gate",
            Self::FfnUp => "ffn_up",
            Self::FfnDown => "ffn_down",
        }
    }

    /// The projection of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|projection| projection.name() == name)
    }

    /// Inputs and outputs of its matrix.
    pub fn shape(self, config: &Config) -> (usize, usize) {
        let (n_embd, n_ff, n_q, n_kv) = (config.n_embd, config.n_ff, config.n_embd_q(), config.n_embd_kv());
        match self {
            Self::AttnQ => (n_embd, n_q),
            Self::AttnK | Self::AttnV => (n_embd, n_kv),
            Self::AttnOutput => (n_q, n_embd),
            Self::FfnGate | Self::FfnUp => (n_embd, n_ff),
            Self::FfnDown => (n_ff, n_embd),
        }
    }

    /// Its matrix in `layer`.
    pub fn of(self, layer: &Layer) -> &Linear {
        match self {
            Self::AttnQ => &layer.attn_q,
            Self::AttnK => &layer.attn_k,
            Self::AttnV => &layer.attn_v,
            Self::AttnOutput => &layer.attn_output,
            Self::FfnGate => &layer.ffn_gate,
            Self::FfnUp => &layer.ffn_up,
            Self::FfnDown => &layer.ffn_down,
        }
    }
}
