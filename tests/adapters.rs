//! LoRA adapters in the engine: against llama.cpp's logits (tests/fixtures/make_adapters.py), against merged weights, and
//! what they must not change.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test has to stop")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use ruminate::engine::native::NativeEngine;
use ruminate::engine::{Batch, Engine, Rows, Want};
use ruminate::gguf::Gguf;
use ruminate::model::{Adapter, Lora, MergeFormat, Model, Projection, merge};
use ruminate::observe::Interrupt;
use ruminate::simd::Isa;
use ruminate::storage::LoadMode;
use ruminate::{ErrorKind, Limits};
use serde_json::Value;
use support::tiny::{bits, engine, extend, tiny, tiny_path, tokens};

/// Largest difference of a logit. The engine keeps K and V in F16 and the references in F32, as in tests/tiny_models.rs.
const TOLERANCE: f32 = 0.012;
/// How much farther apart an adapter may bring two engines that round the inputs of quantized weights in their own ways.
const NOISE: f32 = 2.0;
const ARCHITECTURES: [&str; 6] = ["llama", "mistral", "qwen2", "qwen3", "gemma3", "phi3"];

fn adapter_path(name: &str) -> PathBuf {
    support::fixtures().join(format!("adapters/{name}.gguf"))
}

fn adapter(model: &Model, name: &str) -> Arc<Adapter> {
    Arc::new(Adapter::open(&adapter_path(name), model.config(), &Limits::default()).unwrap())
}

/// Factors beside these projections of every layer, B from `b`.
fn made(model: &Model, rank: usize, projections: &[Projection], b: impl Fn(usize) -> f32) -> Adapter {
    let config = model.config();
    let mut adapter = Adapter::new(config, 2.0 * rank as f32);
    for layer in 0..config.n_layer {
        for &projection in projections {
            let (n_in, n_out) = projection.shape(config);
            let a = (0..rank * n_in).map(|i| ((i * 37 + layer) % 17) as f32 / 64.0 - 0.125).collect();
            let lora = Lora { rank, a, b: (0..n_out * rank).map(&b).collect() };
            adapter.set(config, layer, projection, lora).unwrap();
        }
    }
    adapter
}

fn uneven(i: usize) -> f32 {
    ((i * 53) % 23) as f32 / 64.0 - 0.17
}

/// Logits of every token on a branch that is given back.
fn logits(engine: &mut NativeEngine, ids: &[u32]) -> Vec<Vec<f32>> {
    let branch = engine.root().unwrap();
    let rows = extend(engine, &branch, ids);
    engine.release(branch);
    rows
}

fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert!(a.len() == b.len() && !a.is_empty());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| a.iter().zip(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |worst, off| if off > worst || off.is_nan() { off } else { worst })
}

#[test]
fn logits_are_those_of_llama_cpp() {
    let golden = support::json(&support::fixtures().join("adapters/tiny.json"));
    let golden = golden.as_object().unwrap();
    assert_eq!(golden.len(), ARCHITECTURES.len());
    for (name, golden) in golden {
        let model = tiny(name);
        let ids = support::ids(&golden["tokens"]);
        let mut engine = engine(&model, |o| o.n_ctx = golden["n_ctx"].as_u64().map(|n| n as usize));
        let runs = golden["runs"].as_array().unwrap();
        assert!(runs.len() > 1 && runs[0]["adapters"].as_array().unwrap().is_empty());
        for run in runs {
            let pair = |pair: &Value| (adapter(&model, pair[0].as_str().unwrap()), pair[1].as_f64().unwrap() as f32);
            let adapters: Vec<_> = run["adapters"].as_array().unwrap().iter().map(pair).collect();
            engine.set_adapters(&adapters).unwrap();
            let rows = logits(&mut engine, &ids);
            let found: Vec<Vec<f32>> =
                support::ids(&run["positions"]).iter().map(|&at| rows[at as usize].clone()).collect();
            let expected: Vec<Vec<f32>> = run["logits"].as_array().unwrap().iter().map(support::floats).collect();
            let off = apart(&found, &expected);
            eprintln!("{name} with {}: off by at most {off:.4}", run["adapters"]);
            assert!(off <= TOLERANCE, "{name} with {}: off by {off}", run["adapters"]);
        }
    }
}

#[test]
fn factors_of_zeros_change_no_bit_and_adapters_come_and_go() {
    for name in ARCHITECTURES {
        let model = tiny(name);
        let ids = tokens(3, 40, model.config().n_vocab);
        let mut engine = engine(&model, |_| ());
        let (plain, fingerprint) = (logits(&mut engine, &ids), engine.info().fingerprint.clone());
        let zeros = Arc::new(made(&model, 3, &Projection::ALL, |_| 0.0));
        engine.set_adapters(&[(zeros, 1.0)]).unwrap();
        assert_eq!(bits(&logits(&mut engine, &ids)), bits(&plain), "{name}");
        assert_ne!(engine.info().fingerprint, fingerprint);
        let adapter = adapter(&model, name);
        engine.set_adapters(&[(Arc::clone(&adapter), 1.0)]).unwrap();
        let with = logits(&mut engine, &ids);
        assert!(apart(&with, &plain) > 0.5, "{name}");
        assert!(engine.memory().adapters >= 4 * adapter.parameters() as u64);
        let named = engine.info().fingerprint.clone();
        engine.set_adapters(&[(Arc::clone(&adapter), 0.5)]).unwrap();
        assert_ne!(engine.info().fingerprint, named, "the scale counts");
        engine.set_adapters(&[]).unwrap();
        assert_eq!(bits(&logits(&mut engine, &ids)), bits(&plain), "{name}");
        assert_eq!((engine.info().fingerprint.as_str(), engine.memory().adapters), (fingerprint.as_str(), 0));
        engine.set_adapters(&[(adapter, 1.0)]).unwrap();
        assert_eq!(bits(&logits(&mut engine, &ids)), bits(&with), "{name}");
        assert_eq!(engine.info().fingerprint, named);
    }
}

#[test]
fn bits_depend_on_no_batch_thread_or_instruction_set() {
    for name in ["qwen2", "gemma3"] {
        let model = tiny(name);
        let adapters = [(adapter(&model, name), 1.0), (Arc::new(made(&model, 5, &Projection::ALL, uneven)), 0.25)];
        let ids = tokens(5, 70, model.config().n_vocab);
        let mut one = engine(&model, |o| o.isa = Isa::Scalar);
        one.set_adapters(&adapters).unwrap();
        let expected = bits(&logits(&mut one, &ids));
        for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
            let mut engine = engine(&model, |o| (o.isa, o.threads) = (isa, threads));
            engine.set_adapters(&adapters).unwrap();
            assert_eq!(bits(&logits(&mut engine, &ids)), expected, "{name}, {isa:?}, {threads} threads");
            // Alone, then beside a fork that says something else.
            let branch = engine.root().unwrap();
            let mut found = Vec::new();
            for &id in &ids[..30] {
                found.extend(extend(&mut engine, &branch, &[id]));
            }
            let fork = engine.fork(&branch).unwrap();
            let mut rows = Rows::new();
            for &id in &ids[30..] {
                let mut batch = Batch::new(&Interrupt::default());
                batch.push(&fork, id ^ 1, Want::Logits);
                batch.push(&branch, id, Want::Logits);
                engine.forward(&batch, &mut rows).unwrap();
                found.push(rows.logits(1).unwrap().to_vec());
            }
            assert_eq!(bits(&found), expected, "{name}, {isa:?}, {threads} threads, one by one");
        }
    }
}

#[test]
fn merged_weights_give_the_same_logits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merged.gguf");
    let limits = Limits::default();
    for name in ARCHITECTURES {
        let base = Gguf::open(&tiny_path(name, "gguf"), LoadMode::Mmap, &limits).unwrap();
        let model = Arc::new(Model::load(&base, &limits).unwrap());
        let ids = tokens(7, 30, model.config().n_vocab);
        let mut beside = engine(&model, |_| ());
        let plain = logits(&mut beside, &ids);
        // Past the last keys and values nothing is rounded to F16, so that the two ways may differ by rounding of F32 only.
        let mut behind = made(&model, 4, &[Projection::AttnOutput, Projection::FfnGate, Projection::FfnUp], uneven);
        for layer in 0..model.config().n_layer - 1 {
            for projection in Projection::ALL {
                if let Some(lora) = behind.get_mut(layer, projection) {
                    lora.b.fill(0.0);
                }
            }
        }
        let full = adapter(&model, name);
        let down = Arc::new(made(&model, 2, &[Projection::FfnDown], uneven));
        for (adapters, tolerance) in
            [(vec![(Arc::new(behind), 0.5)], 1e-5), (vec![(full, 1.0), (down, -0.25)], TOLERANCE)]
        {
            beside.set_adapters(&adapters).unwrap();
            let expected = logits(&mut beside, &ids);
            let merged = merge(&base, &adapters, MergeFormat::Same, &limits, &path).unwrap();
            assert!(!merged.is_empty() && merged.iter().all(|m| m.from == m.to));
            let file = Gguf::open(&path, LoadMode::Read, &limits).unwrap();
            let touched: Vec<&str> = merged.iter().map(|m| m.name.as_str()).collect();
            for tensor in base.tensors() {
                let same = base.data(tensor) == file.data(file.tensor(&tensor.name).unwrap());
                assert_ne!(
                    same,
                    touched.contains(&tensor.name.as_str()) && !is_zero(&adapters, &tensor.name),
                    "{}",
                    tensor.name
                );
            }
            assert_ne!(file.fingerprint(), base.fingerprint());
            let alone = Arc::new(Model::load(&file, &limits).unwrap());
            let found = logits(&mut engine(&alone, |_| ()), &ids);
            let (off, moved) = (apart(&found, &expected), apart(&plain, &expected));
            eprintln!("{name}: merged and beside differ by {off:.2e}, the adapters move logits by {moved:.2}");
            assert!(off <= tolerance && moved > 0.1, "{name}: {off}, moved {moved}");
            // Applied twice it would count twice: the merged file is another base.
            assert_eq!(beside.info().architecture, alone.config().architecture);
        }
    }
}

/// Whether only zeros stand beside this tensor.
fn is_zero(adapters: &[(Arc<Adapter>, f32)], tensor: &str) -> bool {
    let beside = |layer: usize, projection: Projection| {
        let name = projection.name();
        let fused = match projection {
            Projection::AttnQ | Projection::AttnK | Projection::AttnV => "attn_qkv",
            Projection::FfnGate => "ffn_up",
            _ => name,
        };
        [name, fused].iter().any(|name| tensor == format!("blk.{layer}.{name}.weight"))
    };
    let mut loras = adapters.iter().flat_map(|(adapter, _)| adapter.iter());
    !loras.any(|(layer, projection, lora)| beside(layer, projection) && lora.b.iter().any(|x| *x != 0.0))
}

#[test]
fn a_merge_to_f16_says_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merged.gguf");
    let limits = Limits::default();
    let base = Gguf::open(&tiny_path("qwen2", "gguf"), LoadMode::Mmap, &limits).unwrap();
    let model = Arc::new(Model::load(&base, &limits).unwrap());
    let adapters = [(Arc::new(made(&model, 2, &[Projection::AttnV], uneven)), 1.0)];
    let merged = merge(&base, &adapters, MergeFormat::F16, &limits, &path).unwrap();
    assert_eq!(merged.len(), model.config().n_layer);
    let file = Gguf::open(&path, LoadMode::Read, &limits).unwrap();
    for m in &merged {
        assert_eq!((m.to.name(), file.tensor(&m.name).unwrap().ty.name()), ("F16", "F16"));
    }
    assert_eq!(file.metadata().get("general.file_type"), None);
    let ids = tokens(7, 20, model.config().n_vocab);
    let mut beside = engine(&model, |_| ());
    beside.set_adapters(&adapters).unwrap();
    let alone = Arc::new(Model::load(&file, &limits).unwrap());
    let off = apart(&logits(&mut engine(&alone, |_| ()), &ids), &logits(&mut beside, &ids));
    assert!(off <= TOLERANCE, "{off}");
    // A second merge keeps the name of the first.
    let second = folder.path().join("second.gguf");
    merge(&file, &adapters, MergeFormat::Same, &limits, &second).unwrap();
    let names = Gguf::open(&second, LoadMode::Read, &limits).unwrap();
    assert_eq!(names.metadata().require_str_array("ruminate.merged").unwrap().len(), 2);
    assert_eq!(merge(&base, &[], MergeFormat::Same, &limits, &path).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let huge = Arc::new(made(&model, 1, &[Projection::AttnV], |_| 1e30));
    let error = merge(&base, &[(huge, 1.0)], MergeFormat::F16, &limits, &path).unwrap_err();
    assert!(error.kind() == ErrorKind::NonFinite && error.to_string().contains("attn_v"), "{error}");
    assert_eq!(
        Gguf::open(&path, LoadMode::Read, &limits).unwrap().fingerprint(),
        file.fingerprint(),
        "the old file stands"
    );
}

#[test]
fn adapters_change_only_between_branches_and_kv_stays_with_its_own() {
    let model = tiny("llama");
    let pair = [(adapter(&model, "llama"), 1.0)];
    let ids = tokens(1, 20, model.config().n_vocab);
    let mut with = engine(&model, |_| ());
    with.set_adapters(&pair).unwrap();
    let branch = with.root().unwrap();
    with.set_adapters(&pair).expect("a branch without tokens holds no KV");
    extend(&mut with, &branch, &ids);
    let error = with.set_adapters(&[]).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("release"), "{error}");
    let fork = with.fork(&branch).unwrap();
    with.release(branch);
    assert!(with.set_adapters(&[]).is_err(), "a fork holds the tokens too");
    let mut saved = Vec::new();
    with.save(&[&fork], &mut saved).unwrap();
    let mut without = engine(&model, |_| ());
    let error = without.load(&mut saved.as_slice()).unwrap_err();
    assert!(error.kind() == ErrorKind::Format && error.to_string().contains("adapters"), "{error}");
    without.set_adapters(&pair).unwrap();
    let loaded = without.load(&mut saved.as_slice()).unwrap().remove(0);
    assert_eq!(bits(&extend(&mut without, &loaded, &[3])), bits(&extend(&mut with, &fork, &[3])));
}

#[test]
fn adapters_that_do_not_belong_change_nothing() {
    let model = tiny("llama");
    let mut engine = engine(&model, |_| ());
    let good = adapter(&model, "llama");
    engine.set_adapters(&[(Arc::clone(&good), 1.0)]).unwrap();
    let before = engine.info().fingerprint.clone();
    let mut other_base = Adapter::clone(&good);
    other_base.base_fingerprint = "f".repeat(32);
    let mut nan = Adapter::clone(&good);
    nan.get_mut(0, Projection::AttnQ).unwrap().b[0] = f32::NAN;
    let mut short = Adapter::clone(&good);
    short.get_mut(1, Projection::FfnDown).unwrap().a.pop();
    let mut infinite = Adapter::clone(&good);
    infinite.alpha = f32::INFINITY;
    let elsewhere = Adapter::clone(&adapter(&tiny("qwen2"), "qwen2"));
    for (adapter, scale, kind, says) in [
        (other_base, 1.0, ErrorKind::InvalidArgument, "fingerprint"),
        (elsewhere, 1.0, ErrorKind::InvalidArgument, "qwen2"),
        (nan, 1.0, ErrorKind::NonFinite, "blk.0.attn_q"),
        (short, 1.0, ErrorKind::Format, "blk.1.ffn_down"),
        (infinite, 1.0, ErrorKind::NonFinite, "alpha"),
        (Adapter::clone(&good), f32::NAN, ErrorKind::InvalidArgument, "scaled"),
        (Adapter::clone(&good), f32::MAX, ErrorKind::NonFinite, "range"),
    ] {
        let error = engine.set_adapters(&[(Arc::clone(&good), 1.0), (Arc::new(adapter), scale)]).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(says), "{says}: {error}");
        assert_eq!(engine.info().fingerprint, before);
    }
    let mut own = Adapter::clone(&good);
    own.base_fingerprint = model.fingerprint().to_owned();
    engine.set_adapters(&[(Arc::new(own), 1.0)]).unwrap();
}

/// Needs a Python with llama-cpp-python, named by RUMINATE_TEST_PYTHON.
#[test]
fn llama_cpp_reads_what_was_saved() {
    let Some(python) = std::env::var_os("RUMINATE_TEST_PYTHON") else {
        eprintln!("SKIPPED: RUMINATE_TEST_PYTHON names no Python with llama-cpp-python");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ARCHITECTURES {
        let model = tiny(name);
        let mut read = Adapter::clone(&adapter(&model, name));
        read.base_fingerprint = model.fingerprint().to_owned();
        let saved = folder.path().join(name);
        read.save(&saved).unwrap();
        let script = support::fixtures().join("make_adapters.py");
        let files = [tiny_path(name, "gguf"), adapter_path(name), saved];
        let run = std::process::Command::new(&python).arg(script).arg("--same").args(files).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        assert!(run.status.success(), "{name}: {said} {}", String::from_utf8_lossy(&run.stderr));
        eprintln!("{name}: {said}");
    }
}

/// A real model, to which both sides put an adapter made from the same numbers.
struct Real {
    name: &'static str,
    file: &'static str,
    /// Largest difference of a logit; `None` where quantized weights alone make llama.cpp, which rounds their inputs in
    /// another way, differ by more than an adapter's share: then an adapter must not add to that.
    tolerance: Option<f32>,
}

#[test]
fn real_models_with_adapters_agree_with_llama_cpp() {
    for real in [
        // Made by `make_adapters.py --dequantize`.
        Real { name: "smollm2-f32", file: "smollm2-135m-instruct-f32.gguf", tolerance: Some(0.01) },
        Real { name: "qwen2.5-coder-0.5b-f32", file: "qwen2.5-coder-0.5b-instruct-f32.gguf", tolerance: Some(0.01) },
        Real { name: "smollm2", file: "smollm2-135m-instruct-q4_1.gguf", tolerance: None },
        Real { name: "qwen2.5-coder-0.5b", file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", tolerance: None },
    ] {
        if let Some(path) = support::fetched(real.file) {
            compare(&real, &path);
        }
    }
}

fn compare(real: &Real, path: &std::path::Path) {
    let golden = support::json(&support::fixtures().join(format!("adapters/{}.json", real.name)));
    let ids = support::ids(&golden["tokens"]);
    let limits = Limits::default();
    let model = Arc::new(Model::load(&Gguf::open(path, LoadMode::Mmap, &limits).unwrap(), &limits).unwrap());
    let adapter = Arc::new(like_the_script(&model, &golden));
    let mut engine = engine(&model, |o| (o.n_ctx, o.threads) = (Some(512), 2));
    let mut offs = Vec::new();
    let mut rows: Vec<Vec<Vec<f32>>> = Vec::new();
    for run in golden["runs"].as_array().unwrap() {
        let scale = run["scale"].as_f64().unwrap() as f32;
        let adapters = if scale == 0.0 { vec![] } else { vec![(Arc::clone(&adapter), scale)] };
        engine.set_adapters(&adapters).unwrap();
        let found = logits(&mut engine, &ids);
        let mut off = 0.0_f32;
        for (k, at) in support::ids(&run["positions"]).into_iter().enumerate() {
            let expected = support::floats(&run["logits"][k]);
            let row: Vec<f32> =
                support::ids(&run["ids"][k]).iter().map(|&id| found[at as usize][id as usize]).collect();
            off = off.max(apart(&[row], &[expected]));
        }
        offs.push(off);
        rows.push(found);
    }
    let (moved, [without, with]) = (apart(&rows[0], &rows[1]), [offs[0], offs[1]]);
    eprintln!(
        "{}: off by {without:.4} without and {with:.4} with an adapter that moves logits by {moved:.2}",
        real.name
    );
    assert!(moved > 2.0 && with <= real.tolerance.unwrap_or(NOISE * without), "{}: {with}", real.name);
}

/// The adapter that make_adapters.py gives to llama.cpp, from the same numbers.
fn like_the_script(model: &Model, golden: &Value) -> Adapter {
    let rank = golden["rank"].as_u64().unwrap() as usize;
    let seed = golden["seed"].as_u64().unwrap() * 100_000;
    let amplitude = |factor: &str| golden["amplitude"][factor].as_f64().unwrap() / f64::from(1 << 23);
    let mut adapter = Adapter::new(model.config(), golden["alpha"].as_f64().unwrap() as f32);
    let mut place = 0;
    let mut numbers = |n: usize, factor: &str| -> Vec<f32> {
        place += 1;
        let splitmix64 = |i: u64| {
            let mut z = ((seed + place) << 32).wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        (1..=n as u64).map(|i| ((splitmix64(i) >> 40) as i32 - (1 << 23)) as f32 * amplitude(factor) as f32).collect()
    };
    for layer in 0..model.config().n_layer {
        for projection in Projection::ALL {
            let (n_in, n_out) = projection.shape(model.config());
            let lora = Lora { rank, a: numbers(rank * n_in, "lora_a"), b: numbers(n_out * rank, "lora_b") };
            adapter.set(model.config(), layer, projection, lora).unwrap();
        }
    }
    adapter
}
