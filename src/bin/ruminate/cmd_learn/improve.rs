//! `learn improve`: rounds of sampling and training that keep what helps.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ruminate::engine::{Engine, SamplerParams, Stream};
use ruminate::exec::Team;
use ruminate::learn::{self, CollectParams, FitParams, Labels, Table};
use ruminate::model::Adapter;
use ruminate::observe::{CancelToken, Interrupt, Silent};
use ruminate::reason::Strategy;
use ruminate::search::SearchParams;
use ruminate::{ErrorKind, Limits};
use serde::Serialize;
use serde_json::{Value, json};

use super::held_out::{Accuracy, HeldOut, VOTERS};
use super::rollouts::{PairSettings, Rollouts, Settings};
use super::step_file;
use super::train_args::TrainArgs;
use super::training::{self, Limit, Training};
use crate::dataset::{self, Dataset, Format};
use crate::eval::mcnemar;
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style, write_file};
use crate::strategy_args::StrategyArgs;
use crate::{input, provenance, signal, width};

/// Teach the model what its own samples show, and keep only what helps.
///
/// Each round samples the questions with the adapter so far, trains the adapter on right solutions against wrong ones, and puts the
/// held-out questions to the old adapter and to the new one. The new one is kept if it answers no fewer of them. Everything lies in the
/// --out folder, and a run that was stopped goes on there. A round also fits a reward head on its steps, head.gguf, for `solve --judge
/// head=FILE` with the adapter that it sampled with; the rounds decide nothing by it.
#[derive(clap::Args)]
pub struct ImproveArgs {
    /// Questions with known answers to learn from, as `eval` reads them.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Questions that nothing is learned from: they decide whether a round is kept.
    #[arg(long, env = "RUMINATE_HELD_OUT", value_name = "FILE")]
    held_out: PathBuf,
    /// The format of both; without it, what their first rows show.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum)]
    format: Option<Format>,
    /// Rows to learn from; all without it.
    #[arg(long, env = "RUMINATE_ROWS", value_name = "A..B", value_parser = dataset::rows)]
    rows: Option<Range<usize>>,
    /// Held-out rows; all without it.
    #[arg(long, env = "RUMINATE_HELD_OUT_ROWS", value_name = "A..B", value_parser = dataset::rows)]
    held_out_rows: Option<Range<usize>>,
    /// The folder for everything that is made.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FOLDER")]
    out: PathBuf,
    /// Rounds.
    #[arg(long, env = "RUMINATE_ROUNDS", value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// Samples of every question.
    #[arg(long, env = "RUMINATE_N", value_name = "N", default_value_t = 16)]
    n: usize,
    /// Pairs of one question, at most.
    #[arg(long, env = "RUMINATE_PAIRS_PER_QUESTION", value_name = "N", default_value_t = 4)]
    pairs_per_question: usize,
    /// Tokens of one sample, at most.
    #[arg(long, env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    max_tokens: u64,
    /// Temperature of the samples.
    #[arg(long, env = "RUMINATE_TEMP", value_name = "T", default_value_t = 0.8)]
    temp: f32,
    /// Seed of the samples.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    strategy: StrategyArgs,
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What one round came to.
#[derive(Debug, Clone, Serialize)]
struct Round {
    round: usize,
    samples_right: f64,
    pairs: usize,
    /// Figures of the head on questions that it was not fitted on; none where it could not be fitted.
    head: Value,
    training: Value,
    before: Accuracy,
    after: Accuracy,
    /// McNemar's exact p of the greedy answers.
    p: f64,
    kept: bool,
    seconds: f64,
}

pub fn run(args: &ImproveArgs, output: &Output) -> Result<(), Failure> {
    if !args.model.adapters.is_empty() {
        return Err(Failure::usage("improve begins with the model alone; leave --adapter out"));
    }
    let text = input::file(&args.file)?;
    let train = Dataset::parse(&text, args.format);
    let train = train.map_err(|e| Failure::data(format!("{}: {e}", args.file.display())))?;
    let held_out = Dataset::load(&args.held_out, args.format)?;
    let puzzle = train.format.is_puzzle() || held_out.format.is_puzzle();
    let strategy = args.strategy.choose_prompt(args.model.source.model.is_some() && !puzzle)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|e| Failure::new(Code::Failure, format!("{}: {e}", args.out.display())))?;
    let loss = args.train.loss()?;
    args.train.params(loss).validate()?;
    if loss.takes_singles() {
        return Err(Failure::usage("improve trains on pairs, which --loss kto does not take"));
    }
    let train_rows = dataset::within(args.rows.clone().unwrap_or(0..train.questions.len()), train.questions.len())?;
    let mut model = args.model.load()?;
    let cancel = signal::token();
    let lanes = width::Lanes { width: None, branches: args.n.max(VOTERS), wall: None };
    width::settle(&mut model, &lanes, &cancel, output);
    let n = held_out.questions.len();
    let held_out = HeldOut {
        questions: &held_out.questions,
        rows: dataset::within(args.held_out_rows.clone().unwrap_or(0..n), n)?,
        strategy: &*strategy,
        temp: args.temp,
        max_tokens: args.max_tokens,
        seed: args.seed,
    };
    let both = held_out.questions.get(held_out.rows.clone()).into_iter().flatten();
    let learned: HashSet<&str> =
        train.questions.get(train_rows).into_iter().flatten().map(|question| question.text.as_str()).collect();
    if let Some(question) = both.map(|question| question.text.as_str()).find(|text| learned.contains(text)) {
        return Err(Failure::usage(format!("a held-out question is among those to learn from: {question:?}")));
    }
    let rounds = Rounds { args, strategy: &*strategy, text: &text, train: &train, held_out: &held_out, cancel, output };
    rounds.check_settings(&model)?;
    let rounds = rounds.run(&mut model)?;
    if output.json {
        return output.document(&document(args, &model, &rounds));
    }
    for round in &rounds {
        let Round { before, after, p, kept, .. } = round;
        output.line(&format!(
            "round {}: {:.1} % of the samples right, {} pairs; greedy {:.1} % -> {:.1} % (p {p:.2}), majority of {VOTERS} \
             {:.1} % -> {:.1} %: {}",
            round.round,
            100.0 * round.samples_right,
            round.pairs,
            100.0 * before.greedy,
            100.0 * after.greedy,
            100.0 * before.majority,
            100.0 * after.majority,
            if *kept { "kept" } else { "rolled back" }
        ))?;
    }
    if rounds.iter().any(|round| round.kept) {
        let file = args.out.join("adapter.gguf");
        output.note(Style::Dim, &format!("use it with --adapter {}", file.display()));
    }
    Ok(())
}

struct Rounds<'a> {
    args: &'a ImproveArgs,
    strategy: &'a dyn Strategy,
    /// The training questions' file.
    text: &'a str,
    train: &'a Dataset,
    held_out: &'a HeldOut<'a>,
    cancel: CancelToken,
    output: &'a Output,
}

impl Rounds<'_> {
    /// Refuses a folder in which a run was begun with other settings; writes them into a new one.
    fn check_settings(&self, model: &Loaded) -> Result<(), Failure> {
        let args = self.args;
        let settings = json!({
            "model": model.network()?.fingerprint(),
            "data": provenance::digest(self.text),
            "prompt": provenance::prompt_digest(self.strategy),
            "rows": args.rows.as_ref().map(|rows| [rows.start, rows.end]),
            "n": args.n,
            "pairs_per_question": args.pairs_per_question,
            "max_tokens": args.max_tokens,
            "temp": args.temp.to_string(),
            "seed": args.seed,
            "train": args.train.params(args.train.loss()?),
        });
        let path = args.out.join("settings.json");
        if !path.exists() {
            return save(&path, &settings);
        }
        let old: Value = serde_json::from_str(&input::file(&path)?)
            .map_err(|e| Failure::data(format!("{}: {e}", path.display())))?;
        provenance::check_same(&old, &settings).map_err(|e| Failure::usage(format!("{} {e}", args.out.display())))
    }

    fn run(&self, model: &mut Loaded) -> Result<Vec<Round>, Failure> {
        let mut best: Option<Adapter> = None;
        let mut before = self.held_out.measure(model, "held-out questions, before", &self.cancel, self.output)?;
        let mut rounds = Vec::new();
        for number in 1..=self.args.rounds {
            let start = Instant::now();
            let folder = self.args.out.join(format!("round-{number}"));
            std::fs::create_dir_all(&folder)
                .map_err(|e| Failure::new(Code::Failure, format!("{}: {e}", folder.display())))?;
            let (samples_right, pairs) = self.sample(model, &folder, number)?;
            let head = self.fit(model, &folder)?;
            if pairs == 0 {
                let message = format!("round {number}: no question has right and wrong samples; nothing to train on");
                self.output.note(Style::Dim, &message);
                break;
            }
            let (adapter, training) = self.train(model, &folder, best.clone())?;
            model.engine.set_adapters(&[(Arc::new(adapter.clone()), 1.0)])?;
            let after = self.held_out.measure(model, "held-out questions, after", &self.cancel, self.output)?;
            let lost = before.right.iter().zip(&after.right).filter(|&(&b, &a)| b && !a).count();
            let gained = before.right.iter().zip(&after.right).filter(|&(&b, &a)| !b && a).count();
            let kept = gained >= lost;
            rounds.push(Round {
                round: number,
                samples_right,
                pairs,
                head,
                training,
                before: before.clone(),
                after: after.clone(),
                p: mcnemar(lost, gained),
                kept,
                seconds: start.elapsed().as_secs_f64(),
            });
            save(&self.args.out.join("improve.json"), &document(self.args, model, &rounds))?;
            if kept {
                adapter.save(&self.args.out.join("adapter.gguf"))?;
                (best, before) = (Some(adapter), after);
            } else {
                let old: Vec<_> = best.iter().map(|adapter| (Arc::new(adapter.clone()), 1.0)).collect();
                model.engine.set_adapters(&old)?;
            }
        }
        Ok(rounds)
    }

    /// Samples of all questions; the share of right ones, and the pairs.
    fn sample(&self, model: &mut Loaded, folder: &Path, round: usize) -> Result<(f64, usize), Failure> {
        let sampler = SamplerParams { temperature: self.args.temp, ..SamplerParams::default() };
        // Every round draws other samples, also after one that was rolled back.
        let seed = Stream::new(self.args.seed).bits(round as u64);
        let params = learn::sampling(self.args.n, sampler, self.args.max_tokens, seed);
        let search = SearchParams { stop_at_answer: self.strategy.stop_at_answer(), ..params };
        let params = CollectParams { search, labels: Labels::Outcome };
        let numbers = dataset::within(
            self.args.rows.clone().unwrap_or(0..self.train.questions.len()),
            self.train.questions.len(),
        )?;
        let pairs = folder.join("pairs.jsonl");
        let most = self.args.pairs_per_question;
        let pairs = Some(PairSettings { path: &pairs, most, gap: None, judge: None });
        let settings = Settings { strategy: self.strategy, params: &params, taps: &[], pairs, trajectories: None };
        let mut rollouts = Rollouts::open(&folder.join("steps.rows"), self.text, self.train, settings, model)?;
        if !rollouts.run(model, numbers.collect(), &self.cancel, self.output)? {
            return Err(Failure::quiet(Code::Interrupted));
        }
        let pairs = training::read(&folder.join("pairs.jsonl"))?;
        Ok((step_file::share_right(&folder.join("steps.rows"))?, pairs.len()))
    }

    fn fit(&self, model: &Loaded, folder: &Path) -> Result<Value, Failure> {
        let table = Table::load(&[folder.join("steps.rows").as_path()])?;
        let team = Team::new(model.options.threads)?;
        let params = FitParams { objective: Some(learn::Objective::Step), ..FitParams::default() };
        match learn::fit(&table, None, &params, &team, &mut Silent, &self.interrupt()) {
            Ok((head, report)) => {
                head.save(&folder.join("head.gguf"))?;
                serde_json::to_value(&report.test_figures).map_err(|e| Failure::new(Code::Failure, e.to_string()))
            }
            // Too few questions, or all samples alike: training goes on without a head.
            Err(error) if error.kind() == ErrorKind::InvalidArgument => Ok(json!({ "none": error.to_string() })),
            Err(error) => Err(error.into()),
        }
    }

    fn train(&self, model: &Loaded, folder: &Path, best: Option<Adapter>) -> Result<(Adapter, Value), Failure> {
        let file = folder.join("adapter.gguf");
        let base = model.network()?;
        if file.exists() {
            return Ok((Adapter::open(&file, base.config(), &Limits::default())?, Value::Null));
        }
        let params = self.args.train.params(self.args.train.loss()?);
        let (examples, digest) = training::load(&[folder.join("pairs.jsonl")], &model.tokenizer)?;
        let team = Team::new(model.options.threads)?;
        let n_ctx = model.engine.info().n_ctx;
        let trainer = learn::preference::Trainer::new(base, &team, model.options.isa, n_ctx, params, examples, best)?;
        let log = Some(folder.join("training.jsonl"));
        let mut training =
            Training::open(trainer, folder.join("training.state"), digest, log, self.interrupt(), self.output)?;
        if training.run(Limit::default(), self.output)? == "cancelled" {
            return Err(Failure::quiet(Code::Interrupted));
        }
        training.save_adapter(&file)?;
        training.remove_state()?;
        // As the file holds it, so that a run that goes on later has the same numbers.
        let adapter = Adapter::open(&file, base.config(), &Limits::default())?;
        Ok((adapter, serde_json::to_value(training.last).unwrap_or_default()))
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt { cancel: self.cancel.clone(), deadline: None }
    }
}

fn document(args: &ImproveArgs, model: &Loaded, rounds: &[Round]) -> Value {
    json!({ "rounds": rounds, "model": model.document(&args.model.source.name()) })
}

fn save(path: &Path, document: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(|e| Failure::new(Code::Failure, e.to_string()))?;
    write_file(path, &text)
}
