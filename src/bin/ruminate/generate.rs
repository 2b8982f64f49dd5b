//! Plain generation on one branch: what `run` and `chat` do.

use std::time::{Duration, Instant};

use ruminate::engine::{Branch, Engine, Lookup, Rows, Sampled, Sampler, SamplerParams, Stream, pass_ahead, prefill};
use ruminate::observe::Interrupt;
use ruminate::text::{Guide, StreamDecoder, TokenId};
use ruminate::{Error, ErrorKind};

use crate::exit::Failure;
use crate::model::{Loaded, ModelArgs};
use crate::output::{Bar, Output};

/// The stop reason of a text that filled the context.
pub const CONTEXT: &str = "context";

/// What `run` and `chat` have in common.
#[derive(clap::Args)]
pub struct GenerateArgs {
    /// Tokens to generate, at most.
    #[arg(long, short = 'n', env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

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
    /// With --temp 0, let the text so far propose N tokens per pass; the output stays the same. 0 for none.
    #[arg(long, env = "RUMINATE_DRAFT", value_name = "N", default_value_t = 4, value_parser = drafted)]
    pub draft: usize,
}

/// Drafts are short: a pass that computes many tokens in vain is slow.
fn drafted(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n <= 64).ok_or_else(|| "give a number from 0 to 64".into())
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

/// What is to be gone on with.
pub struct Request<'a> {
    pub prompt: &'a [TokenId],
    /// Holds what is generated to a grammar.
    pub guide: Option<Guide>,
    pub interrupt: &'a Interrupt,
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

/// Appends to `branch`, which holds the start of the prompt, the rest of it, as `output` shows, and generates more; `show` gets the
/// text as it grows.
///
/// The branch then holds the prompt and all generated tokens but the last. A prompt that does not fit the context is an error;
/// a context that fills up later ends the generation.
pub fn generate(
    model: &mut Loaded,
    branch: &mut Branch,
    request: Request<'_>,
    args: &GenerateArgs,
    output: &Output,
    show: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<Generated, Failure> {
    let Request { prompt, mut guide, interrupt } = request;
    let (sampling, max_tokens) = (&args.sampling, args.max_tokens);
    let mut sampler = Sampler::new(sampling.params())?;
    let numbers = Stream::new(sampling.seed);
    let n_ctx = model.engine.info().n_ctx;
    if prompt.len() > n_ctx {
        let message = format!("the prompt has {} tokens, the context holds {n_ctx}", prompt.len());
        return Err(Error::new(ErrorKind::ContextLength, message).into());
    }
    let start = Instant::now();
    let mut decoder = StreamDecoder::continuing(false);
    let mut rows = Rows::new();
    let mut lookup = Lookup::new(prompt);
    let n_draft = if sampling.temp == 0.0 { sampling.draft } else { 0 };
    let mut drawn: Vec<Sampled> = Vec::new();
    let mut generated = Generated {
        text: String::new(),
        tokens: Vec::new(),
        logprobs: Vec::new(),
        stop_reason: "tokens",
        passes: 0,
        to_first_token: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    let mut bar = Bar(output.count_progress("prompt", prompt.len() as u64));
    let read = prefill(&mut model.engine, branch, prompt, interrupt, &mut rows, &mut bar);
    bar.0.finish_and_clear();
    let mut open = match read {
        Ok(passes) => {
            generated.passes = passes;
            true
        }
        Err(e) if e.kind() == ErrorKind::Cancelled => {
            generated.stop_reason = "cancelled";
            false
        }
        Err(e) => return Err(e.into()),
    };
    let mut next = prompt.get(model.engine.len(branch)..).unwrap_or_default().to_vec();
    while open && generated.tokens.len() < max_tokens && model.engine.len(branch) + next.len() <= n_ctx {
        let done = generated.tokens.len();
        // Every drafted token that is confirmed is followed by one more draw.
        let draft = lookup.propose(n_draft.min(max_tokens - done - 1)).to_vec();
        let (engine, tokenizer) = (&mut model.engine, &model.tokenizer);
        let pass = pass_ahead(engine, branch, &next, &draft, interrupt, &mut rows, &mut |row| {
            let number = numbers.uniform((done + drawn.len()) as u64);
            let sampled = match &mut guide {
                Some(guide) => sampler.sample_row_among(row, guide.permitted()?.words(), lookup.line(), number)?,
                None => sampler.sample_row(row, lookup.line(), number)?,
            };
            if tokenizer.is_eog(sampled.token) {
                open = false;
                return Ok(None);
            }
            lookup.push(sampled.token);
            drawn.push(sampled);
            if let Some(guide) = &mut guide {
                guide.advance(sampled.token)?;
                open = !guide.is_done();
            }
            Ok(Some(sampled.token).filter(|_| open))
        });
        match pass {
            Ok(()) => generated.passes += 1,
            Err(e) if e.kind() == ErrorKind::Cancelled => {
                generated.stop_reason = "cancelled";
                break;
            }
            Err(e) => return Err(e.into()),
        }
        if done == 0 {
            generated.to_first_token = start.elapsed();
        }
        if !open {
            generated.stop_reason = "finished";
        }
        next.clear();
        for sampled in drawn.drain(..) {
            generated.tokens.push(sampled.token);
            generated.logprobs.push(sampled.logprob);
            let text = decoder.push(&model.tokenizer, sampled.token);
            generated.text.push_str(text);
            show(text)?;
            next = vec![sampled.token];
        }
    }
    if generated.stop_reason == "tokens" && generated.tokens.len() < max_tokens {
        generated.stop_reason = CONTEXT;
    }
    let rest = decoder.finish();
    generated.text.push_str(rest);
    show(rest)?;
    generated.elapsed = start.elapsed();
    Ok(generated)
}
