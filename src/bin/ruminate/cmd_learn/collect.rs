//! `learn collect`: labelled steps, of the model's own samples or of a published set.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use ruminate::engine::{SamplerParams, Tap};
use ruminate::learn::{self, CollectParams};
use ruminate::reason::Strategy;
use ruminate::search::SearchParams;
use serde_json::json;

use super::label_args::LabelArgs;
use super::readings::Readings;
use super::rollouts::{PairSettings, Rollouts, Settings};
use super::step_file::{Collected, StepFile};
use crate::dataset::steps::StepSet;
use crate::dataset::{self, Dataset, SetFormat};
use crate::exit::{Code, Failure};
use crate::judge_args::JudgeArgs;
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style};
use crate::strategy_args::StrategyArgs;
use crate::{input, signal, size, width};

/// Keep the hidden states of labelled steps, for `learn head`.
///
/// Of a question set, solutions are sampled and their steps labelled by what becomes of them. A published set of labelled steps
/// (PRM800K, Math-Shepherd, OmegaPRM) is read by the model as if it had written the steps itself. The file grows question by question;
/// a run that was stopped goes on where it left off. Files of one model can be fitted on together.
#[derive(clap::Args)]
pub struct CollectArgs {
    /// The question set, as `eval` reads it, or the set of labelled steps.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its format; without it, what its first row shows.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum)]
    format: Option<SetFormat>,
    /// Rows from A on, B left out, counted from 0; all without it.
    #[arg(long, env = "RUMINATE_ROWS", value_name = "A..B", value_parser = dataset::rows)]
    rows: Option<Range<usize>>,
    /// The i-th of n parts of the rows, i from 0: parts can be collected on several machines.
    #[arg(long, env = "RUMINATE_SHARD", value_name = "I/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// The file of labelled steps.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: PathBuf,
    /// Where hidden states are read: layers counted from 0, and `final` for the state after the final norm. Without it, a layer
    /// two thirds up and `final`.
    #[arg(long, env = "RUMINATE_TAPS", value_name = "LAYER,…", value_delimiter = ',', value_parser = tap)]
    taps: Vec<Tap>,
    #[command(flatten)]
    labels: LabelArgs,
    /// Also write preference pairs for `learn dpo`: of every question right solutions against wrong ones, or with --judge those that
    /// it values against those that it does not.
    #[arg(long, env = "RUMINATE_PAIRS", value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Pairs of one question, at most.
    #[arg(long, env = "RUMINATE_PAIRS_PER_QUESTION", value_name = "N", default_value_t = 4, requires = "pairs")]
    pairs_per_question: usize,
    /// What the chosen side of a pair is worth more, at least, from 0 to 1; 0.5 without it, with --judge 0.1.
    #[arg(long, env = "RUMINATE_PAIRS_GAP", value_name = "X", requires = "pairs", value_parser = gap)]
    pairs_gap: Option<f64>,
    /// Also write every solution as a JSON line: its steps with their texts and labels.
    #[arg(long, env = "RUMINATE_TRAJECTORIES", value_name = "FILE")]
    trajectories: Option<PathBuf>,
    #[command(flatten)]
    judge: JudgeArgs,
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
    if args.pairs.is_none() && !args.judge.judge.is_empty() {
        return Err(Failure::usage("--judge orders pairs: give --pairs too"));
    }
    let labelled = match args.format {
        Some(SetFormat::Questions(_)) => None,
        Some(SetFormat::Steps(format)) => StepSet::open(&args.file, Some(format))?,
        None => StepSet::open(&args.file, None)?,
    };
    match labelled {
        Some(set) => args.read(&set, output),
        None => args.sample(output),
    }
}

impl CollectArgs {
    /// Steps of a published set.
    fn read(&self, set: &StepSet, output: &Output) -> Result<(), Failure> {
        if self.pairs.is_some() || self.trajectories.is_some() || self.labels.given() {
            let name = set.format.name();
            return Err(Failure::usage(format!(
                "{name} has labels of its own: --pairs, --trajectories and --labels are for question sets"
            )));
        }
        let numbers = self.numbers(set.len)?;
        let strategy = self.strategy.choose_prompt(self.model.source.model.is_some())?;
        let mut model = self.model.load()?;
        let mut readings = Readings::open(&self.out, set, &*strategy, &self.taps, &model)?;
        let start = Instant::now();
        let finished = readings.run(&mut model, &numbers, &signal::token(), output)?;
        self.show(&readings.file, (start.elapsed().as_secs_f64(), finished), &model, output)
    }

    /// Steps of the model's own solutions.
    fn sample(&self, output: &Output) -> Result<(), Failure> {
        let text = input::file(&self.file)?;
        let format = self.format.and_then(SetFormat::questions);
        let data = Dataset::parse(&text, format);
        let data = data.map_err(|e| Failure::data(format!("{}: {e}", self.file.display())))?;
        let numbers = self.numbers(data.questions.len())?;
        let strategy = self.strategy.choose_prompt(self.model.source.model.is_some() && !data.format.is_puzzle())?;
        let params = CollectParams { search: self.params(&*strategy), labels: self.labels.labels() };
        params.search.validate()?;
        let mut model = self.model.load()?;
        model.judge = self.judge.load(&model)?;
        let cancel = signal::token();
        let lanes = width::Lanes { width: self.width, branches: self.n, wall: None };
        width::settle(&mut model, &lanes, &cancel, output);
        let judge = self.judge.record();
        let pairs = self.pairs.as_deref().map(|path| PairSettings {
            path,
            most: self.pairs_per_question,
            gap: self.pairs_gap,
            judge: judge.as_deref(),
        });
        let settings = Settings {
            strategy: &*strategy,
            params: &params,
            taps: &self.taps,
            pairs,
            trajectories: self.trajectories.as_deref(),
        };
        let mut rollouts = Rollouts::open(&self.out, &text, &data, settings, &model)?;
        let start = Instant::now();
        let finished = rollouts.run(&mut model, numbers, &cancel, output)?;
        self.show(&rollouts.file, (start.elapsed().as_secs_f64(), finished), &model, output)
    }

    fn show(
        &self,
        file: &StepFile,
        (seconds, finished): (f64, bool),
        model: &Loaded,
        output: &Output,
    ) -> Result<(), Failure> {
        let Collected { questions, rows, samples, right, empty, pairs } = file.collected;
        if output.json {
            output.document(&json!({
                "file": self.out.display().to_string(),
                "finished": finished,
                "questions": questions,
                "questions_in_file": file.rows.questions(),
                "questions_without_steps": empty,
                "rows": rows,
                "samples": samples,
                "right": right,
                "pairs": pairs,
                "seconds": seconds,
                "taps": file.origin.taps.iter().map(|&tap| learn::tap_name(tap)).collect::<Vec<_>>(),
                "model": model.document(&self.model.source.name()),
            }))?;
        } else {
            let share = 100.0 * right as f64 / samples.max(1) as f64;
            output.line(&format!("{questions} questions, {samples} samples ({share:.1} % right), {rows} steps"))?;
            if let Some(path) = &self.pairs {
                output.line(&format!("{}: {pairs} pairs", path.display()))?;
            }
            let bytes = std::fs::metadata(&self.out).map_or(0, |file| file.len());
            let n = file.rows.questions();
            output.line(&format!("{}: {n} questions, {}", self.out.display(), size::show(bytes)))?;
            output.note(Style::Dim, &format!("{:.2} questions per second", questions as f64 / seconds.max(1e-9)));
        }
        if finished { Ok(()) } else { Err(Failure::quiet(Code::Interrupted)) }
    }

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

/// A share from 0 to 1.
fn gap(text: &str) -> Result<f64, String> {
    let gap = text.trim().parse().ok().filter(|gap| (0.0..=1.0).contains(gap));
    gap.ok_or_else(|| "write a number from 0 to 1".to_owned())
}

fn tap(text: &str) -> Result<Tap, String> {
    match text.trim() {
        "final" => Ok(Tap::Final),
        layer => layer.parse().map(Tap::Layer).map_err(|_| format!("{layer:?} is no layer; or write `final`")),
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
        assert_eq!([Tap::Layer(3), Tap::Final].map(learn::tap_name), ["3", "final"]);
    }
}
