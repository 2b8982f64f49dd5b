//! Implicit process rewards (EurusPRM, ImplicitPRM, PRIME; arXiv 2412.01981).

use super::frames::Frames;
use super::{Convention, Passage, Place, Reader};
use crate::error::Result;
use crate::reward::Aggregation;
use crate::text::{ChatTemplate, TokenId, Tokenizer};

/// Which sum of log-ratios is a step's reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RewardMode {
    /// The step's own tokens: `q_t - q_{t-1}`.
    #[default]
    Single,
    /// All tokens of the solution so far: `q_t`.
    Accumulative,
}

/// A conversation whose assistant's turn is the steps with an empty line between them. With `q_t` = β times the sum over the
/// solution's tokens up to step `t` of `log π(token) - log π_ref(token)`, a step's reward is `q_t - q_{t-1}` or `q_t`; its
/// value is `1 / (1 + exp(-reward))`, as the authors' best-of-N takes it. β is 0.001 in their evaluation.
///
/// A step ends where the text up to it, tokenized by itself, would end: a token such as `.⏎⏎` counts to the step before the
/// empty line, an empty line that is a token of its own to the step behind it.
#[derive(Debug, Clone)]
pub struct Implicit {
    frames: Frames,
    reader: Reader,
}

impl Implicit {
    /// With the published β of 0.001.
    pub fn new(template: &ChatTemplate, mode: RewardMode) -> Result<Self> {
        Self::with_beta(template, 0.001, mode)
    }

    /// With another β.
    pub fn with_beta(template: &ChatTemplate, beta: f32, mode: RewardMode) -> Result<Self> {
        Ok(Self { frames: Frames::new(template, None)?, reader: Reader::LogRatio { beta, mode } })
    }
}

impl Convention for Implicit {
    fn name(&self) -> &str {
        "implicit"
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn aggregation(&self) -> Aggregation {
        Aggregation::Min
    }

    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        self.frames.ask(tokenizer, question)
    }

    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage> {
        let alone = tokenizer.encode_more(place.text.trim(), false)?;
        let tokens = match place.complete {
            true if !alone.is_empty() => alone.clone(),
            // Also behind nothing a row is needed to go on from.
            _ => tokenizer.encode_more(&format!("{}\n\n", place.text.trim()), false)?,
        };
        Ok(Passage { read: alone.len().saturating_sub(1), probe: Vec::new(), tokens })
    }
}
