//! Draws the next token from a row of logits: the same draw for the same row, history and random number.
//!
//! The order of operations is that of llama.cpp's default chain where the two overlap: repetition penalty, top-k, top-p,
//! min-p, temperature, draw. So top-p and min-p see the probabilities before the temperature changes them.

mod shortlist;
mod softmax;

use self::shortlist::Candidate;
use crate::error::{Error, Result};
use crate::text::TokenId;

/// How to draw. The defaults draw from the model's own distribution, untouched.
#[derive(Debug, Clone, PartialEq)]
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

/// Draws tokens; keeps its buffers between draws.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplerParams,
    penalized: Vec<f32>,
    sums: Vec<f64>,
    list: Vec<Candidate>,
}

impl Sampler {
    /// A sampler with valid parameters.
    pub fn new(params: SamplerParams) -> Result<Self> {
        params.validate()?;
        Ok(Self { params, penalized: Vec::new(), sums: Vec::new(), list: Vec::new() })
    }

    /// The parameters.
    pub fn params(&self) -> &SamplerParams {
        &self.params
    }

    /// Draws a token from `logits` (length `n_vocab`), given the tokens so far, oldest first, and one random number in
    /// [0, 1). [`NonFinite`](crate::ErrorKind::NonFinite) when the logits hold NaN or +inf, or nothing above -inf.
    pub fn sample(&mut self, logits: &[f32], history: &[TokenId], uniform: f64) -> Result<Sampled> {
        let peak = softmax::peak(logits)?;
        let total = softmax::sum_exp(logits, peak, 1.0, &mut self.sums);
        let token = if self.penalize(logits, history) {
            let penalized = std::mem::take(&mut self.penalized);
            let token = softmax::peak(&penalized).map(|peak| {
                let total = softmax::sum_exp(&penalized, peak, 1.0, &mut self.sums);
                self.choose(&penalized, peak, total, uniform)
            });
            self.penalized = penalized;
            token?
        } else {
            self.choose(logits, peak, total, uniform)
        };
        let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Ok(Sampled { token, logprob: f64::from(logit - peak) - total.ln() })
    }

    /// Fills `self.penalized` and returns true when the penalty changes anything.
    fn penalize(&mut self, logits: &[f32], history: &[TokenId]) -> bool {
        let SamplerParams { repetition_penalty: penalty, repetition_window: window, .. } = self.params;
        let seen = &history[history.len().saturating_sub(window)..];
        if penalty == 1.0 || seen.is_empty() {
            return false;
        }
        self.penalized.clear();
        self.penalized.extend_from_slice(logits);
        for &token in seen {
            let at = token as usize;
            // Reading the original logit makes a token that was seen twice pay once, as in llama.cpp.
            if let (Some(to), Some(&from)) = (self.penalized.get_mut(at), logits.get(at)) {
                *to = if from <= 0.0 { from * penalty } else { from / penalty };
            }
        }
        true
    }

    /// A token of `logits`, whose largest is `peak` and whose exponentials add up to `total` and, by block, `self.sums`.
    fn choose(&mut self, logits: &[f32], peak: f32, total: f64, uniform: f64) -> TokenId {
        let SamplerParams { temperature, top_k, top_p, min_p, .. } = self.params;
        if temperature == 0.0 {
            return logits.iter().position(|&x| x == peak).unwrap_or(0) as TokenId;
        }
        let inverse = 1.0 / temperature;
        if top_k == 0 && top_p >= 1.0 && min_p <= 0.0 {
            let total =
                if temperature == 1.0 { total } else { softmax::sum_exp(logits, peak, inverse, &mut self.sums) };
            return self.draw_from_all(logits, peak, inverse, uniform * total);
        }
        self.shorten(logits, peak, total);
        let weight = |c: &Candidate| f64::from(softmax::exp((c.logit - peak) * inverse));
        let mut left = uniform * self.list.iter().map(weight).sum::<f64>();
        let mut last = self.list.first().map_or(0, |c| c.token);
        for candidate in &self.list {
            let weight = weight(candidate);
            if weight > 0.0 {
                last = candidate.token;
                left -= weight;
                if left < 0.0 {
                    break;
                }
            }
        }
        last
    }

    /// Fills `self.list` with what top-k, top-p and min-p leave, best first.
    fn shorten(&mut self, logits: &[f32], peak: f32, total: f64) {
        let SamplerParams { top_k, top_p, min_p, .. } = self.params;
        let floor = if min_p > 0.0 { peak + min_p.ln() } else { f32::NEG_INFINITY };
        // Without top-k the list grows until top-p or min-p ends it: a peaked row needs a few dozen candidates.
        let mut k = if top_k == 0 { 64 } else { top_k };
        loop {
            shortlist::best(logits, k, &mut self.list);
            let mass = |c: &Candidate| f64::from(softmax::exp(c.logit - peak));
            let total = if top_k == 0 { total } else { self.list.iter().map(mass).sum() };
            let mut sum = 0.0;
            let reached = |c: &Candidate| {
                sum += mass(c);
                sum >= f64::from(top_p) * total
            };
            let nucleus =
                if top_p >= 1.0 { None } else { self.list.iter().position(reached).map(|crossing| crossing + 1) };
            let likely = self.list.partition_point(|c| c.logit >= floor).max(1);
            let ended = nucleus.is_some() || likely < self.list.len();
            if ended || top_k != 0 || self.list.len() < k || k >= logits.len() {
                self.list.truncate(nucleus.map_or(likely, |n| n.min(likely)));
                return;
            }
            k = k.saturating_mul(8);
        }
    }

    /// The token at which the running sum of exponentials passes `left`, in the order of tokens.
    fn draw_from_all(&self, logits: &[f32], peak: f32, inverse: f32, mut left: f64) -> TokenId {
        let mut last = 0;
        for (b, (block, &sum)) in logits.chunks(softmax::BLOCK).zip(&self.sums).enumerate() {
            // The last block with any mass takes what rounding leaves over.
            if left >= sum && self.sums.iter().skip(b + 1).any(|&s| s > 0.0) {
                left -= sum;
                continue;
            }
            for (i, &logit) in block.iter().enumerate() {
                let weight = f64::from(softmax::exp((logit - peak) * inverse));
                if weight > 0.0 {
                    last = b * softmax::BLOCK + i;
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

#[cfg(test)]
mod tests;
