//! Draws the next token from a row of logits: the same draw for the same row, history and random number.
//!
//! The order of operations is that of llama.cpp's default chain where the two overlap: repetition penalty, top-k, top-p,
//! min-p, temperature, draw. So top-p and min-p see the probabilities before the temperature changes them.

mod certainty;
mod shortlist;
mod softmax;

use serde::{Deserialize, Serialize};

use self::shortlist::{Candidate, Shortlist};
use crate::engine::Row;
use crate::error::{Error, Result};
use crate::kernels::{LOGIT_BLOCK, LogitBlock, logit_block_count, row_logit_blocks, temper_logit_blocks};
use crate::simd::Isa;
use crate::text::TokenId;

/// How to draw. The defaults draw from the model's own distribution, untouched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplerParams {
    /// Divides the logits; 0 takes the most likely token, the lowest of equals. 0, or in [0.001, 100].
    pub temperature: f32,
    /// Keeps that many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most likely tokens whose probabilities add up to this. In (0, 1]; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the most likely one. In [0, 1]; 0 keeps all.
    pub min_p: f32,
    /// Divides a positive logit, and multiplies a negative one, of each token seen in the window. In [0.1, 10]; 1 is off.
    pub repetition_penalty: f32,
    /// Tokens looked back on by the repetition penalty.
    pub repetition_window: usize,
}

impl Default for SamplerParams {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, repetition_window: 64 }
    }
}

impl SamplerParams {
    /// The parameters that always take the most likely token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let within = |name: &str, value: f32, low: f32, high: f32| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::invalid(format!("{name} is {value}: give a number from {low} to {high}")))
        };
        if self.temperature != 0.0 {
            within("temperature", self.temperature, 0.001, 100.0)?;
        }
        within("top_p", self.top_p, f32::MIN_POSITIVE, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.1, 10.0)
    }
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: TokenId,
    /// The natural logarithm of the token's probability under the model's own distribution: temperature 1, nothing cut
    /// off, no penalty.
    pub logprob: f64,
}

/// The largest logit of a row, and the sum of the exponentials of all below it; the sums of blocks are in `Sampler::masses`.
#[derive(Debug, Clone, Copy)]
struct Weight {
    peak: f32,
    total: f64,
}

impl Weight {
    fn sampled(self, row: Row<'_>, token: TokenId) -> Sampled {
        let logit = row.logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Sampled { token, logprob: f64::from(logit - self.peak) - self.total.ln() }
    }
}

/// Draws tokens; keeps its buffers between draws.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplerParams,
    isa: Isa,
    /// The blocks of a row that came without.
    own: Vec<LogitBlock>,
    permitted: Vec<f32>,
    permitted_blocks: Vec<LogitBlock>,
    penalized: Vec<f32>,
    penalized_blocks: Vec<LogitBlock>,
    tempered: Vec<LogitBlock>,
    /// The mass of each block.
    masses: Vec<f64>,
    shortlist: Shortlist,
}

impl Sampler {
    /// A sampler with valid parameters.
    pub fn new(params: SamplerParams) -> Result<Self> {
        params.validate()?;
        Ok(Self {
            params,
            isa: Isa::detect(),
            own: Vec::new(),
            permitted: Vec::new(),
            permitted_blocks: Vec::new(),
            penalized: Vec::new(),
            penalized_blocks: Vec::new(),
            tempered: Vec::new(),
            masses: Vec::new(),
            shortlist: Shortlist::default(),
        })
    }

    /// The parameters.
    pub fn params(&self) -> &SamplerParams {
        &self.params
    }

    /// Draws a token from `logits` (length `n_vocab`), given the tokens so far, oldest first, and one random number in
    /// [0, 1). [`NonFinite`](crate::ErrorKind::NonFinite) when the logits hold NaN or +inf, or nothing above -inf.
    pub fn sample(&mut self, logits: &[f32], history: &[TokenId], uniform: f64) -> Result<Sampled> {
        let mut blocks = std::mem::take(&mut self.own);
        blocks.resize(logit_block_count(logits.len()), LogitBlock::EMPTY);
        row_logit_blocks(self.isa, logits, &mut blocks);
        let sampled = self.sample_row(Row { logits, blocks: &blocks }, history, uniform);
        self.own = blocks;
        sampled
    }

    /// [`sample`](Self::sample) from a row of the engine, which saves the passes over the vocabulary: the same draw.
    pub fn sample_row(&mut self, row: Row<'_>, history: &[TokenId], uniform: f64) -> Result<Sampled> {
        let weight = self.weigh(row)?;
        let token = self.draw(row, Some(weight), history, uniform)?;
        Ok(weight.sampled(row, token))
    }

    /// [`sample_row`](Self::sample_row) among the permitted tokens alone: token `i` is one if bit `i % 32` of `permitted[i / 32]` is
    /// set. What top-k, top-p and min-p cut off is then counted among these. The log-probability stays that of the model.
    pub fn sample_row_among(
        &mut self,
        row: Row<'_>,
        permitted: &[u32],
        history: &[TokenId],
        uniform: f64,
    ) -> Result<Sampled> {
        let weight = self.weigh(row)?;
        self.permit(row, permitted);
        let (logits, blocks) = (std::mem::take(&mut self.permitted), std::mem::take(&mut self.permitted_blocks));
        let token = self.draw(Row { logits: &logits, blocks: &blocks }, None, history, uniform);
        (self.permitted, self.permitted_blocks) = (logits, blocks);
        Ok(weight.sampled(row, token?))
    }

    fn weigh(&mut self, row: Row<'_>) -> Result<Weight> {
        let peak = softmax::peak(row.blocks)?;
        let total = softmax::masses(row.blocks, peak, 1.0, &mut self.masses);
        Ok(Weight { peak, total })
    }

    /// A token of `row`, which was weighed last if its weight is given.
    fn draw(&mut self, row: Row<'_>, weight: Option<Weight>, history: &[TokenId], uniform: f64) -> Result<TokenId> {
        if self.penalize(row, history) {
            let (logits, blocks) = (std::mem::take(&mut self.penalized), std::mem::take(&mut self.penalized_blocks));
            let penalized = Row { logits: &logits, blocks: &blocks };
            let token = self.weigh(penalized).map(|weight| self.choose(penalized, weight, uniform));
            (self.penalized, self.penalized_blocks) = (logits, blocks);
            return token;
        }
        let weight = weight.map_or_else(|| self.weigh(row), Ok)?;
        Ok(self.choose(row, weight, uniform))
    }

    /// Fills `self.permitted` and its blocks: `row` with -inf for what is not permitted.
    fn permit(&mut self, row: Row<'_>, permitted: &[u32]) {
        const WORDS: usize = LOGIT_BLOCK / 32;
        self.permitted.clear();
        self.permitted.resize(row.logits.len(), f32::NEG_INFINITY);
        self.permitted_blocks.clear();
        self.permitted_blocks.resize(row.blocks.len(), LogitBlock::EMPTY);
        let blocks = self.permitted.chunks_mut(LOGIT_BLOCK).zip(row.logits.chunks(LOGIT_BLOCK));
        for ((to, from), (words, (block, whole))) in
            blocks.zip(permitted.chunks(WORDS).zip(self.permitted_blocks.iter_mut().zip(row.blocks)))
        {
            if words.len() == WORDS && words.iter().all(|&word| word == u32::MAX) {
                to.copy_from_slice(from);
                *block = *whole;
                continue;
            }
            if words.iter().all(|&word| word == 0) {
                continue;
            }
            for ((to, from), &word) in to.chunks_mut(32).zip(from.chunks(32)).zip(words) {
                for (i, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                    if word >> i & 1 == 1 {
                        *to = from;
                    }
                }
            }
            row_logit_blocks(self.isa, to, std::slice::from_mut(block));
        }
    }

    /// Fills `self.penalized` and its blocks, and returns true, when the penalty changes anything.
    fn penalize(&mut self, row: Row<'_>, history: &[TokenId]) -> bool {
        let SamplerParams { repetition_penalty: penalty, repetition_window: window, .. } = self.params;
        let seen = &history[history.len().saturating_sub(window)..];
        if penalty == 1.0 || seen.is_empty() {
            return false;
        }
        self.penalized.clear();
        self.penalized.extend_from_slice(row.logits);
        self.penalized_blocks.clear();
        self.penalized_blocks.extend_from_slice(row.blocks);
        for &token in seen {
            let at = token as usize;
            // Reading the original logit makes a token that was seen twice pay once, as in llama.cpp.
            if let (Some(to), Some(&from)) = (self.penalized.get_mut(at), row.logits.get(at)) {
                *to = if from <= 0.0 { from * penalty } else { from / penalty };
            }
        }
        for &token in seen {
            let block = token as usize / LOGIT_BLOCK;
            if let Some(out) = self.penalized_blocks.get_mut(block..=block) {
                let logits = self.penalized.get(block * LOGIT_BLOCK..).unwrap_or_default();
                row_logit_blocks(self.isa, logits, out);
            }
        }
        true
    }

    /// A token of `row`, which was weighed last.
    fn choose(&mut self, row: Row<'_>, Weight { peak, total }: Weight, uniform: f64) -> TokenId {
        let SamplerParams { temperature, top_k, top_p, min_p, .. } = self.params;
        if temperature == 0.0 {
            return most_likely(row, peak);
        }
        let inverse = 1.0 / temperature;
        if top_k == 0 && top_p >= 1.0 && min_p <= 0.0 {
            let mut total = total;
            if temperature != 1.0 {
                self.tempered.clear();
                self.tempered.extend_from_slice(row.blocks);
                temper_logit_blocks(self.isa, row.logits, inverse, &mut self.tempered);
                total = softmax::masses(&self.tempered, peak, inverse, &mut self.masses);
            }
            return self.draw_from_all(row.logits, peak, inverse, uniform * total);
        }
        let list = self.shortlist.cut(row, &self.params, peak, total);
        let weight = |c: &Candidate| f64::from(softmax::exp((c.logit - peak) * inverse));
        let target = uniform * list.iter().map(weight).sum::<f64>();
        let drawn = shortlist::reach(list, weight, |sum| sum > target);
        // The last candidate with any weight takes what rounding leaves over.
        let drawn = drawn.or_else(|| list.iter().rposition(|c| weight(c) > 0.0));
        drawn.and_then(|i| list.get(i)).map_or(0, |c| c.token)
    }

    /// The token at which the running sum of exponentials passes `left`, in the order of tokens.
    fn draw_from_all(&self, logits: &[f32], peak: f32, inverse: f32, mut left: f64) -> TokenId {
        let mut last = 0;
        for (b, (block, &mass)) in logits.chunks(LOGIT_BLOCK).zip(&self.masses).enumerate() {
            // The last block with any mass takes what rounding leaves over.
            if left >= mass && self.masses.iter().skip(b + 1).any(|&m| m > 0.0) {
                left -= mass;
                continue;
            }
            for (i, &logit) in block.iter().enumerate() {
                let weight = f64::from(softmax::exp((logit - peak) * inverse));
                if weight > 0.0 {
                    last = b * LOGIT_BLOCK + i;
                    left -= weight;
                    if left < 0.0 {
                        break;
                    }
                }
            }
            break;
        }
        last as TokenId
    }
}

/// The first token whose logit is `peak`.
fn most_likely(row: Row<'_>, peak: f32) -> TokenId {
    let block = row.blocks.iter().position(|block| block.max == peak).unwrap_or(0);
    let first = block * LOGIT_BLOCK;
    let within = row.logits.get(first..).unwrap_or_default().iter().position(|&x| x == peak).unwrap_or(0);
    (first + within) as TokenId
}

#[cfg(test)]
mod tests;
