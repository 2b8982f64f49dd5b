//! `solve`: search for an answer.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use ruminate::engine::{Engine, SamplerParams};
use ruminate::reason::{self, Strategy};
use ruminate::search::{self, Algo, Budget, EarlyStop, Outcome, SearchParams, StopReason};
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style, escape};
use crate::watch::Watch;
use crate::{input, signal, size, width};

/// Search for an answer: many lines of thought at once, and a vote over their answers.
#[derive(clap::Args)]
pub struct Args {
    /// The question; `-` reads standard input.
    question: String,
    #[command(flatten)]
    model: ModelArgs,
    /// How to search.
    #[arg(long, env = "RUMINATE_ALGO", value_name = "NAME", default_value = "best-of-n", value_parser = algo)]
    algo: Algo,
    /// How the question is put: `direct` gives it as it is, `cot` asks for steps. Without it, `direct` for the built-in
    /// model, which knows nothing else, and `cot` for others.
    #[arg(long, env = "RUMINATE_STRATEGY", value_name = "NAME")]
    strategy: Option<String>,
    /// Samples, at most.
    #[arg(long, env = "RUMINATE_N", value_name = "N", default_value_t = 8)]
    n: usize,
    /// Samples decoded at once, at most. Without it, as many as this machine decodes well together: measured once per model
    /// and kept in the user's cache folder.
    #[arg(long, env = "RUMINATE_WIDTH", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    width: Option<usize>,
    /// When fewer samples are enough.
    #[arg(long, env = "RUMINATE_EARLY_STOP", value_enum, default_value_t = Stop::Beta)]
    early_stop: Stop,
    /// Tokens of one sample, at most.
    #[arg(long, env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    max_tokens: u64,
    /// Tokens of all samples together.
    #[arg(long, env = "RUMINATE_BUDGET_TOKENS", value_name = "N")]
    budget_tokens: Option<u64>,
    /// Milliseconds until the answer.
    #[arg(long, env = "RUMINATE_BUDGET_MS", value_name = "MS")]
    budget_ms: Option<u64>,
    /// Memory for the keys and values of all branches; weights do not count.
    #[arg(long, env = "RUMINATE_BUDGET_MEM", value_name = "SIZE", value_parser = size::parse)]
    budget_mem: Option<u64>,
    /// Temperature.
    #[arg(long, env = "RUMINATE_TEMP", value_name = "T", default_value_t = 0.8)]
    temp: f32,
    /// Draw among the fewest tokens whose probabilities add up to P.
    #[arg(long, env = "RUMINATE_TOP_P", value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the random numbers.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    seed: u64,
}

/// When fewer than --n samples are enough.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Stop {
    /// Never: draw all of them.
    Never,
    /// When the leading answer is ahead with a probability of 95 %.
    Beta,
    /// When five samples in a row agree.
    Window,
}

fn algo(name: &str) -> Result<Algo, String> {
    Algo::by_name(name).map_err(|e| e.to_string())
}

impl Args {
    fn strategy(&self) -> Result<&'static dyn Strategy, Failure> {
        let own = self.model.source.model.is_some();
        let name = self.strategy.as_deref().unwrap_or(if own { "cot" } else { "direct" });
        Ok(reason::by_name(name)?)
    }

    fn lanes(&self) -> width::Lanes {
        width::Lanes {
            width: self.width,
            branches: if self.algo == Algo::Greedy { 1 } else { self.n },
            wall: self.budget_ms.map(Duration::from_millis),
        }
    }

    fn params(&self, stop_at_answer: bool) -> SearchParams {
        SearchParams {
            algo: self.algo,
            n: self.n,
            early_stop: match self.early_stop {
                Stop::Never => EarlyStop::Never,
                Stop::Beta => EarlyStop::Beta(0.95),
                Stop::Window => EarlyStop::Window(5),
            },
            sampler: SamplerParams { temperature: self.temp, top_p: self.top_p, ..SamplerParams::default() },
            max_tokens: self.max_tokens,
            stop_at_answer,
            seed: self.seed,
            budget: Budget {
                tokens: self.budget_tokens,
                wall: self.budget_ms.map(Duration::from_millis),
                kv_bytes: self.budget_mem,
            },
        }
    }
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let question = input::text(Some(args.question.as_str()), "the question")?;
    if question.trim().is_empty() {
        return Err(Failure::usage("the question is empty"));
    }
    let strategy = args.strategy()?;
    let mut model = args.model.load()?;
    let prompt = reason::prompt(strategy, question.trim(), &model.tokenizer, model.template.as_ref())?;
    let cancel = signal::token();
    let source = width::settle(&mut model, &args.lanes(), &cancel, output);
    let mut watch = Watch::new(output);
    let outcome = search::solve(
        &mut model.engine,
        &model.tokenizer,
        &prompt,
        &args.params(strategy.stop_at_answer()),
        &mut watch,
        &cancel,
    );
    let printed = watch.finish();
    let outcome = outcome?;
    printed?;
    if output.json {
        output.document(&document(args, strategy.name(), &outcome, &model, source))?;
    } else if !outcome.is_empty() {
        show(output, &outcome)?;
    }
    match outcome.stop_reason {
        StopReason::Cancelled => Err(Failure::quiet(Code::Interrupted)),
        reason if outcome.is_empty() => {
            Err(Failure::new(Code::Nothing, format!("nothing could be produced within the budget ({reason})")))
        }
        _ => Ok(()),
    }
}

fn show(output: &Output, outcome: &Outcome) -> Result<(), Failure> {
    let answer = outcome.answer.as_deref().unwrap_or("none");
    if output.quiet {
        return output.line(&escape(answer));
    }
    output.line("")?;
    output.line(escape(&outcome.text).trim_end())?;
    output.line("")?;
    for candidate in &outcome.candidates {
        let votes = format!("{:>3} {}", candidate.votes, if candidate.votes == 1 { "vote " } else { "votes" });
        let bar = "#".repeat(candidate.votes.min(60));
        output.line(&format!("{votes}  {:<12} {}", escape(&candidate.answer), output.paint(Style::Dim, &bar)))?;
    }
    output.line(&format!("answer: {}", output.paint(Style::Good, &escape(answer))))?;
    let (usage, reason) = (&outcome.usage, outcome.stop_reason);
    let seconds = usage.wall.as_secs_f64();
    let tokens = usage.policy_tokens;
    output.note(Style::Dim, &format!("{tokens} tokens in {} passes, {seconds:.2} s ({reason})", usage.forward_passes));
    Ok(())
}

fn document(args: &Args, strategy: &str, outcome: &Outcome, model: &Loaded, width: width::Source) -> serde_json::Value {
    let usage = &outcome.usage;
    let candidates = outcome.candidates.iter().map(|c| json!({"answer": c.answer, "votes": c.votes, "score": c.score}));
    json!({
        "answer": outcome.answer,
        "text": outcome.text,
        "score": outcome.score,
        "stop_reason": outcome.stop_reason.name(),
        "algo": outcome.algo.name(),
        "strategy": strategy,
        "seed": outcome.seed,
        "candidates": candidates.collect::<Vec<_>>(),
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "policy_tokens": usage.policy_tokens,
            "reward_tokens": 0,
            "recomputed_tokens": usage.recomputed_tokens,
            "forward_passes": usage.forward_passes,
            "wall_ms": usage.wall.as_secs_f64() * 1e3,
            "kv_peak_bytes": usage.kv_peak_bytes,
            "peak_bytes": usage.peak_bytes,
            "joules": null,
            "joules_source": null,
        },
        "free_width": model.engine.info().free_width,
        "free_width_source": width.name(),
        "model": model.document(&args.model.source.name()),
    })
}
