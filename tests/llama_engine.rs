//! llama.cpp behind the engine's trait: what every engine has to do, the same numbers as ours, and calls that end the process when
//! made raw.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

/// The crate stands outside the workspace, so its own tests run here.
#[path = "../llama/src/layout.rs"]
mod layout;
#[allow(dead_code, reason = "only its own tests")]
#[path = "../llama/src/lines.rs"]
mod lines;
mod support;

use std::sync::{Arc, Mutex};

use ruminate::engine::llama::{LlamaEngine, LlamaModel, LlamaOptions};
use ruminate::engine::native::NativeEngine;
use ruminate::engine::{Batch, Branch, Engine, Rows, Tap, Want, observe_log};
use ruminate::gguf::Gguf;
use ruminate::model::{Adapter, Config};
use ruminate::observe::{CancelToken, Event, Interrupt, LogLevel};
use ruminate::storage::LoadMode;
use ruminate::{ErrorKind, Limits, Result};
use support::tiny::{TINY, engine, tiny, tiny_path, tokens};

/// Logits of F32 networks: llama.cpp keeps keys and values in half precision as we do, and adds up in another order.
const CLOSE: f32 = 0.02;
/// Where llama.cpp departs from the published networks, which PyTorch confirms ours for in `tiny_models`: it reads YaRN's betas for one
/// architecture alone.
const DIFFERENT: [&str; 1] = ["qwen2_yarn"];
/// Longer than a page, so that prefixes end inside one.
const PROMPT: usize = 45;

fn opened(name: &str, change: impl FnOnce(&mut LlamaOptions)) -> Result<LlamaEngine> {
    let path = tiny_path(name, "gguf");
    let gguf = Gguf::open(&path, LoadMode::Mmap, &Limits::default())?;
    let mut options = LlamaOptions::new(path);
    (options.threads, options.n_ctx, options.branches) = (2, Some(256), 40);
    // Another device than the processor, by its name.
    options.devices = vec![std::env::var("RUMINATE_TEST_DEVICE").unwrap_or_else(|_| "CPU".into())];
    change(&mut options);
    LlamaEngine::load(&gguf, &options)
}

fn llama(name: &str) -> LlamaEngine {
    opened(name, |_| ()).unwrap()
}

/// Appends `tokens` in one pass; logits of all of them.
fn extend(engine: &mut impl Engine, branch: &Branch, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
    let mut batch = Batch::new(&Interrupt::default());
    tokens.iter().for_each(|&token| batch.push(branch, token, Want::Logits));
    let mut rows = Rows::new();
    engine.forward(&batch, &mut rows)?;
    Ok((0..tokens.len()).map(|i| rows.logits(i).unwrap().to_vec()).collect())
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_and_hidden_states_are_ours_at_every_tap() {
    for name in TINY.into_iter().filter(|name| !DIFFERENT.contains(name)) {
        let (model, mut theirs) = (tiny(name), llama(name));
        let mut ours = engine(&model, |_| ());
        assert_eq!(theirs.info().fingerprint, ours.info().fingerprint);
        let n_layer = model.config().n_layer;
        let taps: Vec<Tap> = (0..n_layer).map(Tap::Layer).chain([Tap::Final]).collect();
        let prompt = tokens(1, PROMPT, model.config().n_vocab);
        let run = |engine: &mut dyn Engine| {
            let branch = engine.root().unwrap();
            let interrupt = Interrupt::default();
            let mut batch = Batch::new(&interrupt).with_taps(&taps);
            for (i, &token) in prompt.iter().enumerate() {
                batch.push(&branch, token, if i % 3 == 0 { Want::Both } else { Want::None });
            }
            let mut rows = Rows::new();
            engine.forward(&batch, &mut rows).unwrap();
            let n = PROMPT.div_ceil(3);
            assert!(rows.logits(n).is_none() && rows.hidden(n).is_none());
            let row = |i| (rows.logits(i).unwrap().to_vec(), rows.hidden(i).unwrap().to_vec());
            (0..n).map(row).collect::<Vec<_>>()
        };
        let (ours, theirs) = (run(&mut ours), run(&mut theirs));
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let width = ours.1.len() / taps.len();
            for (tap, (a, b)) in taps.iter().zip(ours.1.chunks(width).zip(theirs.1.chunks(width))) {
                let off = distance(a, b) / a.iter().map(|x| x.abs()).fold(1.0, f32::max);
                assert!(off < CLOSE, "{name}, row {i}: hidden states at {tap:?} differ by {off}");
            }
            let off = distance(&ours.0, &theirs.0);
            assert!(off < CLOSE, "{name}, row {i}: logits differ by {off}");
        }
    }
}

#[test]
fn branches_of_one_prefix_go_their_own_ways() {
    let model = tiny("qwen2");
    let (mut ours, mut theirs) = (engine(&model, |_| ()), llama("qwen2"));
    let n_vocab = model.config().n_vocab;
    let paths: Vec<_> = (0..32).map(|i| tokens(100 + i, 5, n_vocab)).collect();
    let run = |engine: &mut dyn Engine| {
        let root = engine.root().unwrap();
        let (interrupt, mut rows) = (Interrupt::default(), Rows::new());
        let mut batch = Batch::new(&interrupt);
        batch.extend(&root, &tokens(3, PROMPT, n_vocab), Want::None);
        engine.forward(&batch, &mut rows).unwrap();
        let branches: Vec<_> = paths.iter().map(|_| engine.fork(&root).unwrap()).collect();
        let mut all = Vec::new();
        for step in 0..5 {
            let mut batch = Batch::new(&interrupt);
            branches.iter().zip(&paths).for_each(|(branch, path)| batch.push(branch, path[step], Want::Logits));
            engine.forward(&batch, &mut rows).unwrap();
            all.extend((0..branches.len()).map(|i| rows.logits(i).unwrap().to_vec()));
        }
        assert!(branches.iter().all(|branch| engine.len(branch) == PROMPT + 5));
        branches.into_iter().chain([root]).for_each(|branch| engine.release(branch));
        assert_eq!(engine.memory().kv, 0, "everything was given back");
        all
    };
    let (ours, theirs) = (run(&mut ours), run(&mut theirs));
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!(distance(a, b) < CLOSE, "branch {} step {}", i % 32, i / 32);
    }
}

#[test]
fn a_truncated_and_extended_branch_equals_a_fresh_one() {
    let mut engine = llama("llama");
    let n_vocab = engine.info().n_vocab;
    let (long, other) = (tokens(4, PROMPT, n_vocab), tokens(5, 7, n_vocab));
    let mut branch = engine.root().unwrap();
    extend(&mut engine, &branch, &long[..40]).unwrap();
    let fork = engine.fork(&branch).unwrap();
    engine.truncate(&mut branch, 33).unwrap();
    let cut = extend(&mut engine, &branch, &other).unwrap();
    let fresh = engine.root().unwrap();
    extend(&mut engine, &fresh, &long[..33]).unwrap();
    let expected = extend(&mut engine, &fresh, &other).unwrap();
    assert!(cut.iter().zip(&expected).all(|(a, b)| distance(a, b) < CLOSE));
    assert_eq!((engine.len(&fork), engine.len(&branch)), (40, 40), "the fork was not cut");
    assert!(engine.truncate(&mut branch, 41).is_err());
}

#[test]
fn what_ends_a_process_raw_is_an_error() {
    let mut engine = opened("llama", |o| (o.branches, o.kv_limit) = (8, None)).unwrap();
    let n_vocab = engine.info().n_vocab as u32;
    let kinds = |result: Result<Vec<Vec<f32>>>| result.unwrap_err().kind();
    let root = engine.root().unwrap();
    // 1, 2: ids outside the vocabulary.
    assert_eq!(kinds(extend(&mut engine, &root, &[n_vocab])), ErrorKind::InvalidArgument);
    assert_eq!(kinds(extend(&mut engine, &root, &[1, u32::MAX])), ErrorKind::InvalidArgument);
    // 3: more tokens than one branch holds.
    assert_eq!(kinds(extend(&mut engine, &root, &[1; 257])), ErrorKind::ContextLength);
    // 4: more tokens than any pass may have.
    let huge = vec![1; Limits::default().batch_tokens + 1];
    assert_eq!(kinds(extend(&mut engine, &root, &huge)), ErrorKind::InvalidArgument);
    assert_eq!(engine.len(&root), 0, "none of them changed the branch");
    // 5: more outputs than llama.cpp has rows for are done in several calls.
    assert_eq!(extend(&mut engine, &root, &[1; 100]).unwrap().len(), 100);
    // 6: a branch of another engine.
    let mut other = llama("llama");
    let foreign = other.root().unwrap();
    assert_eq!(kinds(extend(&mut engine, &foreign, &[1])), ErrorKind::InvalidArgument);
    assert!(engine.fork(&foreign).is_err());
    engine.release(foreign);
    // 7: more branches than sequences.
    let forks: Vec<_> = (0..7).map(|_| engine.fork(&root).unwrap()).collect();
    assert_eq!(engine.fork(&root).unwrap_err().kind(), ErrorKind::Memory);
    // 8: more tokens than there are cells.
    let full = forks.iter().map(|fork| extend(&mut engine, fork, &[2; 156])).find_map(Result::err).unwrap();
    assert_eq!(full.kind(), ErrorKind::Memory);
    forks.into_iter().for_each(|fork| engine.release(fork));
    extend(&mut engine, &root, &[3; 10]).unwrap();
    // 9: a tap that there is not.
    let interrupt = Interrupt::default();
    let taps = [Tap::Layer(99)];
    let mut batch = Batch::new(&interrupt).with_taps(&taps);
    batch.push(&root, 1, Want::Hidden);
    assert!(engine.forward(&batch, &mut Rows::new()).is_err());
    // 10: a stopped pass, after which the branch stands where it stood.
    let cancel = CancelToken::new();
    cancel.cancel();
    let stopped = Interrupt { cancel, deadline: None };
    let mut batch = Batch::new(&stopped);
    batch.push(&root, 1, Want::Logits);
    assert_eq!(engine.forward(&batch, &mut Rows::new()).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(engine.len(&root), 110);
    // 11: files that are none.
    for path in ["/nonexistent.gguf", "Cargo.toml"] {
        let gguf = Gguf::open(&tiny_path("llama", "gguf"), LoadMode::Mmap, &Limits::default()).unwrap();
        assert!(LlamaEngine::load(&gguf, &LlamaOptions::new(path)).is_err(), "{path}");
    }
    // 12: sizes out of range.
    assert!(opened("llama", |o| o.n_ctx = Some(0)).is_err());
    assert!(opened("llama", |o| o.branches = 257).is_err());
    assert!(opened("llama", |o| o.branches = usize::MAX).is_err());
    assert!(opened("gemma3", |o| o.branches = 128).is_err(), "a sliding window takes two sequences for each");
    assert!(opened("llama", |o| o.branches = 0).is_err());
    assert_eq!(opened("llama", |o| o.kv_limit = Some(1)).err().unwrap().kind(), ErrorKind::Memory);
    assert!(opened("llama", |o| o.devices = vec!["no such device".into()]).is_err());
    extend(&mut engine, &root, &[3]).unwrap();
}

#[test]
fn adapters_move_both_engines_alike_and_are_let_go() {
    for name in ["llama", "qwen2", "gemma3"] {
        let model = tiny(name);
        let limits = Limits::default();
        let path = tiny_path("x", "gguf").with_file_name(format!("../adapters/{name}.gguf"));
        let adapter = Arc::new(Adapter::open(&path, model.config(), &limits).unwrap());
        let (mut ours, mut theirs) = (engine(&model, |_| ()), llama(name));
        let prompt = tokens(8, 20, model.config().n_vocab);
        let run = |engine: &mut dyn Engine, adapters: &[(Arc<Adapter>, f32)]| {
            engine.set_adapters(adapters).unwrap();
            (engine.info().fingerprint.clone(), engine.root().unwrap())
        };
        for adapters in [vec![(Arc::clone(&adapter), 1.0)], vec![(Arc::clone(&adapter), -0.5)], Vec::new()] {
            let (a, ours_root) = run(&mut ours, &adapters);
            let (b, theirs_root) = run(&mut theirs, &adapters);
            assert_eq!(a, b, "{name}: the fingerprint names the adapters");
            let x = extend(&mut ours, &ours_root, &prompt).unwrap();
            let y = extend(&mut theirs, &theirs_root, &prompt).unwrap();
            for (x, y) in x.iter().zip(&y) {
                assert!(distance(x, y) < CLOSE, "{name}: {}", distance(x, y));
            }
            assert!(theirs.set_adapters(&[]).is_err(), "a branch holds tokens");
            ours.release(ours_root);
            theirs.release(theirs_root);
        }
    }
    let mut engine = llama("qwen2");
    let config = Config::from_gguf(
        &Gguf::open(&tiny_path("llama", "gguf"), LoadMode::Mmap, &Limits::default()).unwrap(),
        &Limits::default(),
    );
    let path = tiny_path("x", "gguf").with_file_name("../adapters/llama.gguf");
    let other = Adapter::open(&path, &config.unwrap(), &Limits::default()).unwrap();
    assert!(engine.set_adapters(&[(Arc::new(other), 1.0)]).is_err(), "another architecture's");
}

/// llama.cpp lists adapters in the model that engines share.
#[test]
fn engines_of_one_model_change_adapters_side_by_side() {
    let path = tiny_path("llama", "gguf");
    let gguf = Gguf::open(&path, LoadMode::Mmap, &Limits::default()).unwrap();
    let mut options = LlamaOptions::new(path);
    (options.threads, options.n_ctx, options.branches) = (1, Some(64), 2);
    options.devices = vec![std::env::var("RUMINATE_TEST_DEVICE").unwrap_or_else(|_| "CPU".into())];
    let model = Arc::new(LlamaModel::load(&gguf, &options).unwrap());
    let path = tiny_path("x", "gguf").with_file_name("../adapters/llama.gguf");
    let adapter = Arc::new(Adapter::open(&path, model.config().unwrap(), &Limits::default()).unwrap());
    let run = || {
        let mut engine = LlamaEngine::new(&model, &options).unwrap();
        let logits = |engine: &mut LlamaEngine, adapters: &[(Arc<Adapter>, f32)]| {
            engine.set_adapters(adapters).unwrap();
            let root = engine.root().unwrap();
            let logits = extend(engine, &root, &[1, 2, 3]).unwrap();
            engine.release(root);
            logits
        };
        let (with, without) = (logits(&mut engine, &[(Arc::clone(&adapter), 1.0)]), logits(&mut engine, &[]));
        let far = |a: &[Vec<f32>], b: &[Vec<f32>]| a.iter().zip(b).map(|(a, b)| distance(a, b)).fold(0.0, f32::max);
        assert!(far(&with, &without) > 0.01);
        for _ in 0..20 {
            assert!(far(&logits(&mut engine, &[(Arc::clone(&adapter), 1.0)]), &with) < 1e-4);
            assert!(far(&logits(&mut engine, &[]), &without) < 1e-4);
        }
    };
    std::thread::scope(|scope| [scope.spawn(run), scope.spawn(run)].map(|thread| thread.join().unwrap()));
}

#[test]
fn what_llama_cpp_logs_goes_to_the_observer() {
    let seen: Arc<Mutex<Vec<(LogLevel, String)>>> = Arc::default();
    let keep = Arc::clone(&seen);
    observe_log(Some(Arc::new(move |event: &Event<'_>| {
        let Event::Log { level, text } = event else { return };
        keep.lock().unwrap().push((*level, (*text).to_owned()));
        // What the observer itself has logged would have no end.
        drop(LlamaEngine::load(
            &Gguf::open(&tiny_path("qwen3", "gguf"), LoadMode::Mmap, &Limits::default()).unwrap(),
            &LlamaOptions::new("/no/such/file/of/the/observer"),
        ));
    })));
    drop(llama("qwen3"));
    assert!(opened("qwen3", |o| o.path = "/no/such/file".into()).is_err());
    observe_log(None);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let has = |level, part: &str| seen.iter().any(|(l, text)| *l == level && text.contains(part));
    assert!(has(LogLevel::Info, "qwen3") && has(LogLevel::Error, "/no/such/file"), "{seen:?}");
    assert!(!has(LogLevel::Error, "observer"), "{seen:?}");
    assert!(seen.iter().all(|(_, text)| !text.is_empty() && !text.contains('\n')), "{seen:?}");
    let held = Arc::new(());
    let inner = Arc::clone(&held);
    observe_log(Some(Arc::new(move |_: &Event<'_>| assert_eq!(*inner, ()))));
    observe_log(None);
    assert_eq!(Arc::strong_count(&held), 1, "it was let go");
}

/// Branches that share most of their tokens, one of which left their common part in the middle.
fn grown(engine: &mut LlamaEngine) -> Vec<Branch> {
    let n_vocab = engine.info().n_vocab;
    let root = engine.root().unwrap();
    extend(engine, &root, &tokens(31, 75, n_vocab)).unwrap();
    let (a, mut b) = (engine.fork(&root).unwrap(), engine.fork(&root).unwrap());
    extend(engine, &a, &tokens(32, 3, n_vocab)).unwrap();
    engine.truncate(&mut b, 40).unwrap();
    extend(engine, &b, &tokens(33, 50, n_vocab)).unwrap();
    let c = engine.fork(&a).unwrap();
    extend(engine, &c, &tokens(34, 9, n_vocab)).unwrap();
    vec![root, a, b, c]
}

fn saved(engine: &LlamaEngine, branches: &[Branch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.save(&branches.iter().collect::<Vec<_>>(), &mut bytes).unwrap();
    bytes
}

#[test]
fn saved_branches_go_on_in_another_engine() {
    // Full attention, and sliding windows that are kept apart.
    for name in ["llama", "qwen2", "qwen3", "gemma3", "phi3"] {
        let mut first = llama(name);
        let branches = grown(&mut first);
        let bytes = saved(&first, &branches);
        let mut second = llama(name);
        // Cells that are taken already.
        let (other, taken) = (second.root().unwrap(), tokens(35, 20, second.info().n_vocab));
        extend(&mut second, &other, &taken).unwrap();
        let loaded = second.load(&mut bytes.as_slice()).unwrap();
        let lens =
            |engine: &LlamaEngine, branches: &[Branch]| branches.iter().map(|b| engine.len(b)).collect::<Vec<_>>();
        assert_eq!(lens(&second, &loaded), [75, 78, 90, 87], "{name}");
        assert_eq!(lens(&second, &loaded), lens(&first, &branches), "{name}");
        let next = tokens(36, 6, first.info().n_vocab);
        for (i, (ours, theirs)) in branches.iter().zip(&loaded).enumerate() {
            let a = extend(&mut first, ours, &next).unwrap();
            let b = extend(&mut second, theirs, &next).unwrap();
            let off = a.iter().zip(&b).map(|(a, b)| distance(a, b)).fold(0.0, f32::max);
            // The same numbers in other cells are added up in another order.
            assert!(off < 1e-4, "{name}, branch {i}: {off}");
        }
        loaded.into_iter().chain([other]).for_each(|branch| second.release(branch));
        assert_eq!(second.memory().kv, 0, "{name}: everything was given back");
        let root = second.root().unwrap();
        extend(&mut second, &root, &next).unwrap();
    }
}

/// llama.cpp gives cells of tokens away that no layer sees any more.
#[test]
fn tokens_behind_a_sliding_window_are_kept() {
    let mut engine = llama("gemma3");
    let n_vocab = engine.info().n_vocab;
    let (long, next) = (tokens(41, 100, n_vocab), tokens(42, 12, n_vocab));
    let (first, origin) = (engine.root().unwrap(), engine.root().unwrap());
    extend(&mut engine, &first, &tokens(43, 10, n_vocab)).unwrap();
    extend(&mut engine, &origin, &long).unwrap();
    // What a fork holds alone has to be kept as well.
    let mut branch = engine.fork(&origin).unwrap();
    engine.release(origin);
    // llama.cpp looks for room from the front of its cells on, where the branch's follow.
    engine.release(first);
    let other = engine.root().unwrap();
    extend(&mut engine, &other, &tokens(44, 60, n_vocab)).unwrap();
    let bytes = saved(&engine, std::slice::from_ref(&branch));
    let fresh = engine.root().unwrap();
    extend(&mut engine, &fresh, &long[..50]).unwrap();
    let expected = extend(&mut engine, &fresh, &next).unwrap();
    let mut loaded = engine.load(&mut bytes.as_slice()).unwrap().remove(0);
    for (branch, what) in [(&mut branch, "cut back"), (&mut loaded, "loaded and cut back")] {
        engine.truncate(branch, 50).unwrap();
        let rows = extend(&mut engine, branch, &next).unwrap();
        let off = rows.iter().zip(&expected).map(|(a, b)| distance(a, b)).fold(0.0, f32::max);
        assert!(off < CLOSE, "{what}: {off}");
    }
}

/// llama.cpp chooses LongRoPE's factors by its KV cells instead of the tokens of a sequence.
#[test]
fn long_factors_are_those_of_long_contexts() {
    let model = tiny("phi3_longrope");
    let prompt = tokens(45, PROMPT, model.config().n_vocab);
    let mut saved_short = Vec::new();
    for n_ctx in [256, 512] {
        let mut ours = engine(&model, |o| o.n_ctx = Some(n_ctx));
        let mut theirs = opened("phi3_longrope", |o| o.n_ctx = Some(n_ctx)).unwrap();
        let (a, b) = (ours.root().unwrap(), theirs.root().unwrap());
        let (x, y) = (extend(&mut ours, &a, &prompt).unwrap(), extend(&mut theirs, &b, &prompt).unwrap());
        let off = x.iter().zip(&y).map(|(x, y)| distance(x, y)).fold(0.0, f32::max);
        assert!(off < CLOSE, "{n_ctx} tokens of context: {off}");
        if n_ctx == 256 {
            saved_short = saved(&theirs, &[b]);
        } else {
            let error = theirs.load(&mut saved_short.as_slice()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format, "keys that were rotated otherwise");
        }
    }
}

#[test]
fn cells_stay_under_their_cap() {
    let path = tiny_path("llama", "gguf");
    let gguf = Gguf::open(&path, LoadMode::Mmap, &Limits::default()).unwrap();
    let cell_bytes = {
        let memory = opened("llama", |o| (o.n_ctx, o.branches) = (Some(256), 4)).unwrap().memory();
        memory.kv_limit / 1024
    };
    let mut options = LlamaOptions::new(path);
    (options.n_ctx, options.branches, options.devices) = (Some(256), 4, vec!["CPU".into()]);
    for (tokens, taken) in [(256, 256), (511, 256), (700, 512), (1 << 30, 1024)] {
        options.kv_limit = Some(tokens * cell_bytes);
        let footprint = LlamaEngine::footprint(&gguf, &options).unwrap();
        assert_eq!(footprint.iter().map(|f| f.kv).sum::<u64>(), taken * cell_bytes, "a cap of {tokens} tokens");
        assert_eq!(LlamaEngine::load(&gguf, &options).unwrap().memory().kv_limit, taken * cell_bytes);
    }
    options.kv_limit = Some(255 * cell_bytes);
    assert_eq!(LlamaEngine::load(&gguf, &options).err().unwrap().kind(), ErrorKind::Memory);
    // What is less than a step counts as one.
    (options.n_ctx, options.kv_limit) = (Some(100), Some(200 * cell_bytes));
    assert_eq!(LlamaEngine::load(&gguf, &options).err().unwrap().kind(), ErrorKind::Memory);
}

#[test]
fn saved_branches_of_others_and_damaged_ones_are_errors() {
    let mut engine = llama("qwen2");
    let branches = grown(&mut engine);
    let bytes = saved(&engine, &branches);
    branches.into_iter().for_each(|branch| engine.release(branch));
    let refuse = |engine: &mut LlamaEngine, bytes: &[u8]| {
        let kind = engine.load(&mut &*bytes).unwrap_err().kind();
        assert_eq!(engine.memory().kv, 0, "nothing of it stays");
        kind
    };
    for end in (0..bytes.len()).step_by(bytes.len() / 97) {
        refuse(&mut engine, &bytes[..end]);
    }
    assert_eq!(refuse(&mut llama("llama"), &bytes), ErrorKind::Format, "another model");
    let mut narrow = opened("qwen2", |o| o.branches = 3).unwrap();
    assert_eq!(refuse(&mut narrow, &bytes), ErrorKind::Memory, "four branches");
    let mut short = opened("qwen2", |o| o.n_ctx = Some(80)).unwrap();
    assert_eq!(refuse(&mut short, &bytes), ErrorKind::Format, "a shorter context");
    let ours = {
        let mut native = engine_of_ours();
        let root = native.root().unwrap();
        extend(&mut native, &root, &[1, 2, 3]).unwrap();
        let mut bytes = Vec::new();
        native.save(&[&root], &mut bytes).unwrap();
        bytes
    };
    assert_eq!(refuse(&mut engine, &ours), ErrorKind::Format, "our own engine's");
    // Every number that llama.cpp would believe: damaged ones are refused or, inside keys and values, taken as they are.
    let (mut refused, mut taken) = (0, 0);
    for at in (0..bytes.len().min(4000)).chain((4000..bytes.len()).step_by(509)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            match engine.load(&mut bytes.as_slice()) {
                Ok(branches) => {
                    taken += 1;
                    branches.into_iter().for_each(|branch| engine.release(branch));
                }
                Err(_) => refused += 1,
            }
            assert_eq!(engine.memory().kv, 0, "{at}");
        }
    }
    assert!(refused > 500 && taken > 500, "{refused} refused, {taken} taken");
    let loaded = engine.load(&mut bytes.as_slice()).unwrap();
    assert_eq!(engine.len(&loaded[2]), 90, "the engine still works");
}

fn engine_of_ours() -> NativeEngine {
    engine(&tiny("qwen2"), |_| ())
}

/// Where scripts/fetch-models.sh put the model: the perplexity that llama.cpp's own tool measured on the same ids.
#[test]
fn a_real_model_has_the_perplexity_of_llama_cpp_s_own_tool() {
    let Some(path) = support::fetched("smollm2-135m-instruct-q4_1.gguf") else { return };
    let golden = support::json(&support::fixtures().join("perplexity/smollm2.json"));
    let n_ctx = golden["n_ctx"].as_u64().unwrap() as usize;
    let gguf = Gguf::open(&path, LoadMode::Mmap, &Limits::default()).unwrap();
    let mut options = LlamaOptions::new(path);
    (options.threads, options.n_ctx) = (2, Some(n_ctx));
    let mut engine = LlamaEngine::load(&gguf, &options).unwrap();
    let ids = support::ids(&golden["ids"]);
    let (mut nll, mut chunks) = (0.0, 0.0);
    for chunk in ids.chunks_exact(n_ctx) {
        let branch = engine.root().unwrap();
        let mut fed = chunk.to_vec();
        if let Some(bos) = golden["bos"].as_u64() {
            fed[0] = bos as u32;
        }
        let logits = extend(&mut engine, &branch, &fed[..n_ctx - 1]).unwrap();
        let half = n_ctx / 2;
        let late = logits.iter().zip(&chunk[1..]).skip(half);
        nll += late.map(|(row, &next)| support::nll(row, next)).sum::<f64>() / (n_ctx - 1 - half) as f64;
        chunks += 1.0;
        engine.release(branch);
    }
    let (got, expected) = ((nll / chunks).exp(), golden["perplexity"].as_f64().unwrap());
    assert!((got / expected - 1.0).abs() < 0.005, "perplexity {got}, llama.cpp's tool {expected}");
}

#[test]
#[cfg(feature = "cli")]
fn parity_names_the_layer_where_engines_part() {
    let parity = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ruminate"));
        let output = command.env_clear().args(["parity", "--json", "--against", "llama"]).args(args).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), document)
    };
    let path = tiny_path("qwen2", "gguf");
    let file = path.to_str().unwrap();
    let (code, close) = parity(&["--model", file]);
    assert_eq!((code, &close["first_layer_beyond"]), (Some(0), &serde_json::Value::Null), "{close}");
    // Rounding is not nothing: engines that were one and the same would differ by 0.
    assert!(close["layers"][0]["difference"].as_f64().unwrap() > 0.0);
    let (code, strict) = parity(&["--model", file, "--tolerance", "0"]);
    assert_eq!((code, &strict["first_layer_beyond"]), (Some(1), &"0".into()));
}

#[test]
fn a_footprint_is_what_an_engine_takes() {
    let path = std::path::Path::new("models/abacus-q8_0.gguf");
    let gguf = Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap();
    let mut options = LlamaOptions::new(path);
    (options.n_ctx, options.devices) = (Some(512), vec!["CPU".into()]);
    let all = LlamaEngine::footprint(&gguf, &options).unwrap();
    let engine = LlamaEngine::load(&gguf, &options).unwrap();
    let [cpu] = all.as_slice() else { panic!("{all:?}") };
    assert!(!cpu.device.gpu && cpu.fits() == Some(true), "{cpu:?}");
    assert_eq!(cpu.kv, engine.memory().kv_limit, "cells are taken at once");
    // Repacked copies are aligned and padded.
    let weights = engine.memory().weights;
    assert!((weights..weights + weights / 20).contains(&cpu.weights), "{weights}: {cpu:?}");
    assert!(cpu.scratch > 0);
    options.n_ctx = Some(1 << 20);
    assert!(LlamaEngine::footprint(&gguf, &options).is_err(), "more than it was trained for");
}

#[test]
#[cfg(feature = "cli")]
fn estimate_prices_each_device() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ruminate"));
    command.env_clear().args(["estimate", "--json", "--backend", "llama", "models/abacus-q8_0.gguf", "--device"]);
    let output = command.arg("CPU").output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let cpu = &document["devices"][0];
    assert_eq!(
        (&document["fits"], &cpu["fits"], &cpu["gpu"]),
        (&true.into(), &true.into(), &false.into()),
        "{document}"
    );
    let bytes = |name: &str| cpu[name].as_u64().unwrap();
    assert_eq!(bytes("total_bytes"), bytes("weights_bytes") + bytes("kv_bytes") + bytes("scratch_bytes"));
    let output = command.arg("--gpu-layers").arg("x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// A search that Ctrl-C ended goes on in another process, with the keys and values that llama.cpp had.
#[test]
#[cfg(all(feature = "cli", unix))]
fn an_interrupted_search_goes_on_where_it_stood() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Output, Stdio};

    const QUESTION: &str = "Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?";
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("search.bin");
    let solve = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ruminate"));
        let device = std::env::var("RUMINATE_TEST_DEVICE").unwrap_or_else(|_| "CPU".into());
        command.env("XDG_CACHE_HOME", folder.path()).args([
            "solve",
            QUESTION,
            "--backend",
            "llama",
            "--device",
            &device,
        ]);
        command.args(["--model", "models/abacus-q8_0.gguf", "--strategy", "direct"]);
        command.args(["--n", "400", "--early-stop", "never", "--width", "8"]);
        command
    };
    let document = |output: Output| -> serde_json::Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let whole = document(solve().arg("--json").output().unwrap());
    let mut child =
        solve().arg("--checkpoint").arg(&file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.starts_with("branch "), "{first}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdout.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "it ended before it could be interrupted");
    assert!(file.is_file());
    let ours = [
        "solve",
        QUESTION,
        "--strategy",
        "direct",
        "--n",
        "400",
        "--early-stop",
        "never",
        "--width",
        "8",
        "--checkpoint",
    ];
    let other = Command::new(env!("CARGO_BIN_EXE_ruminate")).args(ours).arg(&file).output().unwrap();
    assert!(!other.status.success(), "our own engine does not go on with it");
    assert!(file.is_file());
    let resumed = document(solve().args(["--json", "--checkpoint"]).arg(&file).output().unwrap());
    // Keys and values come back to other cells, which are added up in another order: the texts of samples may part.
    assert_eq!(resumed["answer"], whole["answer"]);
    assert_eq!(resumed["usage"]["recomputed_tokens"], 0);
    let votes = resumed["candidates"].as_array().unwrap().iter().map(|c| c["votes"].as_u64().unwrap());
    assert!(votes.sum::<u64>() > 350, "{resumed}");
    assert!(!file.exists(), "a search that ended leaves no file");
}
