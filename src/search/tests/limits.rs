//! What a search may spend, and what ends it early.

use std::time::{Duration, Instant};

use super::*;
use crate::engine::toy::{SCRATCH_BYTES, TOKEN_BYTES};
use crate::{Error, ErrorKind};

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
fn a_cap_on_all_bytes_is_never_exceeded_and_changes_nothing_else() {
    let mut narrower = 0;
    for params in algorithms() {
        let free = run(&mut ToyEngine::new(200, 8), &params).unwrap();
        for percent in [90, 60, 40] {
            let bytes = free.usage.peak_bytes * percent / 100;
            let budget = Budget { bytes: Some(bytes), ..Budget::default() };
            let capped = run(&mut ToyEngine::new(200, 8), &SearchParams { budget, ..params.clone() }).unwrap();
            assert!(capped.usage.peak_bytes <= bytes, "{} of {bytes} bytes, {params:?}", capped.usage.peak_bytes);
            if capped.stop_reason != StopReason::Memory {
                assert_eq!(essence(&capped), essence(&free), "{bytes} bytes, {params:?}");
                narrower += 1;
            }
        }
    }
    assert!(narrower > 0, "no search found its way through less memory");
}

#[test]
fn a_long_prompt_under_a_cap_on_all_bytes_is_computed_in_small_parts() {
    let prompt = [3; 400];
    // KV of the prompt and of one short line, and the buffers and rows of few tokens: a part of 256 would take 5,120 bytes more.
    let bytes = 412 * TOKEN_BYTES + 20 * SCRATCH_BYTES + 400;
    let budget = Budget { bytes: Some(bytes), ..Budget::default() };
    let params = SearchParams { algo: Algo::Greedy, max_tokens: 10, budget, ..base() };
    let mut toy = ToyEngine::new(500, 8);
    let outcome = solve(&mut toy, &Words, &prompt, &params, None, "", &mut Silent, &CancelToken::new()).unwrap();
    assert!(outcome.usage.policy_tokens > 0 && outcome.usage.peak_bytes <= bytes, "{outcome:?}");
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
fn energy_ends_a_search_like_time() {
    let mut toy = ToyEngine::new(20_000, 4);
    toy.faults.endless = true;
    let budget = Budget { joules: Some(0.0), ..Budget::default() };
    let outcome = run(&mut toy, &SearchParams { budget, ..base() }).unwrap();
    assert_eq!(outcome.stop_reason, StopReason::Energy);
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
fn energy_ends_a_long_prompt_after_one_pass() {
    let prompt = [PROMPT.as_slice(); 200].concat();
    let budget = Budget { joules: Some(1e-9), ..Budget::default() };
    let params = SearchParams { budget, ..base() };
    let mut toy = ToyEngine::new(2000, 4);
    let outcome = solve(&mut toy, &Words, &prompt, &params, None, "", &mut Silent, &CancelToken::new()).unwrap();
    assert_eq!((outcome.stop_reason, outcome.is_empty()), (StopReason::Energy, true));
    assert!(toy.passes <= 1, "{}", toy.passes);
}

#[test]
fn no_solution_outgrows_its_cap() {
    struct Longest(std::collections::HashMap<u64, usize>);
    impl crate::observe::Observer for Longest {
        fn event(&mut self, event: &crate::observe::Event<'_>) {
            if let crate::observe::Event::NodeDone { node, parent, tokens, .. } = event {
                let above = self.0.get(parent).copied().unwrap_or_default();
                self.0.insert(*node, above + tokens.len());
            }
        }
    }
    for params in algorithms().into_iter().filter(|params| params.algo != Algo::BudgetForcing) {
        // A multiple of a round of seven and of a step of twelve.
        let params = SearchParams { max_tokens: 84, ..params };
        let mut toy = ToyEngine::new(500, 4);
        toy.faults.endless = true;
        let mut longest = Longest(Default::default());
        solve(&mut toy, &Words, &PROMPT, &params, None, "", &mut longest, &CancelToken::new()).unwrap();
        assert!(longest.0.values().all(|&tokens| tokens <= 84), "{params:?}");
    }
}
