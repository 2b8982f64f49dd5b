//! Qwen 3: llama with a norm on every query and key head, no biases, and rotation by halves.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::model::Config;
use crate::model::arch::no_rope_factors;

pub(super) fn refine(gguf: &Gguf, config: &mut Config) -> Result<()> {
    for name in (0..config.n_layer).flat_map(|i| ["q", "k"].map(|x| format!("blk.{i}.attn_{x}_norm.weight"))) {
        if gguf.tensor(&name).is_none() {
            return Err(Error::format(format!("the tensor {name} is missing")));
        }
    }
    no_rope_factors(gguf, config)
}
