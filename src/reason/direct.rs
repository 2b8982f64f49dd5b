//! The question alone, for models trained to reason without being told to, such as the bundled one.

use super::Strategy;

/// The question alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Strategy for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn about(&self) -> &'static str {
        "The question alone, for models that reason without being told to"
    }

    fn answer_mark(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> &'static str {
        "1 prompt; n solutions or what the search algorithm draws"
    }
}
