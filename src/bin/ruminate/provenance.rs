//! What a result file was made with, so that a run goes on only as it began.

use ruminate::reason::Strategy;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// 64 hex digits that stand for a text.
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 hex digits that stand for the words around a question.
pub fn prompt_digest(strategy: &dyn Strategy) -> String {
    // One that stands for all.
    let words: Vec<_> = strategy.messages("?").into_iter().map(|m| [m.role, m.content]).collect();
    digest(&format!("{words:?} {}", strategy.plain("?")))
}

/// An error that names the first of the `new` settings that `old` has otherwise.
pub fn check_same(old: &Value, new: &Value) -> Result<(), String> {
    for (name, value) in new.as_object().into_iter().flatten() {
        let was = old.get(name).unwrap_or(&Value::Null);
        if was != value {
            return Err(format!("holds results with {name} {was}, not {value}; give another --out"));
        }
    }
    Ok(())
}
