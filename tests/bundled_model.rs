//! The built-in model, measured through the whole pipeline: its greedy accuracy leaves search something to win.

#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::SamplerParams;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::{CancelToken, Silent};
use ruminate::reason;
use ruminate::search::{Algo, EarlyStop, Outcome, SearchParams, solve};
use ruminate::storage::LoadMode;
use ruminate::text::{ChatTemplate, Tokenizer};
use serde_json::Value;

/// Problems of models/test.jsonl that are sampled; greedy answers all of them.
const SAMPLED: usize = 100;
const SAMPLES: usize = 16;

struct Solver {
    engine: NativeEngine,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

impl Solver {
    fn new() -> Self {
        let limits = Limits::default();
        let gguf = Gguf::open(&models().join("abacus-q8_0.gguf"), LoadMode::Mmap, &limits).unwrap();
        let model = Arc::new(Model::load(&gguf, &limits).unwrap());
        let mut options = NativeOptions::default();
        options.threads = 1;
        Self {
            engine: NativeEngine::new(model, &options).unwrap(),
            tokenizer: Tokenizer::from_gguf(&gguf, &limits).unwrap(),
            template: ChatTemplate::from_gguf(&gguf, &limits).unwrap(),
        }
    }

    fn solve(&mut self, question: &str, params: &SearchParams) -> Outcome {
        let direct = reason::by_name("direct").unwrap();
        let prompt = reason::prompt(direct, question, &self.tokenizer, self.template.as_ref()).unwrap();
        solve(&mut self.engine, &self.tokenizer, &prompt, params, None, "", &mut Silent, &CancelToken::new()).unwrap()
    }
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// Questions and final answers.
fn problems() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(models().join("test.jsonl")).unwrap();
    let problems = text.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let answer = row["answer"].as_str().unwrap().rsplit("#### ").next().unwrap();
        (row["question"].as_str().unwrap().to_owned(), answer.trim().to_owned())
    });
    problems.collect()
}

#[test]
fn greedy_accuracy_lies_between_35_and_70_percent_and_pass_at_16_at_least_20_points_above() {
    let mut solver = Solver::new();
    let greedy = SearchParams { algo: Algo::Greedy, max_tokens: 200, ..SearchParams::default() };
    let sampled = SearchParams {
        algo: Algo::BestOfN,
        n: SAMPLES,
        early_stop: EarlyStop::Never,
        max_tokens: 200,
        sampler: SamplerParams { temperature: 0.8, ..SamplerParams::default() },
        ..SearchParams::default()
    };
    let problems = problems();
    assert_eq!(problems.len(), 500);
    let right: Vec<bool> =
        problems.iter().map(|(q, a)| solver.solve(q, &greedy).answer.as_deref() == Some(a)).collect();
    let found =
        problems[..SAMPLED].iter().filter(|(q, a)| solver.solve(q, &sampled).candidates.iter().any(|c| c.answer == *a));
    let percent = |n: usize, of: usize| 100.0 * n as f64 / of as f64;
    let (all, some) = (right.iter().filter(|r| **r).count(), right[..SAMPLED].iter().filter(|r| **r).count());
    let (greedy, subset) = (percent(all, problems.len()), percent(some, SAMPLED));
    let pass = percent(found.count(), SAMPLED);
    println!("greedy {greedy:.1} % of 500; of the first {SAMPLED}: greedy {subset:.1} %, pass@{SAMPLES} {pass:.1} %");
    assert!((35.0..=70.0).contains(&greedy), "greedy {greedy} %");
    assert!(pass >= subset + 20.0, "pass@{SAMPLES} {pass} %, greedy {subset} %");
}
