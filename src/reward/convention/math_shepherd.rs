//! Math-Shepherd (peiyi9979/math-shepherd-mistral-7b-prm; arXiv 2312.08935).

use super::{Convention, Passage, Place, Reader, TokenPair};
use crate::error::Result;
use crate::reward::Aggregation;
use crate::text::{TokenId, Tokenizer};

/// `question step₁ ки⏎step₂ ки`: the mark `ки` stands behind a blank (without it, it is another token), and the logits AT it
/// of `+` (648 in Mistral's vocabulary) and `-` (387) go through softmax, index 0. The paper takes the minimum of all steps.
#[derive(Debug, Clone)]
pub struct MathShepherd(TokenPair);

impl MathShepherd {
    /// The form of the model's page and training data: a blank before the first step, a line end before the others.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let pair = TokenPair::new(tokenizer, " ки", "+", "-")?;
        let aggregation = Aggregation::Min;
        Ok(Self(TokenPair { name: "math-shepherd".into(), between: "\n".into(), aggregation, ..pair }))
    }

    /// The form of search-and-learn: the policy's system prompt on a line before the question, an empty line between steps.
    /// Scores differ from those of [`new`](Self::new).
    pub fn with_system(tokenizer: &Tokenizer, system: &str) -> Result<Self> {
        let mut this = Self::new(tokenizer)?;
        this.0.before = format!("{system}\n");
        this.0.after = "\n ".into();
        this.0.between = "\n\n".into();
        this.0.aggregation = Aggregation::Last;
        Ok(this)
    }
}

impl Convention for MathShepherd {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn reader(&self) -> &Reader {
        self.0.reader()
    }

    fn aggregation(&self) -> Aggregation {
        self.0.aggregation()
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        self.0.prompt(tokenizer, question)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        self.0.step(tokenizer, place)
    }
}
