//! Gemma 3 (text): norms after attention and feed-forward too, QK-norm, GeGLU, scaled embeddings, and five local
//! layers with their own rotation for each global one (<https://arxiv.org/abs/2503.19786>). The converter has already
//! added 1 to the norms' scales.

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};
use crate::model::arch::no_rope_factors;
use crate::model::{Activation, Config, Rope, Window, key};

/// Every sixth layer is global.
const PATTERN: u32 = 6;
/// The 27B model scales attention by its width per head instead of the head's width.
const LAYERS_27B: usize = 62;

pub(super) fn refine(gguf: &Gguf, config: &mut Config) -> Result<()> {
    no_rope_factors(gguf, config)?;
    config.activation = Activation::Gelu;
    config.embedding_scale = (config.n_embd as f32).sqrt();
    if config.n_layer == LAYERS_27B {
        config.attention_scale = 1.0 / ((config.n_embd / config.n_head) as f32).sqrt();
    }
    let softcap = gguf.metadata().f32(&key(&config.architecture, "final_logit_softcapping"))?;
    config.logit_softcap = softcap.filter(|&cap| cap != 0.0);
    if config.logit_softcap.is_some_and(|cap| !(cap.is_finite() && cap > 0.0)) {
        return Err(Error::format(format!("final_logit_softcapping is {softcap:?}")));
    }
    config.window = window(gguf, config)?;
    Ok(())
}

fn window(gguf: &Gguf, config: &Config) -> Result<Option<Window>> {
    let meta = gguf.metadata();
    let size = meta.u32(&key(&config.architecture, "attention.sliding_window"))?.unwrap_or(0) as usize;
    if size == 0 {
        return Ok(None);
    }
    let pattern = key(&config.architecture, "attention.sliding_window_pattern");
    let local = if matches!(meta.get(&pattern), Some(Value::Array(_))) {
        meta.bool_array(&pattern)?.unwrap_or_default()
    } else {
        let period = meta.u32(&pattern)?.unwrap_or(PATTERN).max(1) as usize;
        (0..config.n_layer).map(|i| i % period != period - 1).collect()
    };
    if local.len() != config.n_layer {
        return Err(Error::format(format!("{pattern} has {} entries for {} layers", local.len(), config.n_layer)));
    }
    let base = meta.f32(&key(&config.architecture, "rope.freq_base_swa"))?.unwrap_or(10_000.0);
    if !(base.is_finite() && base > 0.0) {
        return Err(Error::format(format!("rope.freq_base_swa is {base}")));
    }
    // Local layers were never extended: only the global rotation is scaled.
    let rope = Rope { base, scale: 1.0, yarn: None, magnitude: 1.0, ..config.rope.clone() };
    Ok(Some(Window { size, local, rope }))
}
