//! Conformance: every algorithm under every budget gives a well-formed outcome, never over budget, and the same one
//! under every schedule.

use std::time::{Duration, Instant};

use super::*;
use crate::engine::Tap;
use crate::engine::toy::{EOG, TOKEN_BYTES, ToyEngine, WORDS};
use crate::observe::{Event, Interrupt, Silent};
use crate::reward::{Step, StepId};
use crate::{Error, ErrorKind};

const PROMPT: [TokenId; 5] = [3, 11, 12, 4, 13];

struct Words;

impl Vocabulary for Words {
    type Stream = ();

    fn stream(&self) {}

    fn append(&self, (): &mut (), token: TokenId, text: &mut String) {
        text.push_str(WORDS[token as usize]);
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        let mut text = text.replace("Wait", " so");
        let mut tokens = Vec::new();
        while let Some(token) = WORDS.iter().rposition(|word| text.starts_with(word)) {
            text = text.split_off(WORDS[token].len());
            tokens.push(token as TokenId);
        }
        Ok(tokens)
    }

    fn is_eog(&self, token: TokenId) -> bool {
        token == EOG
    }
}

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

/// Says of a text what its bytes add up to, so that every step is told apart; reads hidden states if it is to.
struct Checksum {
    taps: Vec<Tap>,
    steps: usize,
    /// Did not see the beginning of the search.
    anew: bool,
    open: std::collections::BTreeSet<StepId>,
}

impl Checksum {
    fn new(taps: &[Tap]) -> Self {
        Self { taps: taps.to_vec(), steps: 0, anew: false, open: Default::default() }
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
fn without_a_budget_every_algorithm_finishes_with_an_answer() {
    for params in algorithms() {
        let outcome = run(&mut ToyEngine::new(200, 8), &params).unwrap();
        assert_eq!(outcome.stop_reason, StopReason::Finished, "{params:?}");
        assert!(outcome.answer.is_some() && outcome.text.contains("####"), "{outcome:?}");
        assert!(outcome.usage.recomputed_tokens == 0 && outcome.usage.prompt_tokens == 5);
    }
}

#[test]
fn the_outcome_is_the_same_for_every_width_and_token_budget() {
    for params in algorithms() {
        let mut stopped_by_tokens = 0;
        for tokens in [None, Some(0), Some(1), Some(7), Some(30), Some(61), Some(130), Some(300), Some(500)] {
            let params = SearchParams { budget: Budget { tokens, ..Budget::default() }, ..params.clone() };
            let alone = run(&mut ToyEngine::new(200, 1), &params).unwrap();
            stopped_by_tokens += usize::from(alone.stop_reason == StopReason::Tokens);
            assert_eq!(alone.is_empty(), tokens == Some(0), "{alone:?}");
            for width in [2, 3, 8, 32] {
                let mut toy = ToyEngine::new(200, width);
                let together = run(&mut toy, &params).unwrap();
                assert_eq!(essence(&together), essence(&alone), "width {width}, {tokens:?} tokens, {params:?}");
                if params.early_stop == EarlyStop::Never {
                    assert_eq!(together.usage.policy_tokens, alone.usage.policy_tokens);
                }
            }
        }
        assert!(stopped_by_tokens >= 2, "the budgets were never short: {params:?}");
    }
}

#[test]
fn the_batch_is_refilled_as_soon_as_a_branch_ends() {
    let params = SearchParams { n: 64, early_stop: EarlyStop::Never, ..SearchParams::default() };
    let mut toy = ToyEngine::new(600, 8);
    let outcome = run(&mut toy, &params).unwrap();
    assert_eq!(toy.widest, 8);
    // Waiting for the slowest of each eight would leave lanes idle; only the last few samples may.
    let filled = outcome.usage.policy_tokens as f64 / (outcome.usage.forward_passes * 8) as f64;
    assert!(filled > 0.85, "{filled}");
}

#[test]
fn an_early_stop_saves_tokens_and_ignores_samples_that_ran_beside_it() {
    let never = SearchParams { n: 40, early_stop: EarlyStop::Never, ..SearchParams::default() };
    let beta = SearchParams { early_stop: EarlyStop::Beta(0.95), ..never.clone() };
    let all = run(&mut ToyEngine::new(600, 4), &never).unwrap();
    let some = run(&mut ToyEngine::new(600, 4), &beta).unwrap();
    assert_eq!(some.answer, all.answer);
    assert!(some.usage.policy_tokens < all.usage.policy_tokens * 2 / 3, "{:?} {:?}", some.usage, all.usage);
}

#[test]
fn a_kv_cap_slows_the_search_down_and_changes_nothing_else() {
    let mut recomputed = 0;
    for params in algorithms() {
        for tokens in [None, Some(130), Some(300)] {
            let budget = Budget { tokens, ..Budget::default() };
            let free =
                run(&mut ToyEngine::new(200, 8), &SearchParams { budget: budget.clone(), ..params.clone() }).unwrap();
            // The prompt and one sample at its cap; three of them; six.
            let one = (PROMPT.len() as u64 + params.max_tokens) * TOKEN_BYTES;
            for kv_bytes in [one, one * 3, one * 6] {
                let budget = Budget { kv_bytes: Some(kv_bytes), ..budget.clone() };
                let capped = run(&mut ToyEngine::new(200, 8), &SearchParams { budget, ..params.clone() }).unwrap();
                assert_eq!(essence(&capped), essence(&free), "{kv_bytes} bytes, {tokens:?} tokens, {params:?}");
                recomputed += capped.usage.recomputed_tokens;
            }
        }
    }
    assert!(recomputed > 0, "the cap was never met");
}

#[test]
fn branches_that_gave_up_their_kv_go_on_where_they_stood() {
    let params = SearchParams { n: 12, early_stop: EarlyStop::Never, max_tokens: 60, ..SearchParams::default() };
    let budget = Budget { kv_bytes: Some(66 * TOKEN_BYTES), ..Budget::default() };
    let mut toy = ToyEngine::new(200, 8);
    let capped = run(&mut toy, &SearchParams { budget, ..params.clone() }).unwrap();
    assert!(capped.usage.recomputed_tokens > 0, "the cap was never met");
    let mut roomy = ToyEngine::new(200, 8);
    let free = run(&mut roomy, &params).unwrap();
    assert_eq!(essence(&capped), essence(&free));
    assert_eq!(capped.usage.policy_tokens, free.usage.policy_tokens);
    // What the engine computed is what the usage says: prompt tails of restarts apart, each token once or again.
    let restarts = toy.computed - roomy.computed - capped.usage.recomputed_tokens;
    assert!(restarts <= 8 * 12, "{restarts}");
}

#[test]
fn a_sample_that_outgrows_the_cap_alone_is_cut_and_still_counts() {
    for params in algorithms() {
        let mut toy = ToyEngine::new(500, 8);
        toy.faults.endless = true;
        let budget = Budget { kv_bytes: Some(30 * TOKEN_BYTES), ..Budget::default() };
        let outcome = run(&mut toy, &SearchParams { budget, ..params.clone() }).unwrap();
        assert_eq!(outcome.stop_reason, StopReason::Memory);
        assert!(!outcome.text.is_empty() && outcome.answer.is_some(), "{outcome:?}");
        let budget = Budget { kv_bytes: Some(4 * TOKEN_BYTES), ..Budget::default() };
        let nothing = run(&mut toy, &SearchParams { budget, ..params.clone() }).unwrap();
        assert!(nothing.is_empty() && nothing.stop_reason == StopReason::Memory);
        let budget = Budget { kv_bytes: Some(3 * TOKEN_BYTES), ..Budget::default() };
        let error = run(&mut toy, &SearchParams { budget, ..params }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
    }
}

#[test]
fn cancelling_at_any_pass_gives_the_best_so_far() {
    for params in algorithms() {
        let mut whole = ToyEngine::new(200, 4);
        let complete = run(&mut whole, &params).unwrap();
        for at in 0..whole.passes {
            let mut toy = ToyEngine::new(200, 4);
            let cancel = CancelToken::new();
            toy.faults.cancel_at = Some((at, cancel.clone()));
            let outcome = run_until(&mut toy, &params, &cancel).unwrap();
            assert_eq!(outcome.stop_reason, StopReason::Cancelled);
            assert_eq!(toy.passes, at + 1, "the search went on");
            // Pass 0 is the prompt; a text is there from pass 2 on unless it began with the end of text.
            assert_eq!(outcome.is_empty(), outcome.usage.policy_tokens == 0);
            assert!(outcome.usage.policy_tokens <= complete.usage.policy_tokens);
            assert!(at < 2 || !outcome.text.is_empty());
        }
        let cancel = CancelToken::new();
        cancel.cancel();
        let mut toy = ToyEngine::new(200, 4);
        let outcome = run_until(&mut toy, &params, &cancel).unwrap();
        assert!(outcome.is_empty() && outcome.stop_reason == StopReason::Cancelled && toy.passes == 0);
    }
}

#[test]
fn a_cancelled_vote_keeps_the_samples_that_were_complete() {
    let params = SearchParams { n: 40, early_stop: EarlyStop::Never, max_tokens: 60, ..SearchParams::default() };
    let mut toy = ToyEngine::new(200, 4);
    let cancel = CancelToken::new();
    toy.faults.cancel_at = Some((60, cancel.clone()));
    let outcome = run_until(&mut toy, &params, &cancel).unwrap();
    assert!(outcome.candidates.iter().map(|c| c.votes).sum::<usize>() >= 3, "{outcome:?}");
}

#[test]
fn a_deadline_is_missed_by_at_most_one_pass() {
    for params in algorithms() {
        let mut toy = ToyEngine::new(20_000, 4);
        toy.faults.endless = true;
        toy.faults.pace = Duration::from_millis(2);
        let wall = Duration::from_millis(40);
        let budget = Budget { wall: Some(wall), ..Budget::default() };
        let start = Instant::now();
        let outcome = run(&mut toy, &SearchParams { budget, max_tokens: 10_000, ..params.clone() }).unwrap();
        assert_eq!(outcome.stop_reason, StopReason::Deadline);
        assert!(!outcome.text.is_empty() && outcome.answer.is_some());
        assert!(outcome.usage.wall >= wall && start.elapsed() >= wall);
        // Passes that began before the deadline, at 2 ms each or more.
        assert!(toy.passes <= 21, "{}", toy.passes);
        let budget = Budget { wall: Some(Duration::ZERO), ..Budget::default() };
        let outcome = run(&mut toy, &SearchParams { budget, ..params }).unwrap();
        assert!(outcome.is_empty() && outcome.stop_reason == StopReason::Deadline);
    }
}

#[test]
fn broken_logits_are_an_error_and_leave_no_branch_behind() {
    for params in algorithms() {
        for at in [1, 2, 9] {
            let mut toy = ToyEngine::new(200, 4);
            toy.faults.nan_at = Some(at);
            let error = run(&mut toy, &params).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite, "pass {at}");
        }
    }
}

#[test]
fn a_full_context_ends_a_sample_like_its_cap() {
    for params in algorithms() {
        let mut toy = ToyEngine::new(PROMPT.len() + 20, 4);
        toy.faults.endless = true;
        let outcome = run(&mut toy, &params).unwrap();
        assert_eq!(outcome.stop_reason, StopReason::Finished);
        assert!(outcome.answer.is_some());
        if trees().contains(&params) {
            continue;
        }
        let n = if params.algo == Algo::Greedy { 1 } else { params.n as u64 };
        assert_eq!(outcome.usage.policy_tokens, 21 * n, "the last token needs no KV of its own");
    }
    let full = run(&mut ToyEngine::new(PROMPT.len(), 4), &algorithms()[0]).unwrap();
    assert_eq!(full.usage.policy_tokens, 1);
    let error = run(&mut ToyEngine::new(PROMPT.len() - 1, 4), &algorithms()[0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextLength);
}

#[test]
fn the_seed_decides_and_nothing_else_does() {
    let params = |seed| SearchParams { n: 6, seed, early_stop: EarlyStop::Never, ..SearchParams::default() };
    let texts: Vec<_> = (0..4).map(|seed| run(&mut ToyEngine::new(600, 4), &params(seed)).unwrap().text).collect();
    let again = run(&mut ToyEngine::new(600, 3), &params(0)).unwrap();
    assert_eq!(again.text, texts[0]);
    assert!(texts.iter().any(|text| *text != texts[0]), "every seed gave the same text");
}

#[test]
fn parameters_out_of_range_are_refused() {
    let base = SearchParams::default;
    let bad = [
        SearchParams { n: 0, ..base() },
        SearchParams { n: usize::MAX, ..base() },
        SearchParams { max_tokens: 0, ..base() },
        SearchParams { early_stop: EarlyStop::Beta(1.0), ..base() },
        SearchParams { early_stop: EarlyStop::Beta(f64::NAN), ..base() },
        SearchParams { early_stop: EarlyStop::Window(1), ..base() },
        SearchParams { sampler: SamplerParams { top_p: 0.0, ..SamplerParams::default() }, ..base() },
    ];
    for params in bad {
        assert_eq!(run(&mut ToyEngine::new(200, 4), &params).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let empty = solve(&mut ToyEngine::new(9, 1), &Words, &[], &base(), None, "", &mut Silent, &CancelToken::new());
    assert_eq!(empty.map_err(|e: Error| e.kind()).unwrap_err(), ErrorKind::InvalidArgument);
}

#[test]
fn the_observer_sees_every_text_as_it_grows() {
    #[derive(Default)]
    struct Watch {
        started: Vec<u64>,
        texts: Vec<String>,
        done: Vec<(u64, Option<String>, usize)>,
    }
    impl Observer for Watch {
        fn event(&mut self, event: &Event<'_>) {
            match *event {
                Event::NodeStarted { node, parent: 0, greedy: false } => self.started.push(node),
                Event::NodeText { node, text } => {
                    self.texts.resize(self.texts.len().max(node as usize), String::new());
                    self.texts[node as usize - 1].push_str(text);
                }
                Event::NodeDone { node, parent: 0, text, tokens, answer, policy_tokens, end, .. } => {
                    assert_eq!(text, self.texts.get(node as usize - 1).map_or("", String::as_str));
                    assert!(policy_tokens >= tokens.len() as u64 && end != "interrupted", "{event:?}");
                    self.done.push((node, answer.map(str::to_owned), tokens.len()));
                }
                _ => {}
            }
        }
    }
    let params = SearchParams { n: 6, early_stop: EarlyStop::Never, max_tokens: 60, ..SearchParams::default() };
    let mut watch = Watch::default();
    let mut toy = ToyEngine::new(200, 4);
    let outcome = solve(&mut toy, &Words, &PROMPT, &params, None, "", &mut watch, &CancelToken::new()).unwrap();
    assert!(watch.texts.contains(&outcome.text));
    let mut nodes: Vec<u64> = watch.done.iter().map(|d| d.0).collect();
    nodes.sort_unstable();
    assert_eq!((nodes, watch.started), ((1..=6).collect(), (1..=6).collect()));
    assert_eq!(watch.done.iter().map(|d| d.2 as u64).sum::<u64>(), outcome.usage.policy_tokens);
    assert!(watch.done.iter().any(|d| d.1 == outcome.answer));
}

#[test]
fn a_judge_sees_every_step_once_and_decides_the_same_under_every_schedule() {
    for params in algorithms() {
        for taps in [&[][..], &[Tap::Final], &[Tap::Layer(0), Tap::Final]] {
            for tokens in [None, Some(61), Some(130)] {
                let params = SearchParams { budget: Budget { tokens, ..Budget::default() }, ..params.clone() };
                let alone = run_judged(&mut ToyEngine::new(200, 1), &params, taps).unwrap();
                for width in [3, 16] {
                    let together = run_judged(&mut ToyEngine::new(200, width), &params, taps).unwrap();
                    assert_eq!(essence(&together), essence(&alone), "width {width}, {params:?}");
                }
            }
        }
    }
}

#[test]
fn a_tree_under_a_kv_cap_evicts_and_computes_again_and_stays_the_same() {
    let mut recomputed = 0;
    for params in trees() {
        let free = run_judged(&mut ToyEngine::new(200, 8), &params, &[Tap::Final]).unwrap();
        for tokens in [75, 100, 150] {
            let budget = Budget { kv_bytes: Some(tokens * TOKEN_BYTES), ..Budget::default() };
            let capped = SearchParams { budget, ..params.clone() };
            let capped = run_judged(&mut ToyEngine::new(200, 8), &capped, &[Tap::Final]).unwrap();
            assert_eq!(essence(&capped), essence(&free), "{tokens} tokens, {params:?}");
            recomputed += capped.usage.recomputed_tokens;
        }
    }
    assert!(recomputed > 0, "the cap was never met");
}

#[test]
fn a_search_can_be_paused_saved_and_gone_on_with_at_any_pass() {
    for params in algorithms() {
        let whole = run_judged(&mut ToyEngine::new(200, 4), &params, &[Tap::Final]).unwrap();
        let passes = whole.usage.forward_passes;
        for stop in [1, 2, passes / 3, passes / 2, passes - 1] {
            let mut bytes = Vec::new();
            {
                let mut toy = ToyEngine::new(200, 4);
                let mut judge = Checksum::new(&[Tap::Final]);
                let mut search = Search::new(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "").unwrap();
                assert_eq!(search.advance(stop, &mut Silent, &CancelToken::new()).unwrap(), None, "{params:?}");
                search.save(&mut bytes).unwrap();
            }
            // Another process, another width.
            let mut toy = ToyEngine::new(200, 3);
            let mut judge = Checksum { anew: true, ..Checksum::new(&[Tap::Final]) };
            let outcome = {
                let mut input = bytes.as_slice();
                let resumed = Search::resume(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "", &mut input);
                let mut search = resumed.unwrap();
                search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap();
                search.finish(&mut Silent)
            };
            assert_eq!(essence(&outcome), essence(&whole), "stopped after {stop} passes, {params:?}");
            assert_eq!(toy.memory().kv, 0);
            if params.early_stop == EarlyStop::Never {
                assert_eq!(outcome.usage.policy_tokens, whole.usage.policy_tokens);
                assert_eq!(outcome.usage.recomputed_tokens, 0, "KV was in the file");
            }
        }
    }
}

#[test]
fn a_damaged_or_foreign_file_is_no_search() {
    let params = SearchParams { algo: Algo::Beam, ..base() };
    let mut bytes = Vec::new();
    {
        let mut toy = ToyEngine::new(200, 4);
        let mut search = Search::new(&mut toy, &Words, &PROMPT, &params, None, "").unwrap();
        assert_eq!(search.advance(20, &mut Silent, &CancelToken::new()).unwrap(), None);
        search.save(&mut bytes).unwrap();
    }
    let resume = |bytes: &[u8], params: &SearchParams| {
        let mut toy = ToyEngine::new(200, 4);
        let mut input = bytes;
        let resumed = Search::resume(&mut toy, &Words, &PROMPT, params, None, "", &mut input).map(drop);
        assert_eq!((toy.memory().kv, toy.alive()), (0, 0));
        resumed
    };
    assert!(resume(&bytes, &params).is_ok());
    let other = resume(&bytes, &SearchParams { seed: 6, ..params.clone() }).unwrap_err();
    assert!(other.to_string().contains("parameters"), "{other}");
    for end in (0..bytes.len()).step_by(3) {
        assert!(resume(&bytes[..end], &params).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x91;
        // Damage that cannot be told from another number is a search like any other: it must not crash.
        let _ = resume(&bytes, &params);
    }
}

#[test]
fn energy_ends_a_search_like_time() {
    let mut toy = ToyEngine::new(20_000, 4);
    toy.faults.endless = true;
    let budget = Budget { joules: Some(0.0), ..Budget::default() };
    let outcome = run(&mut toy, &SearchParams { budget, ..base() }).unwrap();
    assert_eq!(outcome.stop_reason, StopReason::Energy);
}
