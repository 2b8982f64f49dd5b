//! Search over the native engine: the outcome does not depend on how the work is arranged.

mod support;

use ruminate::engine::{Engine, ModelInfo};
use ruminate::observe::{CancelToken, Silent};
use ruminate::search::{Algo, Budget, EarlyStop, Outcome, SearchParams, StopReason, Vocabulary, solve};
use ruminate::text::TokenId;
use ruminate::{ErrorKind, Result};
use support::tiny::{engine, tiny, tokens};

const PROMPT: usize = 45;

/// Random weights write no words, so every token is read as a digit or a blank.
struct Digits;

impl Vocabulary for Digits {
    type Stream = ();

    fn stream(&self) {}

    fn append(&self, (): &mut (), token: TokenId, text: &mut String) {
        text.push_str(["1", "2", " ", "3", " "][token as usize % 5]);
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        Ok(text.chars().map(|c| c.to_digit(3).unwrap_or(1)).collect())
    }

    fn is_eog(&self, token: TokenId) -> bool {
        token.is_multiple_of(16)
    }
}

/// An engine that claims another free width.
struct Wide<E> {
    inner: E,
    info: ModelInfo,
}

impl<E: Engine> Wide<E> {
    fn new(inner: E, free_width: usize) -> Self {
        let mut info = inner.info().clone();
        info.free_width = free_width;
        Self { inner, info }
    }
}

impl<E: Engine> Engine for Wide<E> {
    ruminate::delegate_engine!(|wide| wide.inner;
        root fork len truncate release forward save load memory scratch_of set_kv_limit set_adapters);

    fn info(&self) -> &ModelInfo {
        &self.info
    }
    fn set_free_width(&mut self, width: usize) {
        self.info.free_width = width;
    }
}

fn search(name: &str, threads: usize, width: usize, params: &SearchParams) -> Result<Outcome> {
    let model = tiny(name);
    let prompt = tokens(7, PROMPT, model.config().n_vocab);
    let mut engine = Wide::new(engine(&model, |o| o.threads = threads), width);
    let outcome = solve(&mut engine, &Digits, &prompt, params, None, "", &mut Silent, &CancelToken::new());
    assert_eq!(engine.memory().kv, 0, "KV was not given back");
    outcome
}

fn essence(outcome: &Outcome) -> String {
    let Outcome { answer, text, score, stop_reason, candidates, .. } = outcome;
    format!("{answer:?} {text:?} {:?} {stop_reason} {candidates:?}", score.map(f64::to_bits))
}

fn params(tokens: Option<u64>, kv_bytes: Option<u64>) -> SearchParams {
    let budget = Budget { tokens, kv_bytes, ..Budget::default() };
    SearchParams { n: 10, early_stop: EarlyStop::Never, max_tokens: 40, seed: 3, budget, ..SearchParams::default() }
}

#[test]
fn widths_threads_and_kv_caps_leave_the_outcome_as_it_is() {
    for name in ["llama", "gemma3"] {
        for tokens in [None, Some(90)] {
            let alone = search(name, 1, 1, &params(tokens, None)).unwrap();
            assert!(!alone.is_empty());
            assert_eq!(alone.stop_reason == StopReason::Tokens, tokens.is_some());
            for (threads, width) in [(2, 1), (1, 3), (2, 16)] {
                let together = search(name, threads, width, &params(tokens, None)).unwrap();
                assert_eq!(essence(&together), essence(&alone), "{name}, {threads} threads, width {width}");
                assert_eq!(together.usage.policy_tokens, alone.usage.policy_tokens);
            }
            let cap = alone.usage.kv_peak_bytes * 2;
            let capped = search(name, 2, 16, &params(tokens, Some(cap))).unwrap();
            assert_eq!(essence(&capped), essence(&alone), "{name} within {cap} bytes");
            assert!(capped.usage.kv_peak_bytes <= cap);
        }
    }
}

#[test]
fn greedy_search_repeats_itself() {
    let params = SearchParams { algo: Algo::Greedy, ..params(None, None) };
    let one = search("llama", 1, 1, &params).unwrap();
    let two = search("llama", 2, 8, &params).unwrap();
    assert_eq!(essence(&one), essence(&two));
}

#[test]
fn a_prompt_that_does_not_fit_the_kv_cap_is_an_error_of_kind_memory() {
    let error = search("llama", 1, 4, &params(None, Some(1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory);
    assert!(error.to_string().contains("prompt of 45 tokens"), "{error}");
}
