use std::sync::Barrier;
use std::time::Duration;

use super::*;
use crate::engine::toy::{ToyEngine, WORDS};
use crate::engine::{Tap, Want};
use crate::observe::{CancelToken, Interrupt};
use crate::text::TokenId;

/// A line of `tokens` through `engine`: the rows of logits and states after each of them.
fn line(engine: &mut dyn Engine, tokens: &[TokenId], taps: &[Tap]) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
    let (branch, mut rows) = (engine.root()?, Rows::new());
    let mut all = Vec::new();
    for &token in tokens {
        let interrupt = Interrupt::default();
        let mut batch = Batch::new(&interrupt).with_taps(taps);
        batch.push(&branch, token, Want::Both);
        engine.forward(&batch, &mut rows)?;
        all.push((rows.logits(0).unwrap().to_vec(), rows.hidden(0).unwrap().to_vec()));
        assert!(rows.row(1).is_none() && rows.hidden(1).is_none());
    }
    engine.release(branch);
    Ok(all)
}

fn tokens(of: u32) -> Vec<TokenId> {
    (0..40 + of).map(|i| (i * (of + 3)) % WORDS.len() as u32).collect()
}

/// What every one of `n` threads makes of its share, and the engine afterwards.
fn together<T: Send>(
    toy: ToyEngine,
    n: u32,
    work: impl Fn(u32, &mut Share<'_, ToyEngine>) -> T + Sync,
) -> (Vec<T>, ToyEngine) {
    let (shared, start) = (Shared::new(toy), Barrier::new(n as usize));
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n)
            .map(|i| {
                let (mut share, start, work) = (shared.share(), &start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(i, &mut share)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (done, shared.into_inner())
}

#[test]
fn each_gets_its_own_rows_of_common_passes() {
    let mut toy = ToyEngine::new(200, 8);
    toy.faults.pace = Duration::from_millis(2);
    let (done, toy) = together(toy, 6, |i, share| line(share, &tokens(i), &[Tap::Layer(0), Tap::Final]).unwrap());
    for (i, rows) in (0..).zip(done) {
        assert_eq!(rows, line(&mut ToyEngine::new(200, 8), &tokens(i), &[Tap::Layer(0), Tap::Final]).unwrap(), "{i}");
    }
    let alone: usize = (0..6).map(|i| tokens(i).len()).sum();
    assert!(toy.passes < alone / 2, "{} passes for {alone} tokens", toy.passes);
    assert!(toy.widest > 1 && toy.widest <= 6 && toy.alive() == 0);
}

#[test]
fn states_of_different_layers_are_read_in_passes_of_their_own() {
    let taps = |i: u32| if i.is_multiple_of(2) { [Tap::Final] } else { [Tap::Layer(1)] };
    let (done, _) = together(ToyEngine::new(200, 8), 4, |i, share| line(share, &tokens(i), &taps(i)).unwrap());
    for (i, rows) in (0..).zip(done) {
        assert_eq!(rows, line(&mut ToyEngine::new(200, 8), &tokens(i), &taps(i)).unwrap());
    }
}

#[test]
fn what_one_does_wrong_is_its_own_error() {
    let (done, toy) = together(ToyEngine::new(50, 8), 4, |i, share| {
        let long: Vec<_> = tokens(1).into_iter().chain(tokens(2)).collect();
        line(share, if i == 2 { &long } else { &long[..50] }, &[Tap::Final]).map_err(|error| error.kind())
    });
    for (i, rows) in done.into_iter().enumerate() {
        match rows {
            Ok(rows) => assert_eq!((rows.len(), i != 2), (50, true)),
            Err(kind) => assert_eq!((kind, i), (ErrorKind::ContextLength, 2)),
        }
    }
    // The line that failed was not given back.
    assert_eq!(toy.alive(), 1);
}

#[test]
fn a_cap_is_its_own_and_counts_the_kv_of_all() {
    let (done, mut toy) = together(ToyEngine::new(200, 8), 2, |i, share| {
        assert_eq!(share.memory().kv_limit, u64::MAX);
        if i == 0 {
            share.set_kv_limit(1);
            assert_eq!(share.memory().kv_limit, 1);
        }
        line(share, &tokens(i), &[Tap::Final]).map_err(|error| error.kind()).map(|rows| rows.len())
    });
    assert_eq!(done, [Err(ErrorKind::Memory), Ok(tokens(1).len())]);
    assert_eq!(toy.memory().kv_limit, u64::MAX);
    toy.set_kv_limit(7);
    assert_eq!(Shared::new(toy).share().memory().kv_limit, 7);
}

#[test]
fn who_does_not_ask_holds_nobody_up_for_long() {
    let mut toy = ToyEngine::new(200, 8);
    toy.faults.pace = Duration::from_millis(1);
    let (shared, meet) = (Shared::new(toy), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut idle = shared.share();
            line(&mut idle, &tokens(0), &[Tap::Final]).unwrap();
            // It stays, and asks for nothing, until the other one is done.
            meet.wait();
        });
        line(&mut shared.share(), &tokens(9), &[Tap::Final]).unwrap();
        meet.wait();
    });
}

#[test]
fn who_is_cancelled_leaves_the_others_alone() {
    let cancel = CancelToken::new();
    let (done, toy) = together(ToyEngine::new(200, 8), 3, |i, share| {
        if i != 1 {
            return line(share, &tokens(i), &[Tap::Final]).map(|rows| rows.len()).map_err(|error| error.kind());
        }
        line(share, &tokens(i), &[Tap::Final]).unwrap();
        cancel.cancel();
        let (branch, interrupt) = (share.root().unwrap(), Interrupt { cancel: cancel.clone(), deadline: None });
        let mut batch = Batch::new(&interrupt);
        batch.push(&branch, 1, Want::Logits);
        let refused = share.forward(&batch, &mut Rows::new());
        share.release(branch);
        refused.map(|()| 0).map_err(|error| error.kind())
    });
    assert_eq!(done, [Ok(tokens(0).len()), Err(ErrorKind::Cancelled), Ok(tokens(2).len())]);
    assert_eq!(toy.alive(), 0);
}
