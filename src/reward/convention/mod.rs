//! How public reward models want a solution written, and where its score stands.
//!
//! A [`Convention`] writes tokens step by step, so that a step adds only its own behind those of its parent, in a tree of
//! KV as in a text. Each piece is tokenized by itself. That gives the published token sequence where its pieces meet at
//! a special token, behind a mark or behind line ends, as they do in every convention here.

mod frames;
mod generative;
mod implicit;
mod math_shepherd;
mod qwen_prm;
mod rlhflow;
mod skywork;
mod token_pair;

pub use self::generative::Generative;
pub use self::implicit::{Implicit, RewardMode};
pub use self::math_shepherd::MathShepherd;
pub use self::qwen_prm::QwenPrm;
pub use self::rlhflow::RlhFlow;
pub use self::skywork::Skywork;
pub use self::token_pair::TokenPair;

use crate::engine::{Tap, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::reward::{Aggregation, Head};
use crate::text::{EncodeOptions, TokenId, Tokenizer};

/// One family of reward models: the text it was trained on and where it says what it thinks.
pub trait Convention: Send {
    /// A short name for tables and messages.
    fn name(&self) -> &str;

    /// How a row becomes a value.
    fn reader(&self) -> &Reader;

    /// How its authors take the steps' values together.
    fn aggregation(&self) -> Aggregation;

    /// The tokens before the first step; at least one.
    fn prompt(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>>;

    /// The tokens of one step, behind those of its parent.
    fn step(&self, tokenizer: &Tokenizer, place: &Place<'_>) -> Result<Passage>;
}

/// One step and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The text of the step alone, as the policy wrote it.
    pub text: &'a str,
    /// It follows the prompt.
    pub is_first: bool,
    /// The solution ends with it.
    pub complete: bool,
}

/// What a step adds to the reward model's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Tokens that stay: the next step goes on behind them.
    pub tokens: Vec<TokenId>,
    /// Tokens that are put behind them to ask for the score, and taken away again.
    pub probe: Vec<TokenId>,
    /// The row that holds the score, or the last token that is the step's own: an index into `tokens` and `probe` together.
    pub read: usize,
}

/// How a row becomes a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Reader {
    /// `softmax` over two logits; the value is that of the first.
    Pair {
        /// The token that says that the step is good.
        positive: TokenId,
        /// The token that says that it is not.
        negative: TokenId,
    },
    /// A head on the hidden states.
    Head(Box<Head>),
    /// The log-ratio of two models' probabilities of the step's own tokens; see [`Implicit`].
    LogRatio {
        /// The factor of the log-ratios' sum.
        beta: f32,
        /// Which sum is a step's reward.
        mode: RewardMode,
    },
}

impl Reader {
    /// A head that reads a mark at its own row; an error for one of another kind.
    pub fn head(head: Head) -> Result<Self> {
        head.validate()?;
        if head.read_offset != 0 || !head.extra.is_empty() {
            let why = "a reward model's head has the read offset 0 and no extras";
            return Err(Error::invalid(format!("this head belongs on the policy's own states: {why}")));
        }
        Ok(Self::Head(Box::new(head)))
    }

    /// The two tokens that these texts end with, behind other text.
    pub fn pair(tokenizer: &Tokenizer, positive: &str, negative: &str) -> Result<Self> {
        let [positive, negative] = [last_token(tokenizer, positive)?, last_token(tokenizer, negative)?];
        if positive == negative {
            return Err(Error::invalid(format!("both labels are the token {positive}; give two that differ")));
        }
        Ok(Self::Pair { positive, negative })
    }

    /// What it reads.
    pub fn want(&self) -> Want {
        if matches!(self, Self::Head(_)) { Want::Hidden } else { Want::Logits }
    }

    /// Where it reads hidden states.
    pub fn taps(&self) -> &[Tap] {
        match self {
            Self::Head(head) => &head.taps,
            _ => &[Tap::Final],
        }
    }

    /// The value of a row of logits, or of hidden states at [`taps`](Self::taps). Errors:
    /// [`NonFinite`](ErrorKind::NonFinite), and [`InvalidArgument`](ErrorKind::InvalidArgument) for a row that is too short
    /// or a reader that needs more than one row.
    pub fn value(&self, row: &[f32]) -> Result<f32> {
        match self {
            Self::Pair { positive, negative } => {
                let logit = |token: TokenId| {
                    let logit = row.get(token as usize).copied().map(f64::from);
                    logit
                        .ok_or_else(|| Error::invalid(format!("token {token} is not in the reward model's vocabulary")))
                };
                let value = 1.0 / (1.0 + (logit(*negative)? - logit(*positive)?).exp());
                if value.is_nan() {
                    return Err(Error::new(ErrorKind::NonFinite, "the reward model's logits hold NaN or infinity"));
                }
                Ok(value as f32)
            }
            Self::Head(head) => Ok(head.value(row, &[])?.clamp(0.0, 1.0)),
            Self::LogRatio { .. } => Err(Error::invalid("a log-ratio takes two models; use an implicit judge")),
        }
    }
}

/// The tokens of a text that begins with `text`: the token that begins a text stands first once if the model wants it.
fn opening(tokenizer: &Tokenizer, text: &str, parse_special: bool) -> Result<Vec<TokenId>> {
    let mut tokens = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special })?;
    if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.add_bos() && tokens.first() != Some(bos)) {
        tokens.insert(0, bos);
    }
    Ok(tokens)
}

/// What joins two texts, cut behind its last line end: the first part is tokenized with the text before it, the second
/// with the text behind it, as tokenizers do (`?⏎⏎` is one token of many vocabularies, and so is ` Step`).
fn cut_join(join: &str) -> (&str, &str) {
    join.split_at(join.rfind('\n').map_or(0, |at| at + 1))
}

/// The last token of a text, as it is behind a blank or a line end.
fn last_token(tokenizer: &Tokenizer, text: &str) -> Result<TokenId> {
    let tokens = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: true })?;
    tokens.last().copied().ok_or_else(|| Error::invalid("a mark or label without text"))
}
