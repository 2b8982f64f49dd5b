//! Qwen 2 and 2.5: llama with biases on Q, K and V, and rotation by halves.

use crate::error::Result;
use crate::gguf::Gguf;
use crate::model::Config;
use crate::model::arch::no_rope_factors;

pub(super) fn refine(gguf: &Gguf, config: &mut Config) -> Result<()> {
    no_rope_factors(gguf, config)
}
