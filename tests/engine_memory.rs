//! What the native engine says that a pass will take, against what it holds afterwards.

#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

mod support;

use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::native::NativeEngine;
use ruminate::engine::{Batch, Branch, Engine, Rows, Tap, Want};
use ruminate::model::Adapter;
use support::tiny::{TINY, engine, tiny, tokens};

/// Attention's buffers are made for the cache's size, whatever the model's: bytes per thread.
const ATTENTION: u64 = 600_000;
const MOST_THREADS: u64 = 5;

/// A pass that appends one token to each branch, or all of `tokens` to the only one, and checks what it took.
fn pass(engine: &mut NativeEngine, branches: &[Branch], tokens: &[u32], want: Want, at: &str) {
    let mut batch = Batch::default().with_taps(&[Tap::Layer(0), Tap::Final]);
    match branches {
        [branch] => batch.extend(branch, tokens, want),
        many => many.iter().zip(tokens).for_each(|(branch, &token)| batch.push(branch, token, want)),
    }
    let told = engine.scratch_of(&batch);
    engine.forward(&batch, &mut Rows::new()).unwrap();
    let held = engine.memory().scratch;
    assert!(held <= told, "{at}: {held} bytes are held and {told} were told");
    assert!(told <= 2 * held + MOST_THREADS * ATTENTION, "{at}: {told} bytes were told and {held} are held");
}

fn passes(engine: &mut NativeEngine, n_vocab: usize, at: &str) {
    let root = engine.root().unwrap();
    let root = std::slice::from_ref(&root);
    for (i, n) in [1, 40, 130, 7].into_iter().enumerate() {
        pass(engine, root, &tokens(i as u64, n, n_vocab), Want::None, at);
    }
    // Branches of branches, a token each: paths of many parts of pages.
    let mut branches = vec![engine.fork(&root[0]).unwrap()];
    for i in 0..40 {
        branches.push(engine.fork(&branches[i]).unwrap());
        let want = [Want::Logits, Want::Both, Want::None][i % 3];
        pass(engine, &branches, &tokens(i as u64, branches.len(), n_vocab), want, at);
    }
    pass(engine, root, &tokens(9, 30, n_vocab), Want::Hidden, at);
    engine.trim();
    assert_eq!(engine.memory().scratch, 0, "{at}");
    pass(engine, root, &tokens(8, 1, n_vocab), Want::Logits, at);
}

#[test]
fn no_pass_takes_more_than_it_said() {
    for name in TINY {
        let model = tiny(name);
        for threads in [1, 2, 5] {
            let mut engine = engine(&model, |o| o.threads = threads);
            passes(&mut engine, model.config().n_vocab, &format!("{name}, {threads} threads"));
        }
    }
}

#[test]
fn with_adapters_neither() {
    for name in ["llama", "qwen2", "gemma3", "phi3"] {
        let model = tiny(name);
        let path = support::fixtures().join(format!("adapters/{name}.gguf"));
        let adapter = Arc::new(Adapter::open(&path, model.config(), &Limits::default()).unwrap());
        let mut engine = engine(&model, |o| o.threads = 2);
        engine.set_adapters(&[(Arc::clone(&adapter), 1.0), (adapter, 0.5)]).unwrap();
        passes(&mut engine, model.config().n_vocab, name);
    }
}
