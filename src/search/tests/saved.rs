//! Paused, saved and gone on with.

use super::*;
use crate::reward::{Host, Mix, Product};

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
                let resumed =
                    Search::new(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "").unwrap().load(&mut input);
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

/// A head times a reward model that is interrupted when it is asked the `at`th time.
fn product(cancel_at: Option<(usize, CancelToken)>, anew: bool) -> Product {
    let head = Checksum { anew, ..Checksum::new(&[Tap::Final]) };
    let model = Checksum { cancel_at, ..Checksum::new(&[]) };
    Product::new(Mix::Mean, vec![Box::new(head), Box::new(model)]).unwrap()
}

#[test]
fn a_search_whose_judge_was_interrupted_goes_on_as_if_it_had_not_been() {
    for params in algorithms() {
        let mut toy = ToyEngine::new(200, 4);
        let whole = run_with(&mut toy, &params, Some(&mut product(None, false)), &CancelToken::new()).unwrap();
        for at in [1, 2, 5] {
            let (mut bytes, cancel) = (Vec::new(), CancelToken::new());
            {
                let mut toy = ToyEngine::new(200, 4);
                let mut judge = product(Some((at, cancel.clone())), false);
                let mut search = Search::new(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "").unwrap();
                let stop = search.advance(u64::MAX, &mut Silent, &cancel).unwrap();
                if stop == Some(StopReason::Finished) {
                    continue;
                }
                assert_eq!(stop, Some(StopReason::Cancelled));
                search.save(&mut bytes).unwrap();
            }
            let (mut toy, mut judge) = (ToyEngine::new(200, 3), product(None, true));
            let search = Search::new(&mut toy, &Words, &PROMPT, &params, Some(&mut judge), "").unwrap();
            let mut search = search.load(&mut bytes.as_slice()).unwrap();
            search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap();
            let outcome = search.finish(&mut Silent);
            assert_eq!(essence(&outcome), essence(&whole), "asked {at} times, {params:?}");
        }
    }
}

#[test]
fn a_search_that_failed_can_only_be_finished() {
    let mut toy = ToyEngine::new(200, 4);
    let fails = |_: &[Step<'_>], _: &Interrupt| Err(crate::Error::invalid("no"));
    let mut judge = Host::new("fails", fails);
    let mut search = Search::new(&mut toy, &Words, &PROMPT, &base(), Some(&mut judge), "").unwrap();
    assert_eq!(search.advance(u64::MAX, &mut Silent, &CancelToken::new()).unwrap_err().to_string(), "no");
    for again in [search.advance(1, &mut Silent, &CancelToken::new()).map(drop), search.save(&mut Vec::new())] {
        assert!(again.unwrap_err().to_string().contains("cannot go on"));
    }
    assert!(!search.finish(&mut Silent).text.is_empty());
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
        let resumed = Search::new(&mut toy, &Words, &PROMPT, params, None, "").unwrap().load(&mut input).map(drop);
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
