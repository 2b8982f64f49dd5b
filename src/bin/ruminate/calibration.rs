//! Which strategy is best for a model: measured on a question set under equal budgets, kept by the model's fingerprint.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ruminate::engine::Engine;
use ruminate::observe::Silent;
use ruminate::reason::{ALL, Inquiry};
use ruminate::search::{Algo, StopReason};
use ruminate::storage;
use ruminate::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dataset::{Dataset, Format, Question};
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style};
use crate::pull::cache;
use crate::search_args::{SearchArgs, Setting};
use crate::strategy_args::Chosen;
use crate::{input, signal, width};

/// Measure every strategy on a question set under equal token budgets, for `--strategy auto`.
///
/// Single prompts are measured with the searches `greedy`, `best-of-n` and `auto`, methods as they are. --budget-tokens is needed and
/// takes several values; `--strategy auto` goes by the largest that is not above its own. What is measured says how good each is on
/// questions like these: twenty rows tell a good strategy from a bad one, and no more.
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

/// What was measured of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The model's fingerprint.
    model: String,
    /// The program's version.
    version: String,
    /// The question set's file and how many of its rows were put.
    data: String,
    rows: usize,
    measured: Vec<Measured>,
}

/// One way to search under one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    strategy: String,
    /// The search algorithm, of a single prompt.
    algo: Option<String>,
    n: usize,
    budget_tokens: u64,
    correct: usize,
    mean_policy_tokens: f64,
    mean_wall_ms: f64,
}

const FILE_CAP: u64 = 1 << 20;

/// Searches that single prompts are measured with.
const ALGOS: [Algo; 3] = [Algo::Greedy, Algo::BestOfN, Algo::Auto];

pub fn measure(args: &Args, output: &Output) -> Result<(), Failure> {
    let data = Dataset::parse(&input::file(&args.file)?, args.format)
        .map_err(|e| Failure::data(format!("{}: {e}", args.file.display())))?;
    let rows = data.questions.get(..args.limit.min(data.questions.len())).unwrap_or_default();
    let resources = args.search.strategy().resources()?;
    let base = args.search.settings();
    if rows.is_empty() || base.iter().any(|setting| setting.budget_tokens.is_none()) {
        return Err(Failure::usage("calibration compares at equal --budget-tokens, over at least one row: give both"));
    }
    let ways = args.ways(&base)?;
    let mut model = args.model.load()?;
    let cancel = signal::token();
    let settings: Vec<Setting> = ways.iter().map(|(_, setting)| *setting).collect();
    width::settle(&mut model, &args.search.lanes(&settings), &cancel, output);
    let bar = output.count_progress("searches", (ways.len() * rows.len()) as u64);
    let mut measured = Vec::new();
    for (strategy, setting) in &ways {
        let mut one = Measured {
            strategy: strategy.name().to_owned(),
            algo: strategy.steps().is_none().then(|| setting.algo.name().to_owned()),
            n: setting.n,
            budget_tokens: setting.budget_tokens.unwrap_or_default(),
            correct: 0,
            mean_policy_tokens: 0.0,
            mean_wall_ms: 0.0,
        };
        for Question { text, gold, .. } in rows {
            let mut params = args.search.params(setting, strategy.stop_at_answer(), args.search.seed());
            params.thinking = model.thinking();
            let (words, template) = (&model.tokenizer, model.template.as_ref());
            let inquiry = Inquiry::new(&**strategy, text, words, template, &params, &resources);
            let outcome = match inquiry.and_then(|i| i.solve(&mut model.engine, None, &mut Silent, &cancel)) {
                // A question that is too long is one that it cannot answer.
                Err(error) if error.kind() == ErrorKind::ContextLength => None,
                outcome => Some(outcome?),
            };
            if outcome.as_ref().is_some_and(|outcome| outcome.stop_reason == StopReason::Cancelled) {
                return Err(Failure::quiet(Code::Interrupted));
            }
            if let Some(outcome) = outcome {
                one.correct += usize::from(gold.accepts_found(outcome.answer.as_deref(), &outcome.text));
                one.mean_policy_tokens += outcome.usage.policy_tokens as f64 / rows.len() as f64;
                one.mean_wall_ms += outcome.usage.wall.as_secs_f64() * 1e3 / rows.len() as f64;
            }
            bar.inc(1);
        }
        measured.push(one);
    }
    bar.finish_and_clear();
    let calibration = Calibration {
        model: model.engine.info().fingerprint.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: args.file.display().to_string(),
        rows: rows.len(),
        measured,
    };
    let place = args.place(&model)?;
    calibration.save(&place)?;
    calibration.show(&place, output)
}

impl Args {
    /// Every strategy with every setting under every budget.
    fn ways(&self, base: &[Setting]) -> Result<Vec<(Chosen, Setting)>, Failure> {
        let mut budgets: Vec<Setting> = Vec::new();
        for setting in base {
            if !budgets.iter().any(|other| other.budget_tokens == setting.budget_tokens) {
                budgets.push(*setting);
            }
        }
        let few_shot = self.search.strategy().has_shots().then_some("few-shot");
        let all: Vec<&str> = ALL.iter().map(|strategy| strategy.name()).chain(few_shot).collect();
        let names: Vec<&str> = match self.strategies.as_slice() {
            [] => all,
            names => names.iter().map(String::as_str).collect(),
        };
        let mut ways = Vec::new();
        for name in names {
            for setting in &budgets {
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
        let place = if self.beside { beside(&self.model) } else { in_cache(model) };
        place.ok_or_else(|| Failure::usage("there is no place for the result: give --out FILE"))
    }
}

/// The strategy that was measured to be best for the model under the budget; what is usual, if nothing was measured.
pub fn choose(
    search: &SearchArgs,
    args: &ModelArgs,
    model: &Loaded,
    output: &Output,
) -> Result<(Chosen, Setting), Failure> {
    let usual = search.only_setting()?;
    let places = beside(args).into_iter().chain(in_cache(model));
    for place in places {
        let Some(calibration) = Calibration::load(&place, model.engine.info().fingerprint.as_str(), output) else {
            continue;
        };
        let Some(best) = calibration.best(usual.budget_tokens) else { continue };
        let strategy = search.strategy().choose_named(Some(&best.strategy), true)?;
        let algo = best.algo.as_deref().map_or(Ok(usual.algo), Algo::by_name)?;
        let method = strategy.steps().map(|_| strategy.name());
        let how = method.map_or_else(|| format!(" with {}", algo.name()), |_| String::new());
        output.note(
            Style::Dim,
            &format!(
                "{}{how}: {} of {} right at {} tokens in {}",
                best.strategy,
                best.correct,
                calibration.rows,
                best.budget_tokens,
                place.display()
            ),
        );
        return Ok((strategy, Setting { algo, method, n: best.n, ..usual }));
    }
    let strategy = search.strategy().choose_named(None, args.source.model.is_some())?;
    let note = format!("nothing was measured for this model (reason calibrate): {} with auto", strategy.name());
    output.note(Style::Dim, &note);
    Ok((strategy, Setting { algo: Algo::Auto, ..usual }))
}

impl Calibration {
    /// The most right answers under the largest budget that is not above `budget`, else the smallest; of equals what drew least.
    fn best(&self, budget: Option<u64>) -> Option<&Measured> {
        let budgets = || self.measured.iter().map(|one| one.budget_tokens);
        let within = budgets().filter(|&tokens| budget.is_none_or(|most| tokens <= most)).max();
        let tokens = within.or_else(|| budgets().min())?;
        let mut same: Vec<&Measured> = self.measured.iter().filter(|one| one.budget_tokens == tokens).collect();
        same.sort_by(|a, b| b.correct.cmp(&a.correct).then(a.mean_policy_tokens.total_cmp(&b.mean_policy_tokens)));
        same.first().copied()
    }

    fn load(place: &Path, fingerprint: &str, output: &Output) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(place).ok()?.take(FILE_CAP).read_to_end(&mut bytes).ok()?;
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(read) if read.model == fingerprint => Some(read),
            Ok(_) => {
                output.note(Style::Dim, &format!("{} is of another model", place.display()));
                None
            }
            Err(error) => {
                output.note(Style::Dim, &format!("{} is no calibration: {error}", place.display()));
                None
            }
        }
    }

    fn save(&self, place: &Path) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("{}: {e}", place.display()));
        if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        storage::save_atomic(place, |out| writeln!(out, "{}", json!(self)).map_err(failed))?;
        Ok(())
    }

    fn show(&self, place: &Path, output: &Output) -> Result<(), Failure> {
        if output.json {
            return output.document(&json!({ "file": place.display().to_string(), "calibration": self }));
        }
        for one in &self.measured {
            let name = one.algo.as_ref().map_or(one.strategy.clone(), |algo| format!("{} {algo}", one.strategy));
            output.line(&format!(
                "{name:<34} tokens={:<7} {:>4} of {} right, {:>7.0} tokens and {:>8.0} ms each",
                one.budget_tokens, one.correct, self.rows, one.mean_policy_tokens, one.mean_wall_ms
            ))?;
        }
        output.note(Style::Dim, &format!("kept in {}", place.display()));
        Ok(())
    }
}

/// The file beside the model's own.
fn beside(args: &ModelArgs) -> Option<PathBuf> {
    let mut name = args.source.model.as_ref()?.clone().into_os_string();
    name.push(".calibration.json");
    Some(PathBuf::from(name))
}

fn in_cache(model: &Loaded) -> Option<PathBuf> {
    let name = format!("{}.json", model.engine.info().fingerprint);
    Some(cache::user_cache()?.join("ruminate").join("calibration").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(strategy: &str, budget_tokens: u64, correct: usize, tokens: f64) -> Measured {
        Measured {
            strategy: strategy.to_owned(),
            algo: None,
            n: 8,
            budget_tokens,
            correct,
            mean_policy_tokens: tokens,
            mean_wall_ms: 1.0,
        }
    }

    #[test]
    fn the_best_is_looked_for_under_the_nearest_budget_and_costs_least() {
        let calibration = Calibration {
            model: "f".into(),
            version: "0".into(),
            data: "set".into(),
            rows: 10,
            measured: vec![
                measured("cot", 500, 6, 300.0),
                measured("plan", 500, 4, 500.0),
                measured("cot", 2000, 6, 900.0),
                measured("react", 2000, 7, 1200.0),
                measured("verify", 2000, 7, 1100.0),
            ],
        };
        for (budget, best) in
            [(None, "verify"), (Some(5000), "verify"), (Some(2000), "verify"), (Some(1999), "cot"), (Some(3), "cot")]
        {
            assert_eq!(calibration.best(budget).unwrap().strategy, best, "{budget:?}");
        }
        let empty = Calibration { measured: Vec::new(), ..calibration };
        assert!(empty.best(None).is_none());
    }
}
