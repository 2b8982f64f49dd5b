//! The native engine: the same bits however the work is arranged, and nothing lost when it fails.

mod support;

use ruminate::ErrorKind;
use ruminate::engine::native::KvType;
use ruminate::engine::{Batch, Engine, Rows, Tap, Want};
use ruminate::observe::{CancelToken, Interrupt};
use ruminate::simd::Isa;
use support::tiny::{TINY, bits, engine, extend, from_bytes, tiny, tiny_path, tokens};

/// Longer than a page, so that prefixes end inside one.
const PROMPT: usize = 45;

#[test]
fn threads_and_instruction_sets_do_not_change_a_bit() {
    for name in TINY {
        let model = tiny(name);
        let prompt = tokens(1, PROMPT, model.config().n_vocab);
        let run = |threads, isa| {
            let mut engine = engine(&model, |o| (o.threads, o.isa) = (threads, isa));
            let root = engine.root().unwrap();
            bits(&extend(&mut engine, &root, &prompt))
        };
        let expected = run(1, Isa::Scalar);
        for isa in Isa::available() {
            for threads in [1, 2, 3, 5] {
                assert!(run(threads, isa) == expected, "{name}, {threads} threads, {}", isa.name());
            }
        }
    }
}

#[test]
fn chunks_of_a_prompt_do_not_change_a_bit() {
    for name in TINY {
        let model = tiny(name);
        let prompt = tokens(2, PROMPT, model.config().n_vocab);
        let mut engine = engine(&model, |_| ());
        let whole = engine.root().unwrap();
        let expected = bits(&extend(&mut engine, &whole, &prompt));
        for size in [1, 2, 7, 32] {
            let branch = engine.root().unwrap();
            let rows: Vec<_> = prompt.chunks(size).flat_map(|c| extend(&mut engine, &branch, c)).collect();
            assert!(bits(&rows) == expected, "{name} in chunks of {size}");
        }
    }
}

#[test]
fn a_branch_alone_and_among_31_others_gives_the_same_bits() {
    for name in TINY {
        let model = tiny(name);
        let n_vocab = model.config().n_vocab;
        let prompt = tokens(3, PROMPT, n_vocab);
        let paths: Vec<_> = (0..32).map(|i| tokens(100 + i, 5, n_vocab)).collect();
        let alone: Vec<_> = paths
            .iter()
            .map(|path| {
                let mut engine = engine(&model, |_| ());
                let branch = engine.root().unwrap();
                extend(&mut engine, &branch, &prompt);
                path.iter().flat_map(|&t| extend(&mut engine, &branch, &[t])).collect::<Vec<_>>()
            })
            .collect();

        let mut engine = engine(&model, |o| o.threads = 2);
        let root = engine.root().unwrap();
        extend(&mut engine, &root, &prompt);
        let branches: Vec<_> = paths.iter().map(|_| engine.fork(&root).unwrap()).collect();
        let mut rows = Rows::new();
        for step in 0..5 {
            let mut batch = Batch::new(&Interrupt::default());
            // Branches of different lengths: an odd one starts a step late and then takes two tokens.
            for (i, (branch, path)) in branches.iter().zip(&paths).enumerate() {
                match (i % 2, step) {
                    (1, 0) => (),
                    (1, 1) => path[..2].iter().for_each(|&t| batch.push(branch, t, Want::Logits)),
                    _ => batch.push(branch, path[step], Want::Logits),
                }
            }
            engine.forward(&batch, &mut rows).unwrap();
            let mut row = 0;
            for (i, alone) in alone.iter().enumerate() {
                let steps = match (i % 2, step) {
                    (1, 0) => 0..0,
                    (1, 1) => 0..2,
                    _ => step..step + 1,
                };
                for s in steps {
                    assert!(rows.logits(row).unwrap() == alone[s], "{name}: branch {i}, token {s}");
                    row += 1;
                }
            }
            assert!(rows.logits(row).is_none());
        }
    }
}

#[test]
fn a_truncated_and_extended_branch_equals_a_fresh_one() {
    for name in TINY {
        let model = tiny(name);
        let n_vocab = model.config().n_vocab;
        let (prompt, tail) = (tokens(4, PROMPT, n_vocab), tokens(5, 20, n_vocab));
        let mut engine = engine(&model, |_| ());
        let mut branch = engine.root().unwrap();
        extend(&mut engine, &branch, &prompt);
        let other = engine.fork(&branch).unwrap();
        extend(&mut engine, &branch, &tail);
        for cut in [PROMPT + 3, PROMPT, 33, 1, 0] {
            engine.truncate(&mut branch, cut).unwrap();
            assert_eq!(engine.len(&branch), cut);
            let rest = [&prompt[cut.min(PROMPT)..], &tail[cut.saturating_sub(PROMPT)..]].concat();
            let again = extend(&mut engine, &branch, &rest);
            let fresh = engine.root().unwrap();
            let expected = extend(&mut engine, &fresh, &[&prompt[..], &tail[..]].concat());
            assert!(bits(&again) == bits(&expected[cut..]), "{name}, cut to {cut}");
            engine.release(fresh);
        }
        assert_eq!(engine.len(&other), PROMPT, "the other branch kept its tokens");
    }
}

#[test]
fn rows_come_only_where_they_were_asked_for() {
    let model = tiny("llama");
    let mut engine = engine(&model, |_| ());
    let branch = engine.root().unwrap();
    let mut batch = Batch::new(&Interrupt::default());
    for (token, want) in [(1, Want::None), (2, Want::Hidden), (3, Want::Both), (4, Want::Logits), (5, Want::None)] {
        batch.push(&branch, token, want);
    }
    let mut rows = Rows::new();
    engine.forward(&batch, &mut rows).unwrap();
    assert!(rows.logits(1).is_some() && rows.logits(2).is_none());
    assert!(rows.hidden(1).is_some() && rows.hidden(2).is_none());
    let fresh = engine.root().unwrap();
    let all = extend(&mut engine, &fresh, &[1, 2, 3, 4, 5]);
    assert_eq!(rows.logits(0).unwrap(), all[2]);
    assert_eq!(rows.logits(1).unwrap(), all[3]);
}

#[test]
fn a_pass_that_fails_changes_nothing() {
    let model = tiny("qwen2");
    let n_vocab = model.config().n_vocab;
    let prompt = tokens(6, PROMPT, n_vocab);
    let mut engine = engine(&model, |o| o.n_ctx = Some(64));
    let branch = engine.root().unwrap();
    extend(&mut engine, &branch, &prompt);
    let before = engine.memory();

    let cancelled = Interrupt { cancel: CancelToken::new(), deadline: None };
    cancelled.cancel.cancel();
    let page = before.kv / 2;
    let cases: [(&str, ErrorKind, Interrupt, Vec<u32>, u64); 4] = [
        ("cancelled", ErrorKind::Cancelled, cancelled, vec![1], u64::MAX),
        ("context", ErrorKind::ContextLength, Interrupt::default(), vec![1; 20], u64::MAX),
        ("vocabulary", ErrorKind::InvalidArgument, Interrupt::default(), vec![1, n_vocab as u32], u64::MAX),
        ("memory", ErrorKind::Memory, Interrupt::default(), vec![1; 19], before.kv + page / 2),
    ];
    // A fork whose first page does not fit any more.
    let fork = engine.fork(&branch).unwrap();
    for (case, kind, interrupt, extra, limit) in cases {
        engine.set_kv_limit(limit);
        let mut batch = Batch::new(&interrupt);
        extra.iter().for_each(|&t| batch.push(&branch, t, Want::Both));
        batch.push(&fork, 1, Want::Both);
        let mut rows = Rows::new();
        assert_eq!(engine.forward(&batch, &mut rows).unwrap_err().kind(), kind, "{case}");
        assert!(rows.logits(0).is_none() && rows.hidden(0).is_none(), "{case}: no rows");
        assert_eq!((engine.len(&branch), engine.len(&fork)), (PROMPT, PROMPT), "{case}");
        assert_eq!(engine.memory().kv, before.kv, "{case}");
    }
    engine.set_kv_limit(u64::MAX);
    let after = extend(&mut engine, &branch, &[7]);
    let fresh = engine.root().unwrap();
    let expected = extend(&mut engine, &fresh, &[&prompt[..], &[7]].concat());
    assert!(bits(&after) == bits(&expected[PROMPT..]));
}

#[test]
fn damaged_weights_are_reported_with_their_layer() {
    let clean = std::fs::read(tiny_path("llama", "gguf")).unwrap();
    let gguf =
        ruminate::gguf::Gguf::parse(ruminate::storage::Bytes::from_vec(clean.clone()), &Default::default()).unwrap();
    for (name, place) in [("blk.1.ffn_down.weight", "layer 1"), ("output.weight", "logits")] {
        let (_, range) = gguf.bytes_of(gguf.tensor(name).unwrap());
        let mut bytes = clean.clone();
        bytes[range].fill(0xff); // NaN in every float format
        let model = from_bytes(bytes).unwrap();
        let mut engine = engine(&model, |_| ());
        let branch = engine.root().unwrap();
        let mut batch = Batch::new(&Interrupt::default());
        batch.push(&branch, 1, Want::Logits);
        let error = engine.forward(&batch, &mut Rows::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        assert!(error.to_string().contains(place), "{error}");
    }
}

#[test]
fn eight_bit_keys_and_values_take_half_and_are_as_reproducible() {
    let model = tiny("gemma3");
    let prompt = tokens(9, PROMPT, model.config().n_vocab);
    let run = |kv_type, threads, isa, size| {
        let mut engine = engine(&model, |o| (o.kv_type, o.threads, o.isa) = (kv_type, threads, isa));
        let root = engine.root().unwrap();
        let rows: Vec<_> = prompt.chunks(size).flat_map(|c| extend(&mut engine, &root, c)).collect();
        (rows, engine.memory().kv)
    };
    let (half, half_bytes) = run(KvType::F16, 1, Isa::detect(), PROMPT);
    let (eight, eight_bytes) = run(KvType::Q8, 1, Isa::detect(), PROMPT);
    assert!(eight_bytes * 3 < half_bytes * 2, "{eight_bytes} of {half_bytes} bytes");
    for isa in Isa::available() {
        let (again, _) = run(KvType::Q8, 3, isa, 7);
        assert!(bits(&again) == bits(&eight), "{}", isa.name());
    }
    let far = half.concat().iter().zip(eight.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = half.concat().iter().fold(0.0f32, |m, x| m.max(x.abs()));
    assert!(far > 0.0 && far < 0.05 * largest, "8 bits move a logit by {far}, the largest is {largest}");
}

#[test]
fn a_fork_of_256_branches_takes_no_kv() {
    let model = tiny("llama");
    let mut engine = engine(&model, |_| ());
    let root = engine.root().unwrap();
    extend(&mut engine, &root, &tokens(8, 200, model.config().n_vocab));
    let before = engine.memory().kv;
    let forks: Vec<_> = (0..256).map(|_| engine.fork(&root).unwrap()).collect();
    assert_eq!(engine.memory().kv, before);
    forks.into_iter().for_each(|b| engine.release(b));
    engine.release(root);
    assert_eq!(engine.memory().kv, 0);
}

#[test]
fn taps_give_the_same_bits_however_the_work_is_arranged() {
    for name in TINY {
        let model = tiny(name);
        let config = model.config();
        let (n_embd, n_layer) = (config.n_embd, config.n_layer);
        let prompt = tokens(10, PROMPT, config.n_vocab);
        let taps: Vec<Tap> = (0..n_layer).rev().map(Tap::Layer).chain([Tap::Final, Tap::Layer(0)]).collect();
        let run = |threads, isa, size: usize, taps: &[Tap], want: fn(usize) -> Want| {
            let mut engine = engine(&model, |o| (o.threads, o.isa) = (threads, isa));
            let branch = engine.root().unwrap();
            let mut found = Vec::new();
            let mut rows = Rows::new();
            for (i, part) in prompt.chunks(size).enumerate() {
                let mut batch = Batch::default().with_taps(taps);
                part.iter().enumerate().for_each(|(j, &t)| batch.push(&branch, t, want(i * size + j)));
                engine.forward(&batch, &mut rows).unwrap();
                found.extend((0..).map_while(|i| rows.hidden(i)).map(<[f32]>::to_vec));
            }
            found
        };
        let whole = run(1, Isa::detect(), PROMPT, &taps, |_| Want::Hidden);
        assert_eq!((whole.len(), whole[0].len()), (PROMPT, taps.len() * n_embd), "{name}");
        let plain = run(1, Isa::detect(), PROMPT, &[Tap::Final], |_| Want::Both);
        for (wide, plain) in whole.iter().zip(&plain) {
            let part = |i: usize| &wide[i * n_embd..(i + 1) * n_embd];
            assert!(part(n_layer) == plain, "{name}: the final state is that of a plain pass");
            assert!(part(n_layer + 1) == part(n_layer - 1), "{name}: one tap asked for twice");
            assert!(n_layer == 1 || part(0) != part(1), "{name}: layers differ");
        }
        for isa in Isa::available() {
            assert!(bits(&run(3, isa, PROMPT, &taps, |_| Want::Hidden)) == bits(&whole), "{name}, {}", isa.name());
        }
        assert!(bits(&run(2, Isa::detect(), 7, &taps, |_| Want::Both)) == bits(&whole), "{name} in chunks");
        // Only some tokens want their states: the others' must not slip into their rows.
        let some = run(1, Isa::detect(), PROMPT, &taps, |i| match i % 4 {
            0 => Want::Logits,
            1 => Want::Hidden,
            2 => Want::None,
            _ => Want::Both,
        });
        let expected: Vec<_> = whole.iter().enumerate().filter(|(i, _)| i % 2 == 1).map(|(_, r)| r.clone()).collect();
        assert!(bits(&some) == bits(&expected), "{name}: every other token");
    }
}

#[test]
fn a_tap_past_the_last_layer_is_refused_and_changes_nothing() {
    let model = tiny("llama");
    let mut engine = engine(&model, |_| ());
    let branch = engine.root().unwrap();
    let taps = [Tap::Layer(model.config().n_layer)];
    let mut batch = Batch::default().with_taps(&taps);
    batch.push(&branch, 1, Want::Logits);
    let error = engine.forward(&batch, &mut Rows::new()).unwrap_err();
    assert_eq!((error.kind(), engine.len(&branch), engine.memory().kv), (ErrorKind::InvalidArgument, 0, 0));
}
