//! Heads against numpy (tests/fixtures/make_heads.py), and files that lie.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::*;
use crate::error::ErrorKind;
use crate::gguf::{Gguf, GgufWriter};
use crate::observe::Interrupt;
use crate::quant::QuantType;
use crate::reward::{Draw, Features, Judge, Step, StepId};
use crate::storage::Bytes;

const HEADS: [&str; 7] = ["linear", "calibrated", "softmax", "deep", "silu", "tanh", "identity"];

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/heads")
}

fn head(name: &str) -> Head {
    Head::open(&fixtures().join(format!("{name}.gguf")), &Limits::default()).unwrap()
}

fn base() -> ModelInfo {
    ModelInfo {
        architecture: "llama".into(),
        name: String::new(),
        fingerprint: "0123456789abcdef0123456789abcdef".into(),
        n_vocab: 10,
        n_embd: 5,
        n_layer: 3,
        n_ctx: 10,
        n_ctx_train: 10,
        free_width: 1,
    }
}

fn floats(value: &Json) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// One step of a fixture as the judge is told of it.
fn judged(judge: &mut HeadJudge, step: &Json) -> f32 {
    let mut features = Features::default();
    step["rows"].as_array().unwrap().iter().for_each(|row| features.push(&floats(row)));
    let draw = |d: &Json| Draw { logprob: floats(d)[0], entropy: floats(d)[1], confidence: f32::NAN };
    let draws: Vec<Draw> = step["draws"].as_array().unwrap().iter().map(draw).collect();
    let tokens = vec![0; draws.len()];
    let step = Step {
        id: StepId(1),
        parent: StepId::ROOT,
        text: "",
        path: "",
        tokens: &tokens,
        draws: &draws,
        features: Some(&features),
        complete: step["complete"].as_bool().unwrap(),
    };
    judge.judge(&[step], &Interrupt::default()).unwrap()[0]
}

#[test]
fn values_are_those_of_numpy() {
    let text = std::fs::read_to_string(fixtures().join("heads.json")).unwrap();
    let golden: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(golden.as_object().unwrap().len(), HEADS.len());
    for name in HEADS {
        let mut judge = HeadJudge::new(head(name), &base()).unwrap();
        let golden = &golden[name];
        let values = floats(&golden["values"]);
        assert!(values.len() == 3 && values[0] != values[2], "{name}");
        for (i, step) in golden["steps"].as_array().unwrap().iter().enumerate() {
            let found = judged(&mut judge, step);
            assert!((found - values[i]).abs() <= 1e-6, "{name}, step {i}: {found}, numpy says {}", values[i]);
        }
        if judge.head().extra.is_empty() && judge.head().pool == Pool::Last {
            let rows = golden["steps"][1]["rows"].as_array().unwrap();
            let found = judge.head().logits(&floats(rows.last().unwrap()), &[]).unwrap();
            for (found, expected) in found.iter().zip(golden["outputs"][1].as_array().unwrap()) {
                assert!((found - expected.as_f64().unwrap()).abs() <= 1e-9, "{name}");
            }
        }
    }
}

#[test]
fn a_head_comes_back_from_its_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for name in HEADS {
        let mut head = head(name);
        head.aggregation = Aggregation::Window(3);
        head.provenance.push(("prm.eval.auroc".into(), Value::F32(0.75)));
        let path = folder.path().join(name);
        head.save(&path).unwrap();
        assert_eq!(Head::open(&path, &Limits::default()).unwrap(), head, "{name}");
        let gguf = Gguf::parse(Bytes::from_vec(head.to_bytes().unwrap()), &Limits::default()).unwrap();
        assert_eq!(gguf.metadata().str("adapter.type").unwrap(), Some("prm_head"));
    }
}

#[test]
fn a_head_of_another_model_is_refused() {
    let kind = |change: fn(&mut ModelInfo)| {
        let mut base = base();
        change(&mut base);
        let error = HeadJudge::new(head("linear"), &base).unwrap_err();
        (error.kind(), error.to_string())
    };
    for (change, says) in [
        ((|b: &mut ModelInfo| b.fingerprint = "f".into()) as fn(&mut ModelInfo), "fingerprint"),
        (|b| b.n_embd = 6, "6 wide"),
        (|b| b.n_layer = 2, "2 layers"),
    ] {
        let (kind, text) = kind(change);
        assert!(kind == ErrorKind::InvalidArgument && text.contains(says), "{text}");
    }
    let mut at_token = head("linear");
    at_token.read_offset = 0;
    assert!(HeadJudge::new(at_token, &base()).is_err());
}

#[test]
fn a_step_without_states_is_an_error_and_one_without_tokens_is_neutral() {
    let mut judge = HeadJudge::new(head("linear"), &base()).unwrap();
    let none = Features::default();
    let step = |features| Step {
        id: StepId(1),
        parent: StepId::ROOT,
        text: "",
        path: "",
        tokens: &[],
        draws: &[],
        features,
        complete: true,
    };
    assert_eq!(judge.judge(&[step(Some(&none))], &Interrupt::default()).unwrap(), [NEUTRAL]);
    assert!(judge.judge(&[step(None)], &Interrupt::default()).is_err());
    let short = Features { last: vec![1.0], sum: vec![1.0], count: 1 };
    assert!(judge.judge(&[step(Some(&short))], &Interrupt::default()).is_err());
    let nan = Features { last: vec![f32::NAN; 5], sum: vec![f32::NAN; 5], count: 1 };
    let error = judge.judge(&[step(Some(&nan))], &Interrupt::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
}

#[test]
fn states_that_are_not_finite_are_an_error_behind_every_activation() {
    for activation in [Activation::Relu, Activation::Tanh, Activation::Gelu, Activation::Silu] {
        let head = Head { activation, ..head("deep") };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = head.logits(&vec![bad; head.n_hidden()], &vec![0.0; head.extra.len()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite, "{activation:?} {bad}");
        }
        assert!(activation.of(f64::NAN).is_nan(), "{activation:?}");
    }
}

fn read(bytes: Vec<u8>) -> Result<Head> {
    Head::from_gguf(&Gguf::parse(Bytes::from_vec(bytes), &Limits::default())?, &Limits::default())
}

#[test]
fn cut_and_mutated_files_are_refused_or_sound() {
    let clean = head("deep").to_bytes().unwrap();
    for end in 0..clean.len() {
        // Behind the last tensor there are zeros up to the alignment, which nobody misses.
        let cut = read(clean[..end].to_vec());
        assert!(cut.is_err() || end + 32 > clean.len(), "cut at {end} of {}", clean.len());
    }
    let mut refused = 0;
    for at in 0..clean.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = clean.clone();
            bytes[at] ^= bit;
            match read(bytes) {
                Ok(head) => head.validate().unwrap(),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > clean.len() / 4, "{refused} of {} changes were noticed", 2 * clean.len());
}

/// A one-layer head's file with these changes: metadata to replace (`None` drops the key), and tensors instead of its own.
fn lying(meta: &[(&str, Option<Value>)], tensors: &[(&str, &[u64], f32)]) -> Vec<u8> {
    let clean = Gguf::parse(Bytes::from_vec(head("linear").to_bytes().unwrap()), &Limits::default()).unwrap();
    let mut file = GgufWriter::new();
    for (key, value) in clean.metadata().iter() {
        match meta.iter().find(|(k, _)| *k == key) {
            Some((_, None)) => (),
            Some((_, Some(value))) => file.set(key, value.clone()).unwrap(),
            None => file.set(key, value.clone()).unwrap(),
        }
    }
    let own: &[(&str, &[u64], f32)] = &[("prm.fc.0.weight", &[5, 1], 0.5), ("prm.fc.0.bias", &[1], 0.5)];
    for (name, shape, fill) in if tensors.is_empty() { own } else { tensors } {
        let n = shape.iter().product::<u64>() as usize;
        file.tensor(name, shape, QuantType::F32, fill.to_le_bytes().repeat(n)).unwrap();
    }
    let mut out = Vec::new();
    file.write(&mut out).unwrap();
    out
}

#[test]
fn lying_files_are_refused_with_what_is_wrong() {
    let text = |s: &str| Some(Value::Str(s.into()));
    let layers = |l: &[i32]| Some(Value::from(l.to_vec()));
    assert!(read(lying(&[], &[])).is_ok());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("general.type", lying(&[("general.type", text("model"))], &[])),
        ("adapter.type", lying(&[("adapter.type", text("lora"))], &[])),
        ("version 2", lying(&[("prm.version", Some(Value::U32(2)))], &[])),
        ("kind", lying(&[("prm.kind", text("mlp"))], &[])),
        ("implicit", lying(&[("prm.kind", text("implicit"))], &[])),
        ("prm.purpose", lying(&[("prm.purpose", text("x"))], &[])),
        ("prm.purpose", lying(&[("prm.purpose", None)], &[])),
        ("fingerprint", lying(&[("prm.base.fingerprint", None)], &[])),
        ("128", lying(&[("prm.purpose", text(&"p".repeat(1 << 20)))], &[])),
        ("128", lying(&[("prm.base.fingerprint", text(&"f".repeat(1 << 20)))], &[])),
        ("prm.base.n_embd is 0", lying(&[("prm.base.n_embd", Some(Value::U32(0)))], &[])),
        ("prm.base.n_embd", lying(&[("prm.base.n_embd", Some(Value::U32(u32::MAX)))], &[])),
        ("prm.base.n_layer", lying(&[("prm.base.n_layer", Some(Value::U32(u32::MAX)))], &[])),
        ("takes 5 numbers", lying(&[("prm.base.n_embd", Some(Value::U32(6)))], &[])),
        ("layer 3", lying(&[("prm.hidden.layers", layers(&[3]))], &[])),
        ("layer -2", lying(&[("prm.hidden.layers", layers(&[-2]))], &[])),
        ("reads []", lying(&[("prm.hidden.layers", layers(&[]))], &[])),
        ("twice", lying(&[("prm.hidden.layers", layers(&[1, 1]))], &[])),
        ("reads 5 layers", lying(&[("prm.hidden.layers", layers(&[0; 5]))], &[])),
        ("prm.hidden.pool", lying(&[("prm.hidden.pool", text("sum"))], &[])),
        ("read offset", lying(&[("prm.step.read_offset", Some(Value::I32(-3)))], &[])),
        ("prm.n_out is 2", lying(&[("prm.n_out", Some(Value::U32(2)))], &[])),
        ("prm.out.transform", lying(&[("prm.out.transform", text("log_ratio"))], &[])),
        ("number 1", lying(&[("prm.out.positive_index", Some(Value::U32(1)))], &[])),
        ("temperature", lying(&[("prm.calib.temperature", Some(Value::F32(0.0)))], &[])),
        ("temperature", lying(&[("prm.calib.bias", Some(Value::F32(f32::NAN)))], &[])),
        ("aggregation", lying(&[("prm.agg.default", text("best"))], &[])),
        ("none of a reward head's", lying(&[], &[("prm.fc.1.weight", &[5, 1], 0.5)])),
        ("no matrix", lying(&[], &[("prm.fc.0.weight", &[5], 0.5)])),
        ("no vector", lying(&[], &[("prm.fc.0.weight", &[5, 1], 0.5), ("prm.fc.0.bias", &[1, 1], 0.5)])),
        ("takes 4 numbers", lying(&[], &[("prm.fc.0.weight", &[4, 1], 0.5)])),
        ("2 biases", lying(&[], &[("prm.fc.0.weight", &[5, 1], 0.5), ("prm.fc.0.bias", &[2], 0.5)])),
        ("NaN", lying(&[], &[("prm.fc.0.weight", &[5, 1], f32::NAN)])),
        ("NaN or infinity", lying(&[], &[("prm.fc.0.weight", &[5, 1], f32::INFINITY)])),
        ("none of a reward head's", lying(&[], &[("prm.fc.0.weight", &[5, 1], 0.5), ("other", &[1], 0.5)])),
        ("deviation", lying(&[], &[("prm.fc.0.weight", &[5, 1], 0.5), ("prm.in.mean", &[5], 0.5)])),
        ("deviation", {
            let zero: [(&str, &[u64], f32); 3] =
                [("prm.fc.0.weight", &[5, 1], 0.5), ("prm.in.mean", &[5], 0.5), ("prm.in.std", &[5], 0.0)];
            lying(&[], &zero)
        }),
    ];
    for (says, bytes) in cases {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Format | ErrorKind::Unsupported), "{says}: {error:?}");
        assert!(error.to_string().contains(says) && error.to_string().len() < 500, "{says}: {error}");
    }
}

#[test]
fn a_head_that_cannot_be_read_back_is_not_written() {
    let mut wrong = head("linear");
    wrong.temperature = f32::NAN;
    assert!(wrong.to_bytes().is_err());
    let mut wrong = head("linear");
    wrong.layers[0].parameters_mut().0[0] = f32::INFINITY;
    assert!(wrong.to_bytes().is_err());
    let mut wrong = head("linear");
    wrong.provenance.push(("prm.kind".into(), Value::U32(1)));
    assert!(wrong.to_bytes().is_err());
}
