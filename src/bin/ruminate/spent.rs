//! What a search has spent, as documents tell it.

use ruminate::search::Usage;
use serde_json::{Value, json};

/// The `usage` object of JSON documents.
pub fn document(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "policy_tokens": usage.policy_tokens,
        "reward_tokens": usage.reward_tokens,
        "recomputed_tokens": usage.recomputed_tokens,
        "forward_passes": usage.forward_passes,
        "wall_ms": usage.wall.as_secs_f64() * 1e3,
        "kv_peak_bytes": usage.kv_peak_bytes,
        "peak_bytes": usage.peak_bytes,
        "reward_ms": usage.reward_wall.as_secs_f64() * 1e3,
        "joules": usage.joules.joules,
        "joules_source": usage.joules.source.name(),
    })
}
