//! Reward models that say good or bad by the logits of two tokens at a mark behind every step.

use super::{Convention, Passage, Place, Reader, cut_join, last_token, opening};
use crate::error::Result;
use crate::reward::Aggregation;
use crate::text::{TokenId, Tokenizer};

/// `before question after step₁ mark between step₂ mark …`, read AT each mark. Steps are written without the white space
/// around them.
///
/// Math-Shepherd is one of these ([`MathShepherd`](super::MathShepherd)); VersaPRM's mark is the token 23535 of Llama 3, its
/// labels are `-` (12) and `+` (10), where softmax's index 1 is the good one; openr's Math-psa has the mark
/// `"\n\n\n\n\n"` and the labels ` +` and ` -`.
#[derive(Debug, Clone)]
pub struct TokenPair {
    /// For tables and messages.
    pub name: String,
    /// The text before the question.
    pub before: String,
    /// The text between the question and the first step.
    pub after: String,
    /// The text between a step and its mark.
    pub before_mark: String,
    /// The mark: one token.
    pub mark: TokenId,
    /// The text between a mark and the next step.
    pub between: String,
    /// The two tokens.
    pub reader: Reader,
    /// How its authors take steps together.
    pub aggregation: Aggregation,
}

impl TokenPair {
    /// A model whose mark is the last token of `mark` and whose labels are the last tokens of `positive` and `negative`, with
    /// a blank between the question and the first step and nothing else anywhere.
    pub fn new(tokenizer: &Tokenizer, mark: &str, positive: &str, negative: &str) -> Result<Self> {
        Ok(Self {
            name: "token-pair".into(),
            before: String::new(),
            after: " ".into(),
            before_mark: String::new(),
            mark: last_token(tokenizer, mark)?,
            between: String::new(),
            reader: Reader::pair(tokenizer, positive, negative)?,
            aggregation: Aggregation::Last,
        })
    }
}

impl Convention for TokenPair {
    fn name(&self) -> &str {
        &self.name
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn aggregation(&self) -> Aggregation {
        self.aggregation
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        let (join, _) = cut_join(&self.after);
        opening(tokenizer, &format!("{}{}{join}", self.before, question.trim()), false)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        let lead = if place.is_first { cut_join(&self.after).1 } else { &self.between };
        let text = format!("{lead}{}{}", place.text.trim(), self.before_mark);
        let mut tokens = tokenizer.encode_more(&text, false)?;
        tokens.push(self.mark);
        Ok(Passage { read: tokens.len() - 1, probe: Vec::new(), tokens })
    }
}
