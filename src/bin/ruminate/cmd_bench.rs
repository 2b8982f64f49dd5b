//! `bench`: how fast this machine decodes and searches.

mod search;
mod stopwatch;

use std::time::{Duration, Instant};

use ruminate::engine::{Batch, Branch, Engine, Rows, Sampler, SamplerParams, Stream, Want};
use ruminate::observe::Interrupt;
use ruminate::text::TokenId;
use serde_json::json;

use crate::exit::Failure;
use crate::model::{Loaded, ModelArgs};
use crate::output::Output;
use crate::{process, signal, size};

/// Measure speed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Decode(DecodeArgs),
    Search(Box<search::SearchBenchArgs>),
}

/// Prefill a prompt once, fork it, decode all branches together. Drawing tokens is timed apart from that.
#[derive(clap::Args)]
struct DecodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens of the prompt.
    #[arg(long, env = "RUMINATE_BENCH_PROMPT", value_name = "N", default_value_t = 256)]
    prompt: usize,
    /// Tokens that each branch decodes.
    #[arg(long = "gen", env = "RUMINATE_BENCH_GEN", value_name = "N", default_value_t = 64)]
    steps: usize,
    /// Numbers of branches to measure.
    #[arg(
        long,
        env = "RUMINATE_BENCH_BRANCHES",
        value_name = "N,N,…",
        value_delimiter = ',',
        default_value = "1,2,4,8,16,32"
    )]
    branches: Vec<usize>,
}

struct Measured {
    branches: usize,
    prefill: Duration,
    decode: Duration,
    sample: Duration,
    kv_bytes: u64,
    rss_bytes: Option<u64>,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.what {
        What::Decode(args) => decode(args, output),
        What::Search(args) => search::run(args, output),
    }
}

fn decode(args: &DecodeArgs, output: &Output) -> Result<(), Failure> {
    if args.prompt == 0 || args.steps == 0 || args.branches.contains(&0) {
        return Err(Failure::usage("--prompt, --gen and --branches count from 1"));
    }
    let mut model = args.model.load()?;
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    // Once unmeasured: the weights come from the disk, buffers are sized.
    measure(&mut model, args, 1, &interrupt)?;
    let mut documents = Vec::new();
    if !output.json {
        output.line("branches  prefill tok/s  decode tok/s  sample us/tok        KV  resident")?;
    }
    for &branches in &args.branches {
        let m = measure(&mut model, args, branches, &interrupt)?;
        let prefill = args.prompt as f64 / m.prefill.as_secs_f64();
        let decode = (args.steps * branches) as f64 / m.decode.as_secs_f64();
        let sample_us = m.sample.as_secs_f64() * 1e6 / (args.steps * branches) as f64;
        if output.json {
            documents.push(json!({
                "branches": m.branches,
                "prefill_tok_s": prefill,
                "decode_tok_s": decode,
                "sample_us": sample_us,
                "kv_bytes": m.kv_bytes,
                "rss_bytes": m.rss_bytes,
            }));
        } else {
            let rss = m.rss_bytes.map_or_else(|| "unknown".to_owned(), size::show);
            let kv = size::show(m.kv_bytes);
            output.line(&format!(
                "{:>8}  {prefill:>13.1}  {decode:>12.1}  {sample_us:>13.1}  {kv:>8}  {rss:>8}",
                m.branches
            ))?;
        }
    }
    if output.json { output.document(&documents.into()) } else { Ok(()) }
}

fn measure(model: &mut Loaded, args: &DecodeArgs, n: usize, interrupt: &Interrupt) -> Result<Measured, Failure> {
    let vocab = model.engine.info().n_vocab;
    let prompt: Vec<TokenId> = (0..args.prompt).map(|i| token(0, i, vocab)).collect();
    let mut rows = Rows::new();
    let engine = &mut model.engine;

    let root = engine.root()?;
    let start = Instant::now();
    let mut batch = Batch::new(interrupt);
    batch.extend(&root, &prompt, Want::Logits);
    engine.forward(&batch, &mut rows)?;
    let prefill = start.elapsed();

    let branches = (0..n).map(|_| engine.fork(&root)).collect::<Result<Vec<Branch>, _>>()?;
    // As `solve` draws; what was drawn is not what is fed, so that every run computes the same.
    let mut sampler = Sampler::new(SamplerParams { temperature: 0.8, ..SamplerParams::default() })?;
    let (mut decode, mut sample) = (Duration::ZERO, Duration::ZERO);
    for step in 0..args.steps {
        let mut batch = Batch::new(interrupt);
        branches.iter().enumerate().for_each(|(b, branch)| batch.push(branch, token(b + 1, step, vocab), Want::Logits));
        let start = Instant::now();
        engine.forward(&batch, &mut rows)?;
        decode += start.elapsed();
        let start = Instant::now();
        for (b, row) in (0..n).map_while(|b| rows.row(b)).enumerate() {
            let uniform = Stream::new(0).child(b as u64).uniform(step as u64);
            std::hint::black_box(sampler.sample_row(row, &[], uniform)?);
        }
        sample += start.elapsed();
    }
    let kv_bytes = engine.memory().kv;
    branches.into_iter().chain([root]).for_each(|b| engine.release(b));
    Ok(Measured { branches: n, prefill, decode, sample, kv_bytes, rss_bytes: process::resident_bytes() })
}

/// Tokens that differ between branches: what is measured is decoding, not what a model would say.
fn token(branch: usize, step: usize, vocab: usize) -> TokenId {
    let mixed = (branch as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (step as u64).wrapping_mul(0xD1B5_4A32_D192_ED03);
    TokenId::try_from((mixed >> 16) % vocab.max(1) as u64).unwrap_or_default()
}
