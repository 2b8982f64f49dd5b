//! [`Number`]: answers that are a number or a short text.

use super::Verifier;
use crate::error::{Error, Result};
use crate::reward::answer::Answer;

/// Right is what [`Answer`] counts as the same: numbers and fractions exactly, texts without case and white space.
#[derive(Debug, Clone)]
pub struct Number {
    expected: Answer,
}

impl Number {
    /// The right answer; an error when it holds nothing that could be compared.
    pub fn new(expected: &str) -> Result<Self> {
        let expected = Answer::parse(expected);
        Ok(Self { expected: expected.ok_or_else(|| Error::invalid("an empty reference answer"))? })
    }
}

impl Verifier for Number {
    fn name(&self) -> &str {
        "number"
    }

    fn is_right(&self, answer: &str) -> bool {
        Answer::parse(answer).is_some_and(|answer| answer == self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_right() {
        let half = Number::new("\\frac{1}{2}").unwrap();
        assert!(["0.5", "1/2", ".50", "50/100"].iter().all(|answer| half.is_right(answer)));
        assert!(["", "0.51", "2", "x"].iter().all(|answer| !half.is_right(answer)));
        assert!(Number::new(" ").is_err());
    }
}
