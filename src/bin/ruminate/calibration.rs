//! Which strategy is best for a model: measured on a question set under equal budgets, kept by the model's fingerprint.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ruminate::engine::Engine;
use ruminate::reason::AnyStrategy;
use ruminate::search::Algo;
use ruminate::storage;
use ruminate::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exit::Failure;
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style};
use crate::pull::cache;
use crate::search_args::{SearchArgs, Setting};

/// What was measured of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The model's fingerprint.
    pub model: String,
    /// The program's version.
    pub version: String,
    /// The question set's file and how many of its rows were put.
    pub data: String,
    pub rows: usize,
    /// What judged the searches, by its flag.
    #[serde(default)]
    pub judge: Option<String>,
    pub measured: Vec<Measured>,
}

/// One way to search under one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub strategy: String,
    /// The search algorithm, of a single prompt.
    pub algo: Option<String>,
    pub n: usize,
    pub budget_tokens: u64,
    pub correct: usize,
    pub mean_policy_tokens: f64,
    /// Of searches one after the other.
    pub mean_wall_ms: Option<f64>,
}

/// Bytes of a calibration, at most.
const FILE_CAP: u64 = 1 << 20;

/// The strategy that was measured to be best for the model under the budget; what is usual, if nothing was measured.
pub fn choose(
    search: &SearchArgs,
    args: &ModelArgs,
    model: &Loaded,
    output: &Output,
) -> Result<(AnyStrategy, Setting), Failure> {
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

    pub fn save(&self, place: &Path) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("{}: {e}", place.display()));
        if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        storage::save_atomic(place, |out| writeln!(out, "{}", json!(self)).map_err(failed))?;
        Ok(())
    }

    pub fn show(&self, place: &Path, output: &Output) -> Result<(), Failure> {
        if output.json {
            return output.document(&json!({ "file": place.display().to_string(), "calibration": self }));
        }
        for one in &self.measured {
            let name = one.algo.as_ref().map_or(one.strategy.clone(), |algo| format!("{} {algo}", one.strategy));
            let time = one.mean_wall_ms.map_or(String::new(), |ms| format!(" and {ms:>8.0} ms"));
            output.line(&format!(
                "{name:<34} tokens={:<7} {:>4} of {} right, {:>7.0} tokens{time} each",
                one.budget_tokens, one.correct, self.rows, one.mean_policy_tokens
            ))?;
        }
        output.note(Style::Dim, &format!("kept in {}", place.display()));
        Ok(())
    }
}

/// The file beside the model's own.
pub fn beside(args: &ModelArgs) -> Option<PathBuf> {
    let mut name = args.source.model.as_ref()?.clone().into_os_string();
    name.push(".calibration.json");
    Some(PathBuf::from(name))
}

/// The file in the user's cache folder.
pub fn in_cache(model: &Loaded) -> Option<PathBuf> {
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
            mean_wall_ms: Some(1.0),
        }
    }

    #[test]
    fn the_best_is_looked_for_under_the_nearest_budget_and_costs_least() {
        let calibration = Calibration {
            model: "f".into(),
            version: "0".into(),
            data: "set".into(),
            rows: 10,
            judge: None,
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
