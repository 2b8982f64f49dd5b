//! `learn dpo`: an adapter from preferences.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::RangedU64ValueParser;
use ruminate::exec::Team;
use ruminate::learn::preference::{Example, Loss, Measured, Preference, StepReport, Trainer};
use ruminate::model::{Adapter, Model};
use ruminate::observe::Interrupt;
use ruminate::simd::Isa;
use ruminate::text::Tokenizer;
use ruminate::{ErrorKind, Limits};
use serde_json::{Value, json};

use super::train_args::TrainArgs;
use crate::exit::{Code, Failure};
use crate::output::{Output, Style};
use crate::source::SourceArgs;
use crate::{input, process, signal, size};

/// Train an adapter on preferences: DPO and its kin.
///
/// The files hold a JSON object a line: `prompt`, `chosen`, `rejected`, or for --loss kto `prompt`, `completion`, `label`. The run is
/// saved on the way, and one that was stopped goes on where it left off.
#[derive(clap::Args)]
pub struct DpoArgs {
    /// Files of preferences.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Preferences to measure on, before and after.
    #[arg(long, env = "RUMINATE_TEST", value_name = "FILE")]
    test: Option<PathBuf>,
    /// The adapter's file, in llama.cpp's format.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: PathBuf,
    /// An adapter to go on from; its rank and matrices stay.
    #[arg(long, env = "RUMINATE_FROM", value_name = "FILE")]
    from: Option<PathBuf>,
    /// Where the run is saved; beside the adapter without it.
    #[arg(long, env = "RUMINATE_STATE", value_name = "FILE")]
    state: Option<PathBuf>,
    /// Steps between saves.
    #[arg(long, env = "RUMINATE_SAVE_EVERY", value_name = "N", default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    save_every: u64,
    /// A JSON line for every step.
    #[arg(long, env = "RUMINATE_LOG", value_name = "FILE")]
    log: Option<PathBuf>,
    /// Stop after this many milliseconds, saved.
    #[arg(long, env = "RUMINATE_BUDGET_MS", value_name = "MS")]
    budget_ms: Option<u64>,
    /// Stop after passes over this many tokens, saved.
    #[arg(long, env = "RUMINATE_BUDGET_TOKENS", value_name = "N")]
    budget_tokens: Option<u64>,
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Tokens of a prompt with its completion, at most; what the model was trained for without it.
    #[arg(long, env = "RUMINATE_CTX", value_name = "N")]
    ctx: Option<usize>,
    /// Threads; all processors without it.
    #[arg(long, short, env = "RUMINATE_THREADS", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
}

pub fn run(args: &DpoArgs, output: &Output) -> Result<(), Failure> {
    let limits = Limits::default();
    let loss = args.train.loss()?;
    let params = args.train.params(loss);
    let gguf = args.source.open()?;
    let tokenizer = Tokenizer::from_gguf(&gguf, &limits)?;
    let model = Model::load(&gguf, &limits)?;
    let (examples, digest) = load(&args.files, &tokenizer)?;
    let test = args.test.as_ref().map(|path| load(std::slice::from_ref(path), &tokenizer)).transpose()?;
    let test = test.map_or_else(Vec::new, |(examples, _)| examples);
    let from = args.from.as_ref().map(|path| Adapter::open(path, model.config(), &limits)).transpose()?;
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let team = Team::new(threads)?;
    let n_ctx = args.ctx.unwrap_or(model.config().n_ctx_train).min(model.config().n_ctx_train);
    let given = examples.len();
    let mut trainer = Trainer::new(&model, &team, Isa::detect(), n_ctx, params, examples, from)?;
    let state = args.state.clone().unwrap_or_else(|| beside(&args.out));
    if state.exists() {
        trainer.resume(&state, &digest)?;
        output.note(Style::Dim, &format!("going on after step {} of {}", trainer.step_count(), trainer.steps()));
    }
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    let mut run = Run { args, loss, trainer, state, digest, interrupt, tokens: 0, last: None };
    let before = run.measure(&test)?;
    let start = Instant::now();
    let stopped = run.train(start, output)?;
    let seconds = start.elapsed().as_secs_f64();
    let after = if stopped == "cancelled" { None } else { run.measure(&test)? };
    run.trainer.adapter().save(&args.out)?;
    if stopped == "finished" && run.state.exists() {
        std::fs::remove_file(&run.state)
            .map_err(|e| Failure::new(Code::Failure, format!("removing {}: {e}", run.state.display())))?;
    }
    run.show(given, before, after, (stopped, seconds), output)?;
    if stopped == "cancelled" { Err(Failure::quiet(Code::Interrupted)) } else { Ok(()) }
}

struct Run<'a> {
    args: &'a DpoArgs,
    loss: Loss,
    trainer: Trainer<'a>,
    state: PathBuf,
    digest: String,
    interrupt: Interrupt,
    /// Tokens of this process's steps.
    tokens: u64,
    last: Option<StepReport>,
}

impl Run<'_> {
    /// Steps until the end or a limit; why it ended.
    fn train(&mut self, start: Instant, output: &Output) -> Result<&'static str, Failure> {
        self.interrupt.deadline = self.args.budget_ms.map(|ms| start + Duration::from_millis(ms));
        let bar = output.count_progress("steps", self.trainer.steps());
        bar.set_position(self.trainer.step_count());
        let stopped = loop {
            if self.args.budget_tokens.is_some_and(|most| self.tokens >= most) {
                break "tokens";
            }
            match self.trainer.step(&self.interrupt) {
                Ok(Some(report)) => {
                    self.tokens += report.measured.tokens as u64;
                    self.log(&report)?;
                    let Measured { loss, accuracy, margin, .. } = report.measured;
                    bar.set_message(format!("loss {loss:.4}, accuracy {accuracy:.2}, margin {margin:+.3},"));
                    bar.inc(1);
                    self.last = Some(report);
                    if report.step % self.args.save_every == 0 {
                        self.trainer.save(&self.state, &self.digest)?;
                    }
                }
                Ok(None) => break "finished",
                Err(error) if error.kind() == ErrorKind::Cancelled => {
                    break if self.interrupt.cancel.is_cancelled() { "cancelled" } else { "deadline" };
                }
                Err(error) => return Err(error.into()),
            }
        };
        bar.finish_and_clear();
        self.trainer.save(&self.state, &self.digest)?;
        self.interrupt.deadline = None;
        Ok(stopped)
    }

    fn measure(&self, test: &[Example]) -> Result<Option<Measured>, Failure> {
        if test.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.trainer.measure(test, &self.interrupt)?))
    }

    fn log(&self, report: &StepReport) -> Result<(), Failure> {
        let Some(path) = &self.args.log else { return Ok(()) };
        let failed = |e: std::io::Error| Failure::new(Code::Failure, format!("{}: {e}", path.display()));
        let line = serde_json::to_string(report).map_err(|e| Failure::new(Code::Failure, e.to_string()))?;
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        writeln!(file, "{line}").map_err(failed)
    }

    fn show(
        &self,
        given: usize,
        before: Option<Measured>,
        after: Option<Measured>,
        (stopped, seconds): (&str, f64),
        output: &Output,
    ) -> Result<(), Failure> {
        let peak = process::peak_resident_bytes();
        let (done, steps) = (self.trainer.step_count(), self.trainer.steps());
        let per_second = self.tokens as f64 / seconds.max(1e-9);
        let parameters = self.trainer.adapter().parameters();
        if output.json {
            let measured = |m: &Option<Measured>| serde_json::to_value(m).unwrap_or(Value::Null);
            return output.document(&json!({
                "file": self.args.out.display().to_string(),
                "stopped": stopped,
                "loss": self.loss.name(),
                "steps": done,
                "steps_of_run": steps,
                "examples": self.trainer.n_examples(),
                "examples_too_long": given - self.trainer.n_examples(),
                "parameters": parameters,
                "last_step": self.last,
                "test_before": measured(&before),
                "test_after": measured(&after),
                "seconds": seconds,
                "tokens_per_second": per_second,
                "peak_rss_bytes": peak,
                "model": self.args.source.name(),
            }));
        }
        if let Some(last) = &self.last {
            output.line(&describe("last step", &last.measured))?;
        }
        for (name, measured) in [("test before", before), ("test after", after)] {
            if let Some(measured) = measured {
                output.line(&describe(name, &measured))?;
            }
        }
        let left_out = given - self.trainer.n_examples();
        output.line(&format!(
            "{}: {parameters} numbers, step {done} of {steps}, {} examples ({left_out} too long), {stopped}",
            self.args.out.display(),
            self.trainer.n_examples()
        ))?;
        let peak = peak.map_or_else(String::new, |peak| format!(", peak memory {}", size::show(peak)));
        output.note(Style::Dim, &format!("{seconds:.1} s, {per_second:.0} tokens per second{peak}"));
        Ok(())
    }
}

fn describe(name: &str, measured: &Measured) -> String {
    let &Measured { loss, accuracy, margin, chosen_logprob, rejected_logprob, log_ratio, .. } = measured;
    format!(
        "{name:<12} loss {loss:.4}  accuracy {accuracy:.3}  margin {margin:+.4}  log-probabilities {chosen_logprob:.2} and \
         {rejected_logprob:.2}  log-ratio per token {log_ratio:+.5}"
    )
}

/// The examples of these files, and a digest of their tokens.
fn load(paths: &[PathBuf], tokenizer: &Tokenizer) -> Result<(Vec<Example>, String), Failure> {
    let mut examples = Vec::new();
    for path in paths {
        let rows = Preference::parse(&input::file(path)?);
        let encoded = rows.and_then(|rows| rows.iter().map(|row| row.encode(tokenizer)).collect::<Result<Vec<_>, _>>());
        examples.extend(encoded.map_err(|e| Failure::from(e.context(path.display())))?);
    }
    let digest = ruminate::learn::preference::digest(&examples);
    Ok((examples, digest))
}

/// Where the run of an adapter at `out` is saved.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".state");
    out.with_file_name(name)
}
