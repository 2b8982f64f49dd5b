//! `reason calibrate`: measures strategies for `--strategy auto`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ruminate::engine::Engine;
use ruminate::observe::Silent;
use ruminate::reason::{ALL, AnyStrategy};
use ruminate::search::Algo;

use crate::ask::{Asked, ParallelArgs, side_by_side};
use crate::calibration::{self, Calibration, Measured};
use crate::dataset::{Dataset, Format, Question};
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::Output;
use crate::search_args::{SearchArgs, Setting};
use crate::{input, signal, width};

/// Measure every strategy on a question set under equal token budgets, for `--strategy auto`.
///
/// Single prompts are measured with the searches `greedy`, `best-of-n` and `auto`, methods as they are. --budget-tokens is needed and
/// takes several values, --n and --budget-ms one; `--strategy auto` goes by the largest that is not above its own. What is measured says
/// how good each is on questions like these: twenty rows tell a good strategy from a bad one, and no more.
#[derive(clap::Args)]
pub struct Args {
    /// The question set, as `eval` reads it.
    file: PathBuf,
    /// Its format; without it, what its first row shows.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum)]
    format: Option<Format>,
    /// Rows, at most, from the beginning.
    #[arg(long, env = "RUMINATE_LIMIT", value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Strategies to measure; all without it.
    #[arg(long, env = "RUMINATE_STRATEGIES", value_name = "NAMES", value_delimiter = ',')]
    strategies: Vec<String>,
    #[command(flatten)]
    parallel: ParallelArgs,
    /// Where the result is kept; without it in the user's cache folder, by the model's fingerprint.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE", conflicts_with = "beside")]
    out: Option<PathBuf>,
    /// Keep the result beside the model's file, as FILE.calibration.json.
    #[arg(long, env = "RUMINATE_BESIDE", value_parser = clap::builder::FalseyValueParser::new())]
    beside: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    search: SearchArgs,
}

/// Searches that single prompts are measured with.
const ALGOS: [Algo; 3] = [Algo::Greedy, Algo::BestOfN, Algo::Auto];

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let data = Dataset::parse(&input::file(&args.file)?, args.format)
        .map_err(|e| Failure::data(format!("{}: {e}", args.file.display())))?;
    let rows = data.questions.get(..args.limit.min(data.questions.len())).unwrap_or_default();
    let resources = args.search.strategy().resources()?;
    let base = args.search.settings();
    if rows.is_empty() || base.iter().any(|setting| setting.budget_tokens.is_none()) {
        return Err(Failure::usage("calibration compares at equal --budget-tokens, over at least one row: give both"));
    }
    args.check(&base)?;
    args.parallel.check(&args.search)?;
    let ways = args.ways(&base)?;
    let mut model = args.model.load()?;
    let judge = args.search.judge.in_search(&args.model);
    let cancel = signal::token();
    let settings: Vec<Setting> = ways.iter().map(|(_, setting)| *setting).collect();
    width::settle(&mut model, &args.search.lanes(&settings), &cancel, output);
    let thinking = model.thinking();
    let todo: Vec<_> = ways.iter().enumerate().flat_map(|way| rows.iter().map(move |row| (way, row))).collect();
    let bar = output.count_progress("searches", todo.len() as u64);
    let todo = Mutex::new(todo.into_iter());
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
    let measured =
        Mutex::new(ways.iter().map(|(strategy, setting)| args.unmeasured(strategy, setting)).collect::<Vec<_>>());
    side_by_side(&mut model, args.parallel.parallel, &judge, &cancel, |respondent| {
        while let Some(((at, (strategy, setting)), Question { text, gold, .. })) = next() {
            let mut params = args.search.params(setting, strategy.stop_at_answer(), args.search.seed());
            params.thinking.clone_from(&thinking);
            bar.inc(1);
            let outcome = match respondent.ask(text, (&**strategy, &resources), &params, &mut Silent, &cancel)? {
                Asked::Interrupted => return Ok(()),
                Asked::Answered(outcome) => outcome,
                // What is too long for a strategy is not answered by it.
                Asked::TooLong(_) => continue,
            };
            let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(one) = measured.get_mut(at) else { continue };
            one.correct += usize::from(gold.accepts_found(outcome.answer.as_deref(), &outcome.text));
            one.mean_policy_tokens += outcome.usage.policy_tokens as f64 / rows.len() as f64;
            if let Some(wall_ms) = &mut one.mean_wall_ms {
                *wall_ms += outcome.usage.wall.as_secs_f64() * 1e3 / rows.len() as f64;
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    if cancel.is_cancelled() {
        return Err(Failure::quiet(Code::Interrupted));
    }
    let measured = measured.into_inner().unwrap_or_else(PoisonError::into_inner);
    let calibration = Calibration {
        model: model.engine.info().fingerprint.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: args.file.display().to_string(),
        rows: rows.len(),
        judge: judge.record(),
        measured,
    };
    let place = args.place(&model)?;
    calibration.save(&place)?;
    calibration.show(&place, output)
}

impl Args {
    fn unmeasured(&self, strategy: &AnyStrategy, setting: &Setting) -> Measured {
        Measured {
            strategy: strategy.name().to_owned(),
            algo: strategy.steps().is_none().then(|| setting.algo.name().to_owned()),
            n: setting.n,
            budget_tokens: setting.budget_tokens.unwrap_or_default(),
            correct: 0,
            mean_policy_tokens: 0.0,
            mean_wall_ms: (self.parallel.parallel == 1).then_some(0.0),
        }
    }

    /// Refuses what would not be measured.
    fn check(&self, base: &[Setting]) -> Result<(), Failure> {
        if base.iter().any(|setting| setting.algo != Algo::BestOfN) {
            let names = ALGOS.map(Algo::name).join(", ");
            return Err(Failure::usage(format!("calibration measures the searches {names}: leave --algo out")));
        }
        if self.search.strategy().is_given() {
            return Err(Failure::usage("calibration measures the strategies of --strategies: leave --strategy out"));
        }
        let but_tokens = |setting: &Setting| (setting.n, setting.budget_ms);
        if base.windows(2).any(|pair| matches!(pair, [a, b] if but_tokens(a) != but_tokens(b))) {
            return Err(Failure::usage("calibration takes one --n and one --budget-ms; lists are for --budget-tokens"));
        }
        Ok(())
    }

    /// Every strategy and search under every one of `budgets`.
    fn ways(&self, budgets: &[Setting]) -> Result<Vec<(AnyStrategy, Setting)>, Failure> {
        let few_shot = self.search.strategy().has_shots().then_some("few-shot");
        let all: Vec<&str> = ALL.iter().map(|strategy| strategy.name()).chain(few_shot).collect();
        let names: Vec<&str> = match self.strategies.as_slice() {
            [] => all,
            names => names.iter().map(String::as_str).collect(),
        };
        let mut ways = Vec::new();
        for name in names {
            for setting in budgets {
                let chosen = || self.search.strategy().choose_named(Some(name), true);
                let strategy = chosen()?;
                if strategy.steps().is_some() {
                    let setting = Setting { method: Some(strategy.name()), ..*setting };
                    ways.push((strategy, setting));
                } else {
                    for algo in ALGOS {
                        ways.push((chosen()?, Setting { algo, ..*setting }));
                    }
                }
            }
        }
        Ok(ways)
    }

    fn place(&self, model: &Loaded) -> Result<PathBuf, Failure> {
        if let Some(out) = &self.out {
            return Ok(out.clone());
        }
        let place = if self.beside { calibration::beside(&self.model) } else { calibration::in_cache(model) };
        place.ok_or_else(|| Failure::usage("there is no place for the result: give --out FILE"))
    }
}
