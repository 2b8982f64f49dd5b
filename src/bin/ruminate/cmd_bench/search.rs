//! `bench search`: how long whole searches take, and what they spend their time on.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use ruminate::observe::{CancelToken, Silent};
use ruminate::reason::{self, Strategy};
use ruminate::search::{self, SearchParams, StopReason};
use ruminate::text::TokenId;
use serde_json::{Value, json};

use super::stopwatch::{Timed, Words};
use crate::dataset::Dataset;
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::Output;
use crate::search_args::{SearchArgs, Setting};
use crate::{signal, width};

/// Answered by the built-in model as well as by others.
const QUESTION: &str = "Tom has 3 boxes with 4 pens each. He gives away 5 pens. How many pens are left?";

/// Search the same questions in several ways, in turns, and report medians. --algo, --n, --budget-tokens and --budget-ms take
/// lists with commas.
#[derive(clap::Args)]
pub struct SearchBenchArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    search: SearchArgs,
    /// The question.
    #[arg(long, env = "RUMINATE_QUESTION", value_name = "TEXT", default_value = QUESTION)]
    question: String,
    /// A question set, as `eval` reads it, instead of one question; a run is then all of its rows.
    #[arg(long, env = "RUMINATE_DATA", value_name = "FILE")]
    data: Option<PathBuf>,
    /// Rows of the set, from its top.
    #[arg(long, env = "RUMINATE_LIMIT", value_name = "N", default_value_t = 1)]
    limit: usize,
    /// Runs of every setting.
    #[arg(long = "runs", env = "RUMINATE_BENCH_RUNS", value_name = "N", default_value_t = 3)]
    bench_runs: usize,
    /// Let every sample go on to --max-tokens, past the end of its text, and draw all of them: equal work for every setting.
    #[arg(long, env = "RUMINATE_ENDLESS", value_parser = FalseyValueParser::new())]
    endless: bool,
}

/// One run of one setting over all questions.
#[derive(Default)]
struct Measured {
    wall: Duration,
    prefill: Duration,
    decode: Duration,
    policy_tokens: u64,
    passes: u64,
    kv_peak_bytes: u64,
    reward: Duration,
    joules: f64,
    joules_source: &'static str,
}

pub fn run(args: &SearchBenchArgs, output: &Output) -> Result<(), Failure> {
    if args.bench_runs == 0 || args.limit == 0 {
        return Err(Failure::usage("--runs and --limit count from 1"));
    }
    let questions: Vec<String> = match &args.data {
        Some(path) => Dataset::load(path, None)?.questions.into_iter().take(args.limit).map(|q| q.text).collect(),
        None => vec![args.question.clone()],
    };
    let settings = args.search.settings();
    let strategy = args.search.strategy().choose_prompt(args.model.source.model.is_some())?;
    let mut model = args.model.load()?;
    model.judge = args.search.judge.in_search(&args.model).load(&model)?;
    let prompts = questions
        .iter()
        .map(|question| reason::prompt(&*strategy, question, &model.tokenizer, model.template.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let cancel = signal::token();
    width::settle(&mut model, &args.search.lanes(&settings), &cancel, output);
    let bar = output.count_progress("runs", (args.bench_runs * settings.len()) as u64);
    // Once unmeasured, and short: the weights come from the disk, buffers are sized.
    if let (Some(setting), Some(question), Some(prompt)) = (settings.first(), questions.first(), prompts.first()) {
        let params = SearchParams { max_tokens: 2, ..args.params(setting, &*strategy) };
        args.once(&mut model, (question, prompt), &params, &cancel, &mut Measured::default())?;
    }
    let mut runs: Vec<Vec<Measured>> = settings.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.bench_runs {
        // In turns: a drift of the machine favours none.
        for (setting, runs) in settings.iter().zip(&mut runs) {
            let mut measured = Measured::default();
            for put in questions.iter().map(String::as_str).zip(prompts.iter().map(Vec::as_slice)) {
                args.once(&mut model, put, &args.params(setting, &*strategy), &cancel, &mut measured)?;
            }
            runs.push(measured);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let documents = settings.iter().zip(&runs).map(|(setting, runs)| document(setting, runs, &prompts));
    let documents: Vec<Value> = documents.collect();
    if output.json { output.document(&documents.into()) } else { show(output, &settings, &runs) }
}

impl SearchBenchArgs {
    fn params(&self, setting: &Setting, strategy: &dyn Strategy) -> SearchParams {
        let params = self.search.params(setting, strategy.stop_at_answer(), self.search.seed());
        if !self.endless {
            return params;
        }
        SearchParams { stop_at_answer: false, early_stop: search::EarlyStop::Never, ..params }
    }

    /// One search, its figures added to `measured`.
    fn once(
        &self,
        model: &mut Loaded,
        (question, prompt): (&str, &[TokenId]),
        params: &SearchParams,
        cancel: &CancelToken,
        measured: &mut Measured,
    ) -> Result<(), Failure> {
        let words = Words { tokenizer: &model.tokenizer, endless: self.endless };
        let mut engine = Timed::new(&mut model.engine);
        let outcome = search::solve(
            &mut engine,
            &words,
            prompt,
            params,
            model.judge.as_deref_mut(),
            question,
            &mut Silent,
            cancel,
        )?;
        if outcome.stop_reason == StopReason::Cancelled {
            return Err(Failure::quiet(Code::Interrupted));
        }
        measured.wall += outcome.usage.wall;
        measured.prefill += engine.prefill;
        measured.decode += engine.decode;
        measured.policy_tokens += outcome.usage.policy_tokens;
        measured.passes += outcome.usage.forward_passes;
        measured.kv_peak_bytes = measured.kv_peak_bytes.max(outcome.usage.kv_peak_bytes);
        measured.reward += outcome.usage.reward_wall;
        measured.joules += outcome.usage.joules.joules;
        measured.joules_source = outcome.usage.joules.source.name();
        Ok(())
    }
}

impl Measured {
    fn rate(&self) -> f64 {
        self.policy_tokens as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    fn share(&self, part: Duration) -> f64 {
        part.as_secs_f64() / self.wall.as_secs_f64().max(1e-9)
    }

    /// Drawing tokens, text, votes and the search itself.
    fn rest(&self) -> Duration {
        self.wall.saturating_sub(self.prefill).saturating_sub(self.decode).saturating_sub(self.reward)
    }
}

/// The middle one of some values, the mean of the two middle ones of an even number.
fn median(runs: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let at = |i: usize| values.get(i).copied().unwrap_or_default();
    (at(values.len().saturating_sub(1) / 2) + at(values.len() / 2)) / 2.0
}

fn document(setting: &Setting, runs: &[Measured], prompts: &[Vec<TokenId>]) -> Value {
    let wall_ms = |m: &Measured| m.wall.as_secs_f64() * 1e3;
    json!({
        "config": setting.name(),
        "algo": setting.algo.name(),
        "wall_ms": median(runs, wall_ms),
        "wall_ms_by_run": runs.iter().map(wall_ms).collect::<Vec<_>>(),
        "policy_tokens": median(runs, |m| m.policy_tokens as f64),
        "tok_s": median(runs, Measured::rate),
        "share_prefill": median(runs, |m| m.share(m.prefill)),
        "share_decode": median(runs, |m| m.share(m.decode)),
        "share_judging": median(runs, |m| m.share(m.reward)),
        "share_rest": median(runs, |m| m.share(m.rest())),
        "forward_passes": median(runs, |m| m.passes as f64),
        "kv_peak_bytes": runs.iter().map(|m| m.kv_peak_bytes).max(),
        "joules": median(runs, |m| m.joules),
        "joules_source": runs.first().map(|m| m.joules_source),
        "prompts": prompts,
    })
}

fn show(output: &Output, settings: &[Setting], runs: &[Vec<Measured>]) -> Result<(), Failure> {
    let names: Vec<String> = settings.iter().map(Setting::name).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0).max("setting".len());
    output.line(&format!("{:<width$}         s   tok/s  prefill  decode  judging  rest  passes  tokens", "setting"))?;
    for (name, runs) in names.iter().zip(runs) {
        let percent = |of: fn(&Measured) -> Duration| 100.0 * median(runs, |m| m.share(of(m)));
        output.line(&format!(
            "{name:<width$}  {:>8.3}  {:>6.1}  {:>5.1} %  {:>4.1} %  {:>5.1} %  {:>2.0} %  {:>6.0}  {:>6.0}",
            median(runs, |m| m.wall.as_secs_f64()),
            median(runs, Measured::rate),
            percent(|m| m.prefill),
            percent(|m| m.decode),
            percent(|m| m.reward),
            percent(Measured::rest),
            median(runs, |m| m.passes as f64),
            median(runs, |m| m.policy_tokens as f64),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle() {
        let runs = |walls: &[u64]| -> Vec<Measured> {
            walls.iter().map(|&s| Measured { wall: Duration::from_secs(s), ..Measured::default() }).collect()
        };
        let median = |walls: &[u64]| median(&runs(walls), |m| m.wall.as_secs_f64());
        assert_eq!(median(&[9, 1, 4]), 4.0);
        assert_eq!(median(&[9, 1, 4, 5]), 4.5);
        assert_eq!((median(&[7]), median(&[])), (7.0, 0.0));
    }
}
