//! Adapter files: what comes back, and files that lie.

use std::path::PathBuf;

use super::*;
use crate::gguf::{Gguf, GgufWriter, Value};
use crate::limits::Limits;
use crate::quant::QuantType;
use crate::storage::{Bytes, LoadMode};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn base(name: &str) -> Model {
    let limits = Limits::default();
    let gguf = Gguf::open(&fixtures().join(format!("tiny/{name}.gguf")), LoadMode::Read, &limits).unwrap();
    Model::load(&gguf, &limits).unwrap()
}

fn fixture(name: &str, base: &Model) -> Adapter {
    let path = fixtures().join(format!("adapters/{name}.gguf"));
    Adapter::open(&path, base.config(), &Limits::default()).unwrap()
}

fn bytes(adapter: &Adapter) -> Vec<u8> {
    let mut out = Vec::new();
    adapter.write(&mut out).unwrap();
    out
}

fn read(bytes: Vec<u8>, base: &Model) -> Result<Adapter> {
    Adapter::from_gguf(&Gguf::parse(Bytes::from_vec(bytes), &Limits::default())?, base.config(), &Limits::default())
}

/// Factors of `rank` with small numbers that depend on `seed`.
fn lora(base: &Model, projection: Projection, rank: usize, seed: usize) -> Lora {
    let (n_in, n_out) = projection.shape(base.config());
    let numbers = |n: usize, seed: usize| (0..n).map(|i| ((i * 29 + seed) % 31) as f32 / 32.0 - 0.5).collect();
    Lora { rank, a: numbers(rank * n_in, seed), b: numbers(n_out * rank, seed + 7) }
}

/// Rows of the scaled product `B A`.
fn product(adapter: &Adapter, layer: usize, projection: Projection) -> Vec<f32> {
    let Some(lora) = adapter.get(layer, projection) else { return Vec::new() };
    let (n_in, scale) = (lora.a.len() / lora.rank, adapter.scale(lora));
    let rows = lora.b.chunks_exact(lora.rank).flat_map(|b| {
        (0..n_in).map(move |k| scale * b.iter().enumerate().map(|(r, b)| b * lora.a[r * n_in + k]).sum::<f32>())
    });
    rows.collect()
}

#[test]
fn an_adapter_comes_back_from_its_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["llama", "mistral", "qwen2", "qwen3", "gemma3", "phi3"] {
        let base = base(name);
        let mut adapter = fixture(name, &base);
        assert_eq!(adapter.iter().count() % base.config().n_layer, 0, "{name}");
        (adapter.name, adapter.base_fingerprint) = ("steps".into(), base.fingerprint().into());
        let path = folder.path().join(name);
        adapter.save(&path).unwrap();
        let again = Adapter::open(&path, base.config(), &Limits::default()).unwrap();
        assert_eq!(again, adapter, "{name}");
        assert_eq!(again.digest(), adapter.digest());
        again.check_base(&base).unwrap();
    }
    let llama = base("llama");
    assert_eq!(fixture("llama_other", &llama).alpha, 0.0, "a file without alpha");
    assert_eq!(fixture("llama_other", &llama).get(0, Projection::AttnK), None);
}

#[test]
fn projections_with_factors_of_their_own_are_stacked_in_a_fused_file() {
    let base = base("phi3");
    for alpha in [0.0, 5.0] {
        let mut adapter = Adapter::new(base.config(), alpha);
        for (i, (projection, rank)) in
            [(Projection::AttnQ, 2), (Projection::AttnV, 3), (Projection::FfnUp, 4), (Projection::FfnDown, 2)]
                .into_iter()
                .enumerate()
        {
            adapter.set(base.config(), 1, projection, lora(&base, projection, rank, i)).unwrap();
        }
        let gguf = Gguf::parse(Bytes::from_vec(bytes(&adapter)), &Limits::default()).unwrap();
        let names: Vec<&str> = gguf.tensors().iter().map(|t| t.name.as_str()).collect();
        assert!(
            names.contains(&"blk.1.attn_qkv.weight.lora_a") && !names.iter().any(|n| n.contains("attn_q.")),
            "{names:?}"
        );
        let again = Adapter::from_gguf(&gguf, base.config(), &Limits::default()).unwrap();
        assert_eq!(again.get(1, Projection::AttnQ).unwrap().rank, 5);
        for projection in Projection::ALL {
            let (was, is) = (product(&adapter, 1, projection), product(&again, 1, projection));
            match adapter.get(1, projection) {
                Some(_) => assert!(was.len() == is.len() && was.iter().zip(&is).all(|(a, b)| (a - b).abs() < 1e-5)),
                None => assert!(is.iter().all(|x| *x == 0.0), "{projection:?}"),
            }
        }
    }
}

#[test]
fn factors_that_stacking_would_make_infinite_are_refused() {
    let base = base("phi3");
    let mut adapter = Adapter::new(base.config(), 5.0);
    for (seed, projection) in [Projection::AttnQ, Projection::AttnK].into_iter().enumerate() {
        let mut lora = lora(&base, projection, 1, seed);
        lora.b.fill(f32::MAX);
        adapter.set(base.config(), 0, projection, lora).unwrap();
    }
    let error = adapter.write(&mut Vec::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::NonFinite && error.to_string().contains("attn_qkv"), "{error}");
}

#[test]
fn cut_and_mutated_files_are_refused_or_sound() {
    let base = base("llama");
    let mut adapter = Adapter::new(base.config(), 4.0);
    adapter.base_fingerprint = base.fingerprint().to_owned();
    adapter.set(base.config(), 0, Projection::AttnK, lora(&base, Projection::AttnK, 2, 0)).unwrap();
    let clean = bytes(&adapter);
    for end in 0..clean.len() {
        // Behind the last tensor there are zeros up to the alignment, which nobody misses.
        let cut = read(clean[..end].to_vec(), &base);
        assert!(cut.is_err() || end + 32 > clean.len(), "cut at {end} of {}", clean.len());
    }
    let mut refused = 0;
    for at in 0..clean.len() {
        for bit in [0x01, 0x40, 0x80] {
            let mut bytes = clean.clone();
            bytes[at] ^= bit;
            match read(bytes, &base).and_then(|found| found.check_base(&base).map(|()| found)) {
                Ok(found) => found.validate().unwrap(),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > clean.len() / 4, "{refused} of {} changes were noticed", 3 * clean.len());
}

/// A file with this metadata in place of an adapter's own (`None` drops the key), and tensors filled with one number.
fn lying(meta: &[(&str, Option<Value>)], tensors: &[(&str, &[u64], f32)]) -> Vec<u8> {
    let own = [
        ("general.type", Value::Str("adapter".into())),
        ("general.architecture", Value::Str("llama".into())),
        ("adapter.type", Value::Str("lora".into())),
        ("adapter.lora.alpha", Value::F32(2.0)),
    ];
    let mut file = GgufWriter::new();
    for (key, value) in own {
        match meta.iter().find(|(k, _)| *k == key) {
            Some((_, None)) => (),
            Some((_, Some(value))) => file.set(key, value.clone()).unwrap(),
            None => file.set(key, value).unwrap(),
        }
    }
    for (key, value) in meta.iter().filter(|(key, _)| file_lacks(key)) {
        file.set(key, value.clone().unwrap()).unwrap();
    }
    for (name, shape, fill) in tensors {
        let n = shape.iter().product::<u64>() as usize;
        file.tensor(name, shape, QuantType::F32, fill.to_le_bytes().repeat(n)).unwrap();
    }
    let mut out = Vec::new();
    file.write(&mut out).unwrap();
    out
}

fn file_lacks(key: &str) -> bool {
    !["general.type", "general.architecture", "adapter.type", "adapter.lora.alpha"].contains(&key)
}

#[test]
fn lying_files_are_refused_with_what_is_wrong() {
    let base = base("llama");
    let (n_in, n_out) = Projection::AttnK.shape(base.config());
    let (n_in, n_out) = (n_in as u64, n_out as u64);
    assert_ne!(n_in, n_out);
    let (a, b) = ("blk.0.attn_k.weight.lora_a", "blk.0.attn_k.weight.lora_b");
    let (a_shape, b_shape): (&[u64], &[u64]) = (&[n_in, 2], &[2, n_out]);
    let good: &[(&str, &[u64], f32)] = &[(a, a_shape, 0.5), (b, b_shape, 0.5)];
    let text = |s: &str| Some(Value::Str(s.into()));
    let beside = |matrix: &str| {
        let names = ["lora_a", "lora_b"].map(|f| format!("{matrix}.{f}"));
        lying(&[], &[(&names[0], a_shape, 0.5), (&names[1], b_shape, 0.5)])
    };
    read(lying(&[], good), &base).unwrap();
    read(lying(&[], &[good, &[("blk.0.attn_norm.weight", &[4], f32::NAN)]].concat()), &base)
        .expect("norms are passed over");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("general.type", lying(&[("general.type", text("model"))], good)),
        ("general.type", lying(&[("general.type", None)], good)),
        ("adapter.type", lying(&[("adapter.type", None)], good)),
        ("prm_head", lying(&[("adapter.type", text("prm_head"))], good)),
        ("128", lying(&[("adapter.type", text(&"x".repeat(1 << 20)))], good)),
        ("128", lying(&[("general.architecture", text(&"x".repeat(1 << 20)))], good)),
        ("general.architecture", lying(&[("general.architecture", None)], good)),
        ("qwen2", lying(&[("general.architecture", text("qwen2"))], good)),
        ("alpha", lying(&[("adapter.lora.alpha", Some(Value::F32(f32::NAN)))], good)),
        ("alpha", lying(&[("adapter.lora.alpha", text("16"))], good)),
        ("aLoRA", lying(&[("adapter.alora.invocation_tokens", Some(Value::from(vec![1_u32])))], good)),
        ("fingerprint", lying(&[("adapter.base.fingerprint", text(&"f".repeat(1 << 20)))], good)),
        ("no factors", lying(&[], &[])),
        ("no factors", lying(&[], &[("blk.0.attn_norm.weight", &[4], 0.5)])),
        ("without its lora_b", lying(&[], &good[..1])),
        ("without its lora_a", lying(&[], &good[1..])),
        ("no factor", lying(&[], &[good, &[("blk.0.attn_k.bias", &[4], 0.5)]].concat())),
        ("token_embd", beside("token_embd.weight")),
        ("output.weight", beside("output.weight")),
        ("blk.99", beside("blk.99.attn_k.weight")),
        ("blk.00", beside("blk.00.attn_k.weight")),
        ("attn_qkv", beside("blk.0.attn_qkv.weight")),
        ("attn_q_norm", beside("blk.0.attn_q_norm.weight")),
        ("shapes", beside("blk.0.ffn_down.weight")),
        ("shapes", lying(&[], &[(a, &[n_in, 2], 0.5), (b, &[3, n_out], 0.5)])),
        ("shapes", lying(&[], &[(a, &[n_in], 0.5), (b, &[2, n_out], 0.5)])),
        ("shapes", lying(&[], &[(a, &[n_in, 2, 1, 2], 0.5), (b, &[2, n_out], 0.5)])),
        ("shapes", lying(&[], &[(a, &[2, n_in], 0.5), (b, &[n_out, 2], 0.5)])),
        ("NaN", lying(&[], &[(a, a_shape, f32::NAN), (b, b_shape, 0.5)])),
        ("infinity", lying(&[], &[(a, a_shape, 0.5), (b, b_shape, f32::INFINITY)])),
        ("rank 5000", lying(&[], &[(a, &[n_in, 5000], 0.5), (b, &[5000, n_out], 0.5)])),
    ];
    for (says, bytes) in cases {
        let error = read(bytes, &base).unwrap_err();
        assert!(error.to_string().contains(says) && error.to_string().len() < 500, "{says}: {error}");
    }
}

#[test]
fn another_base_and_what_cannot_be_read_back_are_refused() {
    let (llama, linear) = (base("llama"), base("llama_linear"));
    let mut adapter = fixture("llama", &llama);
    adapter.check_base(&linear).expect("an adapter that does not know its base fits any of these sizes");
    adapter.base_fingerprint = llama.fingerprint().to_owned();
    let error = adapter.check_base(&linear).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("fingerprint"), "{error}");
    assert!(adapter.check_base(&base("qwen2")).unwrap_err().to_string().contains("qwen2"));
    let mut out = Vec::new();
    assert!(Adapter::new(llama.config(), 1.0).write(&mut out).is_err(), "no factors");
    adapter.get_mut(0, Projection::FfnUp).unwrap().a[3] = f32::INFINITY;
    assert_eq!(adapter.write(&mut out).unwrap_err().kind(), ErrorKind::NonFinite);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.gguf");
    std::fs::write(&path, "old").unwrap();
    assert!(adapter.save(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
}

#[test]
fn a_base_that_changed_is_not_merged_over_an_older_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("base.gguf"), folder.path().join("merged.gguf"));
    std::fs::copy(fixtures().join("tiny/llama.gguf"), &file).unwrap();
    std::fs::write(&out, "old").unwrap();
    let limits = Limits::default();
    let base = Gguf::open(&file, LoadMode::Mmap, &limits).unwrap();
    let adapters = [(Arc::new(fixture("llama", &self::base("llama"))), 1.0)];
    // Longer, so that all of the mapping is still there.
    let len = std::fs::metadata(&file).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(len + 1).unwrap();
    let error = merge(&base, &adapters, MergeFormat::Same, &limits, &out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileChanged);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
}
