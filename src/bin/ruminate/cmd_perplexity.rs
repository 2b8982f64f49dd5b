//! `perplexity`: how well a model predicts a text, as llama.cpp's tool of that name defines it.

use std::path::PathBuf;

use ruminate::engine::{Batch, Engine, Rows, Want};
use ruminate::observe::Interrupt;
use ruminate::text::{EncodeOptions, TokenId};
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::input;
use crate::model::{Loaded, ModelArgs};
use crate::output::Output;
use crate::signal;

/// Tokens scored in one pass: bounds the rows of logits that are held at once.
const PASS_TOKENS: usize = 64;

/// Measure how well a model predicts a text.
///
/// The text is cut into chunks of --ctx tokens, and the second half of each is scored; where the model wants a BOS token, it
/// replaces the first token of every chunk. The same figures as llama.cpp's tool of that name.
#[derive(clap::Args)]
pub struct Args {
    /// The text; `-` reads standard input.
    #[arg(long, short, env = "RUMINATE_FILE")]
    file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Score only the first N chunks.
    #[arg(long, env = "RUMINATE_CHUNKS", value_name = "N")]
    chunks: Option<usize>,
}

/// Tokens of one chunk when --ctx is not given, as in llama.cpp's tool.
const DEFAULT_CTX: usize = 512;

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let mut model = args.model.load()?;
    let n_ctx = args.model.ctx.unwrap_or(DEFAULT_CTX.min(model.engine.info().n_ctx));
    let text = input::file(&args.file)?;
    let options = EncodeOptions { add_special: true, parse_special: false };
    let tokens = model.tokenizer.encode(&text, options)?;
    if n_ctx < 4 || tokens.len() < 2 * n_ctx {
        let message =
            format!("the text has {} tokens; two chunks of --ctx {n_ctx} are needed, of 4 or more", tokens.len());
        return Err(Failure::usage(message));
    }
    let chunks = (tokens.len() / n_ctx).min(args.chunks.unwrap_or(usize::MAX));
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    let bar = output.count_progress("chunks", chunks as u64);
    let mut sum = Sum::default();
    for chunk in tokens.chunks_exact(n_ctx).take(chunks) {
        score(&mut model, chunk, &interrupt, &mut sum)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (perplexity, error) = sum.estimate();
    if !perplexity.is_finite() {
        return Err(Failure::new(Code::Failure, "the perplexity is not a finite number"));
    }
    if output.json {
        return output.document(&json!({
            "perplexity": perplexity,
            "standard_error": error,
            "n_ctx": n_ctx,
            "chunks": chunks,
            "tokens": tokens.len(),
            "scored_tokens": sum.count,
            "model": model.document(&args.model.source.name()),
        }));
    }
    output.line(&format!("PPL = {perplexity:.4} +/- {error:.5} ({chunks} chunks of {n_ctx} tokens)"))
}

/// Adds the negative log-likelihoods of the second half of one chunk.
fn score(model: &mut Loaded, chunk: &[TokenId], interrupt: &Interrupt, sum: &mut Sum) -> Result<(), Failure> {
    let mut tokens = chunk.to_vec();
    if let (true, Some(bos), Some(first)) = (model.tokenizer.add_bos(), model.tokenizer.bos(), tokens.first_mut()) {
        *first = bos;
    }
    let half = tokens.len() / 2;
    // The last token predicts nothing inside the chunk.
    let (context, scored) = (&tokens[..half], &tokens[half..tokens.len() - 1]);
    let branch = model.engine.root()?;
    let mut rows = Rows::new();
    let mut batch = Batch::new(interrupt);
    batch.extend(&branch, context, Want::None);
    model.engine.forward(&batch, &mut rows)?;
    for (pass, part) in scored.chunks(PASS_TOKENS).enumerate() {
        let mut batch = Batch::new(interrupt);
        part.iter().for_each(|&token| batch.push(&branch, token, Want::Logits));
        model.engine.forward(&batch, &mut rows)?;
        let next = &tokens[half + pass * PASS_TOKENS + 1..];
        for (i, &token) in next.iter().take(part.len()).enumerate() {
            let logits = rows.logits(i).ok_or_else(|| Failure::new(Code::Failure, "the engine gave no logits"))?;
            sum.add(negative_log_likelihood(logits, token));
        }
    }
    model.engine.release(branch);
    Ok(())
}

/// `-log softmax(logits)[token]`, in double precision.
fn negative_log_likelihood(logits: &[f32], token: TokenId) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - max).exp()).sum();
    let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    sum.ln() - f64::from(logit - max)
}

#[derive(Default)]
struct Sum {
    count: usize,
    nll: f64,
    nll_squared: f64,
}

impl Sum {
    fn add(&mut self, nll: f64) {
        self.count += 1;
        self.nll += nll;
        self.nll_squared += nll * nll;
    }

    /// The perplexity and the standard error of its estimate (by propagation from the mean's).
    fn estimate(&self) -> (f64, f64) {
        let n = self.count as f64;
        let mean = self.nll / n;
        let variance = (self.nll_squared / n - mean * mean).max(0.0);
        let perplexity = mean.exp();
        (perplexity, perplexity * (variance / (n - 1.0).max(1.0)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_have_the_vocabulary_as_perplexity() {
        let mut sum = Sum::default();
        (0..10).for_each(|i| sum.add(negative_log_likelihood(&[2.5; 40], i)));
        let (perplexity, error) = sum.estimate();
        assert!((perplexity - 40.0).abs() < 1e-9 && error < 1e-4);
    }

    #[test]
    fn a_certain_token_costs_nothing_and_large_logits_do_not_overflow() {
        assert!(negative_log_likelihood(&[1000.0, -1000.0], 0) < 1e-12);
        assert!((negative_log_likelihood(&[1000.0, -1000.0], 1) - 2000.0).abs() < 1e-9);
    }
}
