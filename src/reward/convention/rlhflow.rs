//! RLHFlow's process reward models (RLHFlow/Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data).

use super::frames::Frames;
use super::{Convention, Passage, Place, Reader, cut_join, opening};
use crate::error::Result;
use crate::reward::Aggregation;
use crate::text::{ChatTemplate, TokenId, Tokenizer};

/// A conversation: the user says the question and the first step, then a step a turn; the assistant's turns are all `+`. The
/// logits of `+` and `-` at the token BEFORE the assistant's word go through softmax, index 0. The authors take the mean.
#[derive(Debug, Clone)]
pub struct RlhFlow {
    frames: Frames,
    join: String,
    label: TokenId,
    reader: Reader,
}

impl RlhFlow {
    /// The form of the authors' evaluation: a blank between the question and the first step.
    pub fn new(tokenizer: &Tokenizer, template: &ChatTemplate) -> Result<Self> {
        let reader = Reader::pair(tokenizer, "+", "-")?;
        let label = super::last_token(tokenizer, "+")?;
        Ok(Self { frames: Frames::new(template, None)?, join: " ".into(), label, reader })
    }

    /// With this text between the question and the first step: ProcessBench has `"\n\n"`.
    #[must_use]
    pub fn joined_by(self, join: &str) -> Self {
        Self { join: join.into(), ..self }
    }
}

impl Convention for RlhFlow {
    fn name(&self) -> &str {
        "rlhflow"
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn aggregation(&self) -> Aggregation {
        Aggregation::Mean
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        let mut tokens = opening(tokenizer, &self.frames.open, true)?;
        let (join, _) = cut_join(&self.join);
        tokens.extend(tokenizer.encode_more(&format!("{}{join}", question.trim()), false)?);
        Ok(tokens)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        let lead = if place.is_first { cut_join(&self.join).1 } else { "" };
        let mut tokens = tokenizer.encode_more(&format!("{lead}{}", place.text.trim()), false)?;
        tokens.extend(tokenizer.encode_more(&self.frames.to_assistant, true)?);
        let read = tokens.len().saturating_sub(1);
        // The next turn follows "+", whatever the score was; nothing follows the last.
        if !place.complete {
            tokens.push(self.label);
            tokens.extend(tokenizer.encode_more(&self.frames.to_user, true)?);
        }
        Ok(Passage { tokens, probe: Vec::new(), read })
    }
}
