//! Where one reasoning step ends and the next begins.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRule {
    /// Ends a step that holds more than white space. `"\n"`: one step per line, which suits short arithmetic; published
    /// systems split at `"\n\n"` (search-and-learn).
    pub separator: String,
    /// Tokens of one step, at most.
    pub max_tokens: u64,
    /// Steps of one solution, at most; what comes then is one last step, to the end. Published: 40 (search-and-learn).
    pub max_steps: usize,
}

impl Default for StepRule {
    /// One step per line, at most 128 tokens each, at most 40 of them.
    fn default() -> Self {
        Self { separator: "\n".into(), max_tokens: 128, max_steps: 40 }
    }
}

impl StepRule {
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        if self.separator.is_empty() {
            return Err(Error::invalid(
                "the step separator is empty: give the text that ends a step, such as a line end",
            ));
        }
        if self.max_tokens == 0 || self.max_steps == 0 {
            return Err(Error::invalid("a step needs at least 1 token and a solution at least 1 step"));
        }
        Ok(())
    }

    /// Whether what stands in `text` from byte `from` on is a complete step.
    pub(super) fn is_complete(&self, text: &str, from: usize) -> bool {
        let step = text.get(from..).unwrap_or_default();
        let blank = step.len() - step.trim_start().len();
        // The separator after the first word counts, not blank lines before it.
        step.get(blank..).is_some_and(|body| body.contains(self.separator.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_complete_with_a_separator_after_its_first_word() {
        let rule = StepRule::default();
        for (text, complete) in [
            ("", false),
            ("\n", false),
            ("\n\n", false),
            ("a", false),
            ("a\n", true),
            ("\na\n", true),
            ("a\n\nb", true),
        ] {
            assert_eq!(rule.is_complete(text, 0), complete, "{text:?}");
        }
        assert!(!rule.is_complete("a\nb", 2) && rule.is_complete("a\nb\n", 2));
        let paragraphs = StepRule { separator: "\n\n".into(), ..rule };
        assert!(!paragraphs.is_complete("a\nb", 0) && paragraphs.is_complete("a\nb.\n\n", 0));
    }

    #[test]
    fn a_rule_without_a_separator_or_room_is_refused() {
        assert!(StepRule::default().validate().is_ok());
        for bad in [
            StepRule { separator: String::new(), ..StepRule::default() },
            StepRule { max_tokens: 0, ..StepRule::default() },
            StepRule { max_steps: 0, ..StepRule::default() },
        ] {
            assert!(bad.validate().is_err());
        }
    }
}
