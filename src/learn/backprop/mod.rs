//! Gradients of log-probabilities with respect to an adapter, through a frozen, quantized network.
//!
//! The forward pass is in single precision over dequantized tiles of the weights, the backward pass is written by hand, one file per
//! operation. Only a layer's input is kept on the way up (checkpointing, Chen et al., arXiv 1604.06174), as much more as the caller
//! allows, and the rest is computed again on the way down. The frozen weights get no gradient, so the backward pass costs one product
//! per matrix, as the forward pass does.

mod attention;
mod buffers;
mod forest;
mod gate;
mod layer;
mod linear;
mod logprob;
mod norm;
mod rotation;
mod trunk;

#[cfg(test)]
mod testing;

pub use self::buffers::{Buffer, Buffers};
pub use self::forest::{Forest, Segment, Target};
pub use self::logprob::Logprobs;
pub use self::trunk::{Tape, Trunk};

use crate::exec::Team;
use crate::observe::Interrupt;
use crate::simd::Isa;

/// What computes, in which memory, and what ends it early, within a product.
#[derive(Clone, Copy)]
struct Compute<'a> {
    team: &'a Team,
    isa: Isa,
    buffers: &'a Buffers,
    interrupt: &'a Interrupt,
}
