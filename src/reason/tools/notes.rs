//! What the model wants to remember within one question.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{Tool, text};
use crate::error::{Error, Result};

/// Notes and bytes of each, at most.
const MOST: usize = 64;
const MAX_BYTES: usize = 1_000;

/// Keeps texts under names, for one question.
#[derive(Debug, Default)]
pub struct Notes {
    notes: Mutex<BTreeMap<String, String>>,
}

impl Tool for Notes {
    fn name(&self) -> &str {
        "notes"
    }

    fn about(&self) -> &str {
        "Keeps a text under a name, or says what was kept."
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "description": "the name of the note" },
                "text": { "type": "string", "description": "what to keep; without it the note is read" },
            },
            "required": ["name"],
        })
    }

    fn call(&self, arguments: &Value) -> Result<Vec<u8>> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = text(arguments, "name");
        let Some(kept) = arguments["text"].as_str() else {
            let known = || notes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let found =
                notes.get(name).ok_or_else(|| Error::invalid(format!("no such note; there are: {}", known())))?;
            return Ok(found.clone().into_bytes());
        };
        if name.len() + kept.len() > MAX_BYTES || (notes.len() >= MOST && !notes.contains_key(name)) {
            return Err(Error::invalid(format!("at most {MOST} notes of {MAX_BYTES} bytes can be kept")));
        }
        notes.insert(name.to_owned(), kept.to_owned());
        Ok(b"kept".to_vec())
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn fresh(&self) -> Option<Arc<dyn Tool>> {
        Some(Arc::new(Self::default()))
    }
}
