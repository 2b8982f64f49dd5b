//! Instruction-tuned models asked for a verdict, and generative verifiers (GenPRM, arXiv 2504.00891).

use super::frames::Frames;
use super::{Convention, Passage, Place, Reader, opening};
use crate::error::Result;
use crate::reward::Aggregation;
use crate::text::{ChatTemplate, TokenId, Tokenizer};

/// A user's message with the question and the steps so far; behind the newest step the message ends with a request and the
/// assistant's turn begins with `verdict`, and the logits of yes and no at its last token go through softmax:
/// `exp(yes) / (exp(yes) + exp(no))` as GenPRM computes it, of the first verdict rather than of one after a written analysis.
/// The request is taken away again, so that the next step follows the text of the step.
#[derive(Debug, Clone)]
pub struct Generative {
    frames: Frames,
    /// The text before the question.
    pub before: String,
    /// The text between the question and the first step.
    pub after: String,
    /// The text behind every step.
    pub between: String,
    /// The request at the message's end.
    pub request: String,
    /// How the assistant's turn begins.
    pub verdict: String,
    reader: Reader,
}

impl Generative {
    /// The labels `Yes` and `No` in a box, as GenPRM's models write them.
    pub fn new(tokenizer: &Tokenizer, template: &ChatTemplate) -> Result<Self> {
        Self::with_labels(tokenizer, template, "Yes", "No")
    }

    /// The labels are the last tokens of `positive` and `negative`, each of which should be one token.
    pub fn with_labels(tokenizer: &Tokenizer, template: &ChatTemplate, positive: &str, negative: &str) -> Result<Self> {
        Ok(Self {
            frames: Frames::new(template, None)?,
            before: "Question: ".into(),
            after: "\n\nSolution so far:\n".into(),
            between: "\n".into(),
            request: format!("Is the last step of this solution correct? Answer {positive} or {negative}."),
            verdict: "\\boxed{".into(),
            reader: Reader::pair(tokenizer, positive, negative)?,
        })
    }
}

impl Convention for Generative {
    fn name(&self) -> &str {
        "generative"
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn aggregation(&self) -> Aggregation {
        Aggregation::Min
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        let mut tokens = opening(tokenizer, &self.frames.open, true)?;
        let text = format!("{}{}{}", self.before, question.trim(), self.after);
        tokens.extend(tokenizer.encode_more(&text, false)?);
        Ok(tokens)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        let tokens = tokenizer.encode_more(&format!("{}{}", place.text.trim(), self.between), false)?;
        let mut probe = tokenizer.encode_more(&self.request, false)?;
        probe.extend(tokenizer.encode_more(&self.frames.to_assistant, true)?);
        probe.extend(tokenizer.encode_more(&self.verdict, false)?);
        Ok(Passage { read: (tokens.len() + probe.len()).saturating_sub(1), probe, tokens })
    }
}
