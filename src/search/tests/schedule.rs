//! The outcome does not depend on how the work is arranged.

use super::*;
use crate::observe::Event;

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
fn auto_counts_what_it_was_told_and_nothing_that_ran_beside_it() {
    for seed in 0..30 {
        let params = SearchParams { algo: Algo::Auto, n: 40, seed, ..base() };
        let alone = run(&mut ToyEngine::new(200, 1), &params).unwrap();
        for width in [3, 16] {
            let together = run(&mut ToyEngine::new(200, width), &params).unwrap();
            assert_eq!(essence(&together), essence(&alone), "width {width}, seed {seed}");
        }
    }
}

#[test]
fn what_auto_could_afford_is_part_of_its_journal() {
    let wall = Some(std::time::Duration::from_secs(3600));
    let params = SearchParams { algo: Algo::Auto, n: 24, early_stop: EarlyStop::Never, ..base() };
    let run = |params: &SearchParams, journal: &str| {
        let mut toy = ToyEngine::new(200, 4);
        let search = Search::new(&mut toy, &Words, &PROMPT, params, None, "").unwrap();
        let mut search = search.with_journal(journal)?;
        search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap();
        Ok::<_, crate::Error>(search.finish(&mut Silent))
    };
    let free = run(&params, "").unwrap();
    assert_eq!(free.journal, "20");
    let timed = SearchParams { budget: Budget { wall, ..Budget::default() }, ..params.clone() };
    let fewer = run(&timed, "7").unwrap();
    assert_eq!(fewer.journal, "7", "whatever the clock says");
    assert!(fewer.usage.policy_tokens < free.usage.policy_tokens);
    assert!(run(&params, "many").is_err());
}

#[test]
fn deep_conf_weighs_votes_by_its_own_confidence() {
    let deep_conf = DeepConfParams { warm_up: 4, window: 5, keep: 0.5 };
    let params = SearchParams { algo: Algo::DeepConf, n: 16, deep_conf, ..base() };
    let outcome = run(&mut ToyEngine::new(200, 4), &params).unwrap();
    assert!(
        outcome.candidates.len() > 1 && outcome.candidates.is_sorted_by(|a, b| a.weight >= b.weight),
        "{outcome:?}"
    );
    assert!(
        outcome.candidates.iter().all(|c| (0.0..=1.0).contains(&c.score) && c.weight > c.votes as f64),
        "{outcome:?}"
    );
    assert!((0.0..=1.0).contains(&outcome.score.unwrap()));
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
