//! Every architecture and RoPE scaling against PyTorch `transformers` on the same weights (tests/fixtures/tiny).

#![allow(clippy::expect_used, clippy::panic, reason = "a failed test has to stop")]

mod support;

use std::path::PathBuf;

use ruminate::engine::{Batch, Engine, Rows, Tap, Want};
use serde_json::Value;

/// Largest difference of a logit. The engine keeps K and V in F16; with F16 KV llama.cpp is up to 0.0064 from
/// transformers on these models (with F32 KV up to 1.3e-5), while any wrong constant moves some logit by 0.1 or more.
const TOLERANCE: f32 = 0.012;

#[test]
fn llama() {
    compare("llama");
}

#[test]
fn llama_with_tied_embeddings() {
    compare("llama_tied");
}

#[test]
fn llama_with_linear_rope_scaling() {
    compare("llama_linear");
}

#[test]
fn llama_with_llama3_rope_scaling() {
    compare("llama_rope3");
}

#[test]
fn llama_with_yarn() {
    compare("llama_yarn");
}

#[test]
fn mistral_with_its_own_head_width() {
    compare("mistral");
}

#[test]
fn qwen2() {
    compare("qwen2");
}

#[test]
fn qwen2_with_yarn_and_its_own_betas() {
    compare("qwen2_yarn");
}

#[test]
fn qwen3() {
    compare("qwen3");
}

#[test]
fn phi3() {
    compare("phi3");
}

#[test]
fn phi3_with_longrope_short_and_long() {
    compare("phi3_longrope");
}

#[test]
fn gemma3() {
    compare("gemma3");
}

#[test]
fn gemma3_with_softcap_pattern_and_linear_scaling() {
    compare("gemma3_softcap");
}

#[test]
fn the_residual_stream_after_every_layer() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny");
    let golden = support::json(&folder.join("taps.json"));
    let golden = golden.as_object().expect("models");
    assert_eq!(golden.len(), support::tiny::TINY.len());
    for (name, golden) in golden {
        let tokens = support::ids(&golden["tokens"]);
        let n_ctx = golden["n_ctx"].as_u64().expect("n_ctx") as usize;
        let mut engine = support::engine(&folder.join(format!("{name}.gguf")), Some(n_ctx));
        let branch = support::root(&mut engine);
        let expected: Vec<Vec<f32>> =
            golden["layers"].as_array().expect("layers").iter().map(support::floats).collect();
        let taps: Vec<Tap> = (0..expected.len()).map(Tap::Layer).collect();
        let mut batch = Batch::default().with_taps(&taps);
        batch.extend(&branch, &tokens, Want::Hidden);
        let mut rows = Rows::new();
        engine.forward(&batch, &mut rows).expect("a pass");
        let found = rows.hidden(0).expect("a row");
        assert_eq!(found.len(), expected.concat().len(), "{name}");
        for (layer, expected) in expected.iter().enumerate() {
            let off = largest_difference(&found[layer * expected.len()..][..expected.len()], expected);
            assert!(off <= TOLERANCE, "{name}: the state after layer {layer} is off by {off}");
            eprintln!("{name}: the state after layer {layer} is off by at most {off:.4}");
        }
    }
}

fn compare(name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny");
    let golden = support::json(&folder.join(format!("{name}.json")));
    let sequences = golden["sequences"].as_array().expect("sequences");
    assert_eq!(sequences.len(), 2, "{name}");
    for golden in sequences {
        let tokens = support::ids(&golden["tokens"]);
        let n_ctx = golden["n_ctx"].as_u64().expect("n_ctx") as usize;
        let mut engine = support::engine(&folder.join(format!("{name}.gguf")), Some(n_ctx));
        let branch = support::root(&mut engine);
        let rows = support::extend(&mut engine, &branch, &tokens, Want::Both);
        let what = format!("{name}, {} tokens", tokens.len());
        let worst = [
            at_positions(golden, &rows.logits, &what),
            hidden(golden, &rows.hidden, &what),
            next_tokens(golden, &rows.logits, &tokens, &what),
        ];
        eprintln!("{what}: off by at most {:.4} (logits), {:.4} (hidden), {:.4} (nll)", worst[0], worst[1], worst[2]);
    }
}

fn at_positions(golden: &Value, logits: &[Vec<f32>], what: &str) -> f32 {
    let mut worst = 0.0f32;
    let positions = support::ids(&golden["positions"]);
    assert_eq!(positions.len(), 3, "{what}");
    for (position, expected) in positions.iter().zip(golden["logits"].as_array().expect("logits")) {
        let off = largest_difference(&logits[*position as usize], &support::floats(expected));
        assert!(off <= TOLERANCE, "{what}: logits of position {position} are off by {off}");
        worst = worst.max(off);
    }
    worst
}

/// The final-norm state of the last position; its entries are of the size of logits.
fn hidden(golden: &Value, hidden: &[Vec<f32>], what: &str) -> f32 {
    let off = largest_difference(hidden.last().expect("a row"), &support::floats(&golden["hidden"]));
    assert!(off <= TOLERANCE, "{what}: the last hidden state is off by {off}");
    off
}

/// Negative log-likelihoods and choices of every position.
fn next_tokens(golden: &Value, logits: &[Vec<f32>], tokens: &[u32], what: &str) -> f32 {
    let mut worst = 0.0f32;
    let expected = support::floats(&golden["nll"]);
    assert_eq!(expected.len() + 1, tokens.len(), "{what}");
    for (i, expected) in expected.iter().enumerate() {
        let off = (support::nll(&logits[i], tokens[i + 1]) as f32 - expected).abs();
        assert!(off <= 2.0 * TOLERANCE, "{what}: the likelihood of token {} is off by {off}", i + 1);
        worst = worst.max(off);
    }
    for (i, expected) in support::ids(&golden["argmax"]).into_iter().enumerate() {
        let behind = logits[i][support::argmax(&logits[i])] - logits[i][expected as usize];
        assert!(behind <= 2.0 * TOLERANCE, "{what}: position {i} prefers another token by {behind}");
    }
    worst
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // A NaN must not vanish in max().
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, off| if off > worst || off.is_nan() { off } else { worst })
}
