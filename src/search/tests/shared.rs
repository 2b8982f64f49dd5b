//! Searches that share an engine find what they find alone.

use std::sync::Barrier;
use std::time::Duration;

use super::*;
use crate::engine::Shared;

#[test]
fn searches_side_by_side_are_the_searches_alone() {
    let taps = &[Tap::Layer(0), Tap::Final][..];
    for tokens in [None, Some(61)] {
        let budget = Budget { tokens, ..Budget::default() };
        let all: Vec<_> =
            algorithms().into_iter().map(|params| SearchParams { budget: budget.clone(), ..params }).collect();
        let mut toy = ToyEngine::new(200, 4);
        toy.faults.pace = Duration::from_micros(100);
        let (shared, start) = (Shared::new(toy), &Barrier::new(all.len()));
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter()
                .map(|params| {
                    let mut share = shared.share();
                    scope.spawn(move || {
                        start.wait();
                        let (mut judge, go) = (Checksum::new(taps), CancelToken::new());
                        solve(&mut share, &Words, &PROMPT, params, Some(&mut judge), "", &mut Silent, &go).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let toy = shared.into_inner();
        assert!(toy.alive() == 0 && toy.widest > 4, "{} branches at most", toy.widest);
        for (params, outcome) in all.iter().zip(outcomes) {
            let alone = run_judged(&mut ToyEngine::new(200, 4), params, taps).unwrap();
            assert_eq!(essence(&outcome), essence(&alone), "{params:?}");
            assert_eq!(outcome.usage.policy_tokens, alone.usage.policy_tokens, "{params:?}");
        }
    }
}
