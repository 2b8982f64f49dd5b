//! Phi 3, 3.5 and 4: fused QKV, fused gate and up, LongRoPE, and one sliding window for all layers.

use crate::error::Result;
use crate::gguf::Gguf;
use crate::model::arch::rope_factors;
use crate::model::{Config, Window, key};

pub(super) fn refine(gguf: &Gguf, config: &mut Config) -> Result<()> {
    config.rope.factors = rope_factors(gguf, config)?;
    let size = gguf.metadata().u32(&key(&config.architecture, "attention.sliding_window"))?.unwrap_or(0) as usize;
    if size > 0 && size < config.n_ctx_train {
        config.window = Some(Window { size, local: vec![true; config.n_layer], rope: config.rope.clone() });
    }
    Ok(())
}
