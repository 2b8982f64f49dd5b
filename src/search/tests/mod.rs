//! Conformance: every algorithm under every budget gives a well-formed outcome, never over budget, and the same one
//! under every schedule.

#[cfg(feature = "grammar")]
mod grammar;
mod limits;
mod program;
mod saved;
mod schedule;
mod shared;
mod thinking;

use super::toy::Words;
use super::*;
use crate::engine::Tap;
use crate::engine::toy::ToyEngine;
use crate::observe::{Interrupt, Silent};
use crate::reward::{Step, StepId};

const PROMPT: [TokenId; 5] = [3, 11, 12, 4, 13];

/// Every algorithm, with every way to stop.
fn algorithms() -> Vec<SearchParams> {
    [samplers(), trees()].concat()
}

fn base() -> SearchParams {
    let step = StepRule { max_tokens: 12, max_steps: 6, ..StepRule::default() };
    SearchParams { max_tokens: 60, seed: 5, step, ..SearchParams::default() }
}

/// Those whose nodes are whole solutions.
fn samplers() -> Vec<SearchParams> {
    let mut all = vec![SearchParams { algo: Algo::Greedy, ..base() }];
    for (n, early_stop) in
        [(1, EarlyStop::Never), (12, EarlyStop::Never), (40, EarlyStop::Beta(0.95)), (40, EarlyStop::Window(3))]
    {
        let sampler = SamplerParams { repetition_penalty: 1.1, ..base().sampler };
        all.push(SearchParams { n, early_stop, sampler, ..base() });
    }
    all.push(SearchParams { algo: Algo::SelfConsistency, n: 20, ..base() });
    all
}

/// Those that take it step by step, in every variant.
fn trees() -> Vec<SearchParams> {
    let depth_first = Traversal::Depth { threshold: 0.05, steps: 6 };
    let variants = [
        SearchParams { algo: Algo::Beam, ..base() },
        SearchParams { algo: Algo::Dvts, ..base() },
        SearchParams { algo: Algo::Lookahead, lookahead: 2, ..base() },
        SearchParams { algo: Algo::Rebase, ..base() },
        SearchParams { algo: Algo::Mcts, ..base() },
        SearchParams {
            algo: Algo::Mcts,
            mcts: MctsParams {
                selection: Selection::Puct { base: 19652.0, init: 1.25 },
                backup: Backup::Max(0.5),
                ..MctsParams::default()
            },
            ..base()
        },
        SearchParams { algo: Algo::TreeOfThoughts, ..base() },
        SearchParams {
            algo: Algo::TreeOfThoughts,
            tree_of_thoughts: TreeOfThoughtsParams { traversal: depth_first, candidates: 3 },
            ..base()
        },
        SearchParams { algo: Algo::ParticleFilter, ..base() },
        SearchParams {
            algo: Algo::SpeculativeRejection,
            speculative_rejection: SpeculativeRejectionParams { alpha: 0.5, round_tokens: 7 },
            ..base()
        },
        SearchParams {
            algo: Algo::BudgetForcing,
            budget_forcing: BudgetForcingParams { max_thinking: 40, ..BudgetForcingParams::default() },
            ..base()
        },
        SearchParams {
            algo: Algo::BudgetForcing,
            budget_forcing: BudgetForcingParams {
                max_thinking: 40,
                end_of_thinking: " +".into(),
                ..BudgetForcingParams::default()
            },
            ..base()
        },
        SearchParams {
            algo: Algo::DeepConf,
            n: 12,
            deep_conf: DeepConfParams { warm_up: 4, window: 5, keep: 0.5 },
            ..base()
        },
        SearchParams { algo: Algo::Auto, n: 16, ..base() },
    ];
    let all = variants.to_vec();
    for algo in Algo::ALL {
        let known = samplers().iter().chain(&all).any(|params| params.algo == algo);
        assert!(known, "{algo:?} is not in the suite");
    }
    all
}

/// Says of a text what its bytes add up to, so that every step is told apart; reads hidden states if it is to.
struct Checksum {
    taps: Vec<Tap>,
    steps: usize,
    /// Did not see the beginning of the search.
    anew: bool,
    /// Is cancelled when it is asked so many times.
    cancel_at: Option<(usize, CancelToken)>,
    calls: usize,
    open: std::collections::BTreeSet<StepId>,
}

impl Checksum {
    fn new(taps: &[Tap]) -> Self {
        Self { taps: taps.to_vec(), steps: 0, anew: false, cancel_at: None, calls: 0, open: Default::default() }
    }
}

impl Judge for Checksum {
    fn name(&self) -> &str {
        "checksum"
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.calls += 1;
        if let Some((_, cancel)) = self.cancel_at.as_ref().filter(|(at, _)| *at == self.calls) {
            cancel.cancel();
            return Err(crate::Error::new(crate::ErrorKind::Cancelled, "asked to stop"));
        }
        for step in steps {
            assert!(
                self.anew || step.parent == StepId::ROOT || self.open.contains(&step.parent),
                "a parent that was let go"
            );
            assert!(self.open.insert(step.id), "a step was judged twice");
            assert!(step.path.ends_with(step.text) && !step.tokens.is_empty(), "{step:?}");
            self.steps += 1;
            let mut sum: u64 = step.path.bytes().map(u64::from).sum();
            if !self.taps.is_empty() {
                let features = step.features.expect("hidden states were asked for");
                assert_eq!(features.count as usize, step.draws.len());
                assert_eq!(features.last.len() % self.taps.len(), 0);
                sum += features.sum.iter().map(|x| x.to_bits() as u64 >> 12).sum::<u64>();
            }
            values.push((sum % 101) as f32 / 100.0);
        }
        Ok(values)
    }

    /// Without hidden states it keeps something for every step, as a reward model keeps KV.
    fn recall(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<()> {
        for step in steps.iter().filter(|_| self.taps.is_empty()) {
            assert!(step.parent == StepId::ROOT || self.open.contains(&step.parent), "a parent that it was not shown");
            assert!(self.open.insert(step.id), "a step was shown twice");
        }
        Ok(())
    }

    fn release(&mut self, step: StepId) {
        self.open.remove(&step);
    }
}

fn run(toy: &mut ToyEngine, params: &SearchParams) -> Result<Outcome> {
    run_until(toy, params, &CancelToken::new())
}

/// Runs and checks what must hold after every search.
fn run_until(toy: &mut ToyEngine, params: &SearchParams, cancel: &CancelToken) -> Result<Outcome> {
    run_with(toy, params, None, cancel)
}

fn run_judged(toy: &mut ToyEngine, params: &SearchParams, taps: &[Tap]) -> Result<Outcome> {
    let mut judge = Checksum::new(taps);
    let outcome = run_with(toy, params, Some(&mut judge), &CancelToken::new());
    assert!(judge.open.is_empty(), "steps were not let go: {:?}", judge.open);
    outcome
}

fn run_with(
    toy: &mut ToyEngine,
    params: &SearchParams,
    judge: Option<&mut dyn Judge>,
    cancel: &CancelToken,
) -> Result<Outcome> {
    let limit = toy.memory().kv_limit;
    let outcome = solve(toy, &Words, &PROMPT, params, judge, "", &mut Silent, cancel);
    assert_eq!(toy.alive(), 0, "a branch was not given back");
    assert_eq!(toy.memory().kv, 0);
    assert_eq!(toy.memory().kv_limit, limit, "the KV cap was not put back");
    assert!(toy.widest <= toy.info().free_width);
    let outcome = outcome?;
    assert!(outcome.usage.policy_tokens <= params.budget.tokens.unwrap_or(u64::MAX), "over the token budget");
    assert!(outcome.usage.kv_peak_bytes <= params.budget.kv_bytes.unwrap_or(u64::MAX), "over the memory budget");
    assert!(outcome.usage.forward_passes <= toy.passes as u64);
    let votes: usize = outcome.candidates.iter().map(|c| c.votes).sum();
    if matches!(params.algo, Algo::BestOfN | Algo::SelfConsistency) {
        assert!(votes <= params.n);
    }
    assert_eq!(outcome.answer.as_ref(), outcome.candidates.first().map(|c| &c.answer));
    if params.algo == Algo::SelfConsistency {
        assert!(outcome.candidates.is_sorted_by(|a, b| a.votes >= b.votes));
    }
    assert_eq!(outcome.score.is_some(), !outcome.text.is_empty());
    Ok(outcome)
}

/// All that must not depend on the schedule.
fn essence(outcome: &Outcome) -> (Option<String>, String, Option<f64>, StopReason, Vec<Candidate>) {
    let Outcome { answer, text, score, stop_reason, candidates, .. } = outcome.clone();
    (answer, text, score, stop_reason, candidates)
}

#[test]
fn one_branch_only_is_enough_for_every_algorithm() {
    for params in algorithms() {
        let params = SearchParams { n: 1, beam_width: 1, ..params };
        let outcome = run(&mut ToyEngine::new(200, 1), &params).unwrap();
        assert!(outcome.stop_reason == StopReason::Finished && !outcome.text.is_empty(), "{params:?}");
    }
}

#[test]
fn auto_spends_what_the_budget_covers_by_the_cost_of_its_first_samples() {
    let tokens = |n, budget| {
        let budget = Budget { tokens: budget, ..Budget::default() };
        let params = SearchParams { algo: Algo::Auto, n, vote: Some(Vote::Weighted), budget, ..base() };
        run(&mut ToyEngine::new(200, 4), &params).unwrap()
    };
    let all = tokens(40, None);
    let some = tokens(40, Some(all.usage.policy_tokens / 2));
    assert_eq!(some.stop_reason, StopReason::Finished, "it does not begin what it cannot end: {some:?}");
    assert!(some.usage.policy_tokens < all.usage.policy_tokens);
}

#[test]
fn without_a_budget_every_algorithm_finishes_with_an_answer() {
    for params in algorithms() {
        let outcome = run(&mut ToyEngine::new(200, 8), &params).unwrap();
        assert_eq!(outcome.stop_reason, StopReason::Finished, "{params:?}");
        assert!(outcome.answer.is_some() && outcome.text.contains("####"), "{outcome:?}");
        assert!(outcome.usage.recomputed_tokens == 0 && outcome.usage.prompt_tokens == 5);
    }
}
