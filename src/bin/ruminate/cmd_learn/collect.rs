//! `learn collect`: labelled steps of samples of questions with known answers.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use ruminate::engine::{SamplerParams, Tap};
use ruminate::learn;
use ruminate::reason::Strategy;
use ruminate::search::SearchParams;
use serde_json::json;

use super::rollouts::{Collected, Rollouts, Settings};
use crate::dataset::{self, Dataset, Format};
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style};
use crate::strategy_args::StrategyArgs;
use crate::{input, signal, size, width};

/// Sample solutions of a question set and keep every step's hidden states, labelled with the solution's outcome.
///
/// The file grows question by question; a run that was stopped goes on where it left off. Files of one model can be fitted on
/// together.
#[derive(clap::Args)]
pub struct CollectArgs {
    /// The question set, as `eval` reads it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its format; without it, what its first row shows.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum)]
    format: Option<Format>,
    /// Rows from A on, B left out, counted from 0; all without it.
    #[arg(long, env = "RUMINATE_ROWS", value_name = "A..B", value_parser = dataset::rows)]
    rows: Option<Range<usize>>,
    /// The i-th of n parts of the rows, i from 0: parts can be collected on several machines.
    #[arg(long, env = "RUMINATE_SHARD", value_name = "I/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// The file of labelled steps.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: PathBuf,
    /// Also write preference pairs for `learn dpo`: of every question right solutions against wrong ones.
    #[arg(long, env = "RUMINATE_PAIRS", value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Pairs of one question, at most.
    #[arg(long, env = "RUMINATE_PAIRS_PER_QUESTION", value_name = "N", default_value_t = 4, requires = "pairs")]
    pairs_per_question: usize,
    /// Where hidden states are read: layers counted from 0, and `final` for the state after the final norm. Without it, a layer
    /// two thirds up and `final`.
    #[arg(long, env = "RUMINATE_TAPS", value_name = "LAYER,…", value_delimiter = ',', value_parser = tap)]
    taps: Vec<Tap>,
    /// Samples of every question.
    #[arg(long, env = "RUMINATE_N", value_name = "N", default_value_t = 16)]
    n: usize,
    #[command(flatten)]
    strategy: StrategyArgs,
    /// Samples decoded at once, at most; measured without it.
    #[arg(long, env = "RUMINATE_WIDTH", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    width: Option<usize>,
    /// Tokens of one sample, at most.
    #[arg(long, env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    max_tokens: u64,
    /// Temperature.
    #[arg(long, env = "RUMINATE_TEMP", value_name = "T", default_value_t = 0.8)]
    temp: f32,
    /// Draw among the fewest tokens whose probabilities add up to P.
    #[arg(long, env = "RUMINATE_TOP_P", value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the random numbers.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: &CollectArgs, output: &Output) -> Result<(), Failure> {
    if args.out == args.file {
        return Err(Failure::usage("--out names the question set itself"));
    }
    let text = input::file(&args.file)?;
    let data = Dataset::parse(&text, args.format);
    let data = data.map_err(|e| Failure::data(format!("{}: {e}", args.file.display())))?;
    let numbers = args.numbers(data.questions.len())?;
    let strategy = args.strategy.choose(args.model.source.model.is_some() && !data.format.is_puzzle())?;
    let params = args.params(&*strategy);
    params.validate()?;
    let mut model = args.model.load()?;
    let cancel = signal::token();
    let lanes = width::Lanes { width: args.width, branches: args.n, wall: None };
    width::settle(&mut model, &lanes, &cancel, output);
    let settings = Settings {
        strategy: &*strategy,
        params: &params,
        taps: &args.taps,
        pairs: args.pairs.as_deref().map(|path| (path, args.pairs_per_question)),
    };
    let mut rollouts = Rollouts::open(&args.out, &text, &data, settings, &model)?;
    let start = Instant::now();
    let finished = rollouts.run(&mut model, numbers, &cancel, output)?;
    let seconds = start.elapsed().as_secs_f64();
    show(args, &rollouts, (seconds, finished), &model, output)?;
    if finished { Ok(()) } else { Err(Failure::quiet(Code::Interrupted)) }
}

fn show(
    args: &CollectArgs,
    rollouts: &Rollouts<'_>,
    (seconds, finished): (f64, bool),
    model: &Loaded,
    output: &Output,
) -> Result<(), Failure> {
    let Collected { questions, rows, samples, right, too_long, pairs } = rollouts.collected;
    if output.json {
        return output.document(&json!({
            "file": args.out.display().to_string(),
            "finished": finished,
            "questions": questions,
            "questions_in_file": rollouts.rows.questions(),
            "questions_too_long": too_long,
            "rows": rows,
            "samples": samples,
            "right": right,
            "pairs": pairs,
            "seconds": seconds,
            "taps": rollouts.origin.taps.iter().map(tap_name).collect::<Vec<_>>(),
            "model": model.document(&args.model.source.name()),
        }));
    }
    let share = 100.0 * right as f64 / samples.max(1) as f64;
    output.line(&format!("{questions} questions, {samples} samples ({share:.1} % right), {rows} steps"))?;
    if let Some(path) = &args.pairs {
        output.line(&format!("{}: {pairs} pairs", path.display()))?;
    }
    let bytes = std::fs::metadata(&args.out).map_or(0, |file| file.len());
    output.line(&format!("{}: {} questions, {}", args.out.display(), rollouts.rows.questions(), size::show(bytes)))?;
    output.note(Style::Dim, &format!("{:.2} questions per second", questions as f64 / seconds.max(1e-9)));
    Ok(())
}

impl CollectArgs {
    /// The chosen rows of a set of `n`.
    fn numbers(&self, n: usize) -> Result<Vec<usize>, Failure> {
        let chosen = dataset::within(self.rows.clone().unwrap_or(0..n), n)?;
        let (part, parts) = self.shard.unwrap_or((0, 1));
        Ok(chosen.filter(|number| number % parts == part).collect())
    }

    fn params(&self, strategy: &dyn Strategy) -> SearchParams {
        let sampler = SamplerParams { temperature: self.temp, top_p: self.top_p, ..SamplerParams::default() };
        let params = learn::sampling(self.n, sampler, self.max_tokens, self.seed);
        SearchParams { stop_at_answer: strategy.stop_at_answer(), ..params }
    }
}

fn tap(text: &str) -> Result<Tap, String> {
    match text.trim() {
        "final" => Ok(Tap::Final),
        layer => layer.parse().map(Tap::Layer).map_err(|_| format!("{layer:?} is no layer; or write `final`")),
    }
}

fn tap_name(tap: &Tap) -> String {
    match tap {
        Tap::Layer(i) => i.to_string(),
        Tap::Final => "final".to_owned(),
    }
}

/// `I/N`, I below N.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
    parts.filter(|(i, n): &(usize, usize)| i < n).ok_or_else(|| "write I/N with I below N, such as 0/4".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_taps_are_read() {
        assert_eq!((shard("0/4"), shard("3 / 4")), (Ok((0, 4)), Ok((3, 4))));
        assert!(["", "4/4", "1", "0/0", "-1/2", "a/b"].iter().all(|bad| shard(bad).is_err()));
        assert_eq!((tap("final"), tap(" 3")), (Ok(Tap::Final), Ok(Tap::Layer(3))));
        assert!(tap("-1").is_err() && tap("last").is_err());
        assert_eq!([Tap::Layer(3), Tap::Final].iter().map(tap_name).collect::<Vec<_>>(), ["3", "final"]);
    }
}
