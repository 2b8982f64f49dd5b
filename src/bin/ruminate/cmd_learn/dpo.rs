//! `learn dpo`: an adapter from preferences.

use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use ruminate::engine::native::NativeOptions;
use ruminate::exec::Team;
use ruminate::learn::preference::{Measured, Trainer};
use ruminate::model::{Adapter, Model};
use ruminate::observe::Interrupt;
use ruminate::simd::Isa;
use ruminate::text::Tokenizer;
use ruminate::{ErrorKind, Limits};
use serde_json::{Value, json};

use super::limit_args::LimitArgs;
use super::train_args::TrainArgs;
use super::training::{self, Training};
use crate::exit::{Code, Failure};
use crate::output::{Output, Style};
use crate::source::SourceArgs;
use crate::{process, signal, size};

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
    /// A JSON line for every step, for `learn report`.
    #[arg(long, env = "RUMINATE_LOG", value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    limit: LimitArgs,
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
    let (examples, digest) = training::load(&args.files, &tokenizer)?;
    let test = args.test.as_ref().map(|path| training::load(std::slice::from_ref(path), &tokenizer)).transpose()?;
    let test = test.map_or_else(Vec::new, |(examples, _)| examples);
    let from = args.from.as_ref().map(|path| Adapter::open(path, model.config(), &limits)).transpose()?;
    let threads = args.threads.unwrap_or(NativeOptions::default().threads);
    let team = Team::new(threads)?;
    let n_ctx = args.ctx.unwrap_or(model.config().n_ctx_train).min(model.config().n_ctx_train);
    let given = examples.len();
    let trainer = Trainer::new(&model, &team, Isa::detect(), n_ctx, params, examples, from)?;
    let state = args.state.clone().unwrap_or_else(|| beside(&args.out));
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    let mut training = Training::open(trainer, state, digest, args.log.clone(), interrupt, output)?;
    let before = training.measure(&test)?;
    let mut stopped = training.run(args.limit.limit(), output)?;
    let after = match stopped {
        "cancelled" => None,
        _ => training.measure(&test).or_else(|error| match error.kind() {
            // The steps are done: the adapter is saved without the figures.
            ErrorKind::Cancelled => {
                stopped = "cancelled";
                Ok(None)
            }
            _ => Err(error),
        })?,
    };
    training.save_adapter(&args.out)?;
    if stopped == "finished" {
        training.remove_state()?;
    }
    args.show(&training, given, (before, after), stopped, output)?;
    if stopped == "cancelled" { Err(Failure::quiet(Code::Interrupted)) } else { Ok(()) }
}

impl DpoArgs {
    fn show(
        &self,
        training: &Training<'_>,
        given: usize,
        (before, after): (Option<Measured>, Option<Measured>),
        stopped: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        let peak = process::peak_resident_bytes();
        let (trainer, seconds) = (&training.trainer, training.wall.as_secs_f64());
        let (done, steps) = (trainer.step_count(), trainer.steps());
        let per_second = training.tokens as f64 / seconds.max(1e-9);
        let parameters = trainer.adapter().parameters();
        if output.json {
            let measured = |m: &Option<Measured>| serde_json::to_value(m).unwrap_or(Value::Null);
            return output.document(&json!({
                "file": self.out.display().to_string(),
                "stopped": stopped,
                "loss": self.train.loss()?.name(),
                "steps": done,
                "steps_of_run": steps,
                "examples": trainer.n_examples(),
                "examples_too_long": given - trainer.n_examples(),
                "parameters": parameters,
                "last_step": training.last,
                "test_before": measured(&before),
                "test_after": measured(&after),
                "seconds": seconds,
                "tokens_per_second": per_second,
                "joules": training.joules.joules,
                "joules_source": training.joules.source.name(),
                "peak_rss_bytes": peak,
                "model": self.source.name(),
            }));
        }
        if let Some(last) = &training.last {
            output.line(&describe("last step", &last.measured))?;
        }
        for (name, measured) in [("test before", before), ("test after", after)] {
            if let Some(measured) = measured {
                output.line(&describe(name, &measured))?;
            }
        }
        let left_out = given - trainer.n_examples();
        output.line(&format!(
            "{}: {parameters} numbers, step {done} of {steps}, {} examples ({left_out} too long), {stopped}",
            self.out.display(),
            trainer.n_examples()
        ))?;
        let peak = peak.map_or_else(String::new, |peak| format!(", peak memory {}", size::show(peak)));
        let (joules, source) = (training.joules.joules, training.joules.source.name());
        let spent = format!("{seconds:.1} s, {per_second:.0} tokens per second, {joules:.0} J {source}{peak}");
        output.note(Style::Dim, &spent);
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

/// Where the run of an adapter at `out` is saved.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".state");
    out.with_file_name(name)
}
