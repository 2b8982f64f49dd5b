//! Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B.

use super::{Convention, Passage, Place, Reader, last_token};
use crate::error::Result;
use crate::reward::{Aggregation, Head};
use crate::text::{EncodeOptions, TokenId, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

/// The beginning of a text, the question and a line end, then the solution line by line, each line and its end tokenized by
/// themselves as the authors do. A value head (one output, sigmoid) reads the final state AT a line end; of a step with
/// several lines, that of its last.
#[derive(Debug, Clone)]
pub struct Skywork {
    line_end: TokenId,
    reader: Reader,
}

impl Skywork {
    /// With the head of this file, since the base's GGUF has none: kind `linear`, one output, `sigmoid`,
    /// `prm.hidden.layers` = -1, `prm.step.read_offset` = 0.
    pub fn new(tokenizer: &Tokenizer, head: Head) -> Result<Self> {
        Ok(Self { line_end: last_token(tokenizer, "\n")?, reader: Reader::head(head)? })
    }
}

impl Convention for Skywork {
    fn name(&self) -> &str {
        "skywork"
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn aggregation(&self) -> Aggregation {
        Aggregation::Last
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        // The authors write the text's first token themselves, whatever the tokenizer would do.
        let mut tokens: Vec<TokenId> = tokenizer.bos().into_iter().collect();
        tokens.extend(tokenizer.encode(&format!("{}\n", question.trim()), PLAIN)?);
        Ok(tokens)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        // Line ends that the policy wrote at the step's end are lines of their own only inside the text.
        let text = place.text.strip_suffix('\n').unwrap_or(place.text);
        let mut tokens = Vec::new();
        for line in text.split('\n') {
            tokens.extend(tokenizer.encode(line, PLAIN)?);
            tokens.push(self.line_end);
        }
        Ok(Passage { read: tokens.len() - 1, probe: Vec::new(), tokens })
    }
}
