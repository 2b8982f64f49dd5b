//! Plain generation on one branch: what `run` and `chat` do.

use std::time::{Duration, Instant};

use ruminate::engine::{Batch, Branch, Engine, Rows, Sampler, SamplerParams, Stream, Want};
use ruminate::observe::Interrupt;
use ruminate::text::{StreamDecoder, TokenId};
use ruminate::{Error, ErrorKind};

use crate::exit::Failure;
use crate::model::Loaded;

#[derive(clap::Args)]
pub struct SamplingArgs {
    /// Temperature; 0 takes the most likely token.
    #[arg(long, env = "RUMINATE_TEMP", value_name = "T", default_value_t = 0.8)]
    pub temp: f32,
    /// Draw among the K most likely tokens; 0 for all.
    #[arg(long, env = "RUMINATE_TOP_K", value_name = "K", default_value_t = 40)]
    pub top_k: usize,
    /// Draw among the fewest tokens whose probabilities add up to P.
    #[arg(long, env = "RUMINATE_TOP_P", value_name = "P", default_value_t = 0.95)]
    pub top_p: f32,
    /// Draw among tokens at least P times as likely as the most likely one.
    #[arg(long, env = "RUMINATE_MIN_P", value_name = "P", default_value_t = 0.05)]
    pub min_p: f32,
    /// Make tokens of the last 64 less likely by this factor; 1 changes nothing.
    #[arg(long, env = "RUMINATE_REPETITION_PENALTY", value_name = "F", default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Seed of the random numbers.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

impl SamplingArgs {
    fn params(&self) -> SamplerParams {
        SamplerParams {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            ..SamplerParams::default()
        }
    }
}

/// What was generated, and why it ended.
pub struct Generated {
    pub text: String,
    pub tokens: Vec<TokenId>,
    /// The model's own log-probability of each token.
    pub logprobs: Vec<f64>,
    /// As in JSON documents.
    pub stop_reason: &'static str,
    pub passes: u64,
    pub to_first_token: Duration,
    pub elapsed: Duration,
}

/// Appends `prompt` to `branch` and generates at most `max_tokens` more; `show` gets the text as it grows.
///
/// The branch then holds the prompt and all generated tokens but the last. A prompt that does not fit the context is an error;
/// a context that fills up later ends the generation.
pub fn generate(
    model: &mut Loaded,
    branch: &Branch,
    prompt: &[TokenId],
    args: &SamplingArgs,
    max_tokens: usize,
    interrupt: &Interrupt,
    show: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<Generated, Failure> {
    let mut sampler = Sampler::new(args.params())?;
    let numbers = Stream::new(args.seed);
    let n_ctx = model.engine.info().n_ctx;
    let held = model.engine.len(branch);
    if held + prompt.len() > n_ctx {
        let message = format!("the prompt has {} tokens, the context holds {n_ctx}", held + prompt.len());
        return Err(Error::new(ErrorKind::ContextLength, message).into());
    }
    let start = Instant::now();
    let mut decoder = StreamDecoder::continuing(false);
    let mut rows = Rows::new();
    let mut history = prompt.to_vec();
    let mut generated = Generated {
        text: String::new(),
        tokens: Vec::new(),
        logprobs: Vec::new(),
        stop_reason: "tokens",
        passes: 0,
        to_first_token: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    let mut next: Vec<TokenId> = prompt.to_vec();
    while generated.tokens.len() < max_tokens && model.engine.len(branch) + next.len() <= n_ctx {
        let mut batch = Batch::new(interrupt);
        batch.extend(branch, &next, Want::Logits);
        match model.engine.forward(&batch, &mut rows) {
            Ok(()) => generated.passes += 1,
            Err(e) if e.kind() == ErrorKind::Cancelled => {
                generated.stop_reason = "cancelled";
                break;
            }
            Err(e) => return Err(e.into()),
        }
        let row = rows.row(0).ok_or_else(|| Error::new(ErrorKind::Internal, "the engine gave no logits"))?;
        let drawn = sampler.sample_row(row, &history, numbers.uniform(generated.tokens.len() as u64))?;
        if generated.tokens.is_empty() {
            generated.to_first_token = start.elapsed();
        }
        if model.tokenizer.is_eog(drawn.token) {
            generated.stop_reason = "finished";
            break;
        }
        history.push(drawn.token);
        generated.tokens.push(drawn.token);
        generated.logprobs.push(drawn.logprob);
        let text = decoder.push(&model.tokenizer, drawn.token);
        generated.text.push_str(text);
        show(text)?;
        next = vec![drawn.token];
    }
    let rest = decoder.finish();
    generated.text.push_str(rest);
    show(rest)?;
    generated.elapsed = start.elapsed();
    Ok(generated)
}
