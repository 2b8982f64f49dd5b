//! The question alone, for models trained to reason without being told to, such as the bundled one.

use super::Strategy;
use crate::text::ChatMessage;

/// The question alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Strategy for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn messages(&self, question: &str) -> Vec<ChatMessage> {
        vec![ChatMessage::new("user", question.trim())]
    }

    fn plain(&self, question: &str) -> String {
        format!("{}\n", question.trim())
    }

    fn stop_at_answer(&self) -> bool {
        true
    }
}
