//! Qwen2.5-Math-PRM-7B and -72B, and ReasonFlux-PRM-7B, which is written alike (arXiv 2501.07301).

use super::frames::Frames;
use super::{Convention, Passage, Place, Reader};
use crate::error::{Error, Result};
use crate::reward::{Aggregation, Head};
use crate::text::{ChatTemplate, TokenId, Tokenizer};

const SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";
const MARK: &str = "<extra_0>";

/// A conversation with the model's system prompt whose assistant's turn is `step₁<extra_0>step₂<extra_0>…`. The head, two
/// layers with ReLU between them, reads the final state AT `<extra_0>`; softmax, index 1.
#[derive(Debug, Clone)]
pub struct QwenPrm {
    frames: Frames,
    mark: TokenId,
    reader: Reader,
}

impl QwenPrm {
    /// With the head of this file, since the base's GGUF has none: kind `mlp`, `relu`, two outputs, `softmax`, positive
    /// index 1, `prm.hidden.layers` = -1, `prm.step.read_offset` = 0.
    pub fn new(tokenizer: &Tokenizer, template: &ChatTemplate, head: Head) -> Result<Self> {
        let mark = tokenizer.find(MARK).ok_or_else(|| {
            Error::invalid(format!(
                "the vocabulary has no {MARK}; this convention is for Qwen2.5-Math-PRM and its like"
            ))
        })?;
        Ok(Self { frames: Frames::new(template, Some(SYSTEM))?, mark, reader: Reader::head(head)? })
    }
}

impl Convention for QwenPrm {
    fn name(&self) -> &str {
        "qwen-prm"
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn aggregation(&self) -> Aggregation {
        Aggregation::Last
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        self.frames.ask(tokenizer, question)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        let mut tokens = tokenizer.encode_more(place.text.trim(), false)?;
        tokens.push(self.mark);
        Ok(Passage { read: tokens.len() - 1, probe: Vec::new(), tokens })
    }
}
