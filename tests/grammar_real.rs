//! Grammars over the vocabularies of the built-in model and of real ones: which tokens are permitted, and that texts of the grammar are
//! drawn from models that know nothing of it.
//!
//! Real models are those of `scripts/fetch-models.sh`, as in `tokenizer_real`; one that is not there is skipped and said so.

#![cfg(feature = "grammar")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use ruminate::Limits;
use ruminate::engine::Stream;
use ruminate::gguf::Gguf;
use ruminate::storage::LoadMode;
use ruminate::text::{Grammar, Guide, TokenId, Tokenizer};
use serde_json::Value;

const MODELS: [&str; 3] =
    ["smollm2-135m-instruct-q4_1.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "gemma-3-270m-q4_k_m.gguf"];
const SCHEMA: &str = r#"{"type": "object", "properties": {"städte": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    "n": {"type": "integer"}, "when": {"type": "string", "format": "date"}}, "required": ["städte", "n"],
    "additionalProperties": false}"#;
const FITTING: &str = r#"{"städte": ["Łódź 漢字 😀", "a \"b\" \\ c"], "n": -120, "when": "2024-02-29"}"#;

fn tokenizers() -> Vec<(String, Tokenizer)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("RUMINATE_TEST_MODELS").map_or(root.join("target/models"), PathBuf::from);
    let bundled = root.join("models/abacus-q8_0.gguf");
    let files = MODELS.iter().map(|model| folder.join(model)).chain([bundled]);
    let open = |path: PathBuf| {
        if !path.is_file() {
            println!("skipped: {} is not there", path.display());
            return None;
        }
        let limits = Limits::default();
        let gguf = Gguf::open(&path, LoadMode::Mmap, &limits).unwrap();
        Some((path.display().to_string(), Tokenizer::from_gguf(&gguf, &limits).unwrap()))
    };
    files.filter_map(open).collect()
}

fn ends(tokenizer: &Tokenizer, guide: &mut Guide) -> bool {
    let permitted = guide.permitted().unwrap();
    (0..tokenizer.vocab_len() as TokenId).any(|id| tokenizer.is_eog(id) && permitted.contains(id))
}

#[test]
fn a_texts_own_tokens_are_permitted_and_its_end_alone_ends_it() {
    for (name, tokenizer) in tokenizers() {
        for (grammar, text) in [
            (Grammar::json_schema(SCHEMA).unwrap(), FITTING),
            (Grammar::regex(r"\p{Lu}[\s\S]{3,200}\.").unwrap(), "Über 漢字 and\n\n\ttabs, 1,234;5 — ok."),
            (Grammar::choice(["yes", "  no 😀"]).unwrap(), "  no 😀"),
            (Grammar::choice(["12", "7"]).unwrap().after("####"), "So 3*4 = 12.\n#### 12"),
        ] {
            let tokens = tokenizer.encode_more(text, false).unwrap();
            let mut guide = tokenizer.guide(&grammar).unwrap();
            for (i, &token) in tokens.iter().enumerate() {
                let permitted = guide.permitted().unwrap();
                let piece = String::from_utf8_lossy(tokenizer.token_bytes(token).unwrap_or_default()).into_owned();
                assert!(permitted.contains(token), "{name}: token {i} of {text:?}: {piece:?}");
                assert!(!ends(&tokenizer, &mut guide), "{name}: an end before token {i} of {text:?}");
                guide.advance(token).unwrap();
            }
            assert!(guide.is_done() || ends(&tokenizer, &mut guide), "{name}: {text:?} is whole");
        }
    }
}

#[test]
fn permitted_are_exactly_the_tokens_whose_bytes_fit() {
    for (name, tokenizer) in tokenizers() {
        let mut guide = tokenizer.guide(&Grammar::regex("[0-9]{1,3}|[a-f ]+").unwrap()).unwrap();
        let permitted = guide.permitted().unwrap();
        let mut count = 0;
        for id in 0..tokenizer.vocab_len() as TokenId {
            let bytes = tokenizer.token_bytes(id).unwrap_or_default();
            let digits = bytes.len() <= 3 && bytes.iter().all(u8::is_ascii_digit);
            let letters = bytes.iter().all(|b| matches!(b, b'a'..=b'f' | b' '));
            let fits = !bytes.is_empty() && (digits || letters) && !tokenizer.is_control(id) && bytes.len() <= 1_000;
            // Tokens that a file calls unused stand for nothing.
            assert!(permitted.contains(id) == fits || bytes.is_empty(), "{name}: {id} {bytes:?}");
            count += usize::from(fits);
        }
        assert!(count > 20, "{name}: {count}");
    }
}

#[test]
fn texts_drawn_blindly_are_of_the_schema() {
    for (name, tokenizer) in tokenizers() {
        let grammar = Grammar::json_schema(
            r#"{"type": "object", "properties": {"a": {"type": "string", "maxLength": 8}, "b": {"enum": ["x y", 1, null]},
                "c": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}}, "required": ["a", "b", "c"],
                "additionalProperties": false}"#,
        )
        .unwrap();
        let start = Instant::now();
        let (mut draws, mut whole) = (0u32, 0);
        for seed in 0..12 {
            let mut guide = tokenizer.guide(&grammar).unwrap();
            let (numbers, mut bytes) = (Stream::new(seed), Vec::new());
            for step in 0..120 {
                let permitted = guide.permitted().unwrap();
                let all: Vec<TokenId> =
                    (0..tokenizer.vocab_len() as TokenId).filter(|&id| permitted.contains(id)).collect();
                let token = all[(numbers.uniform(step) * all.len() as f64) as usize];
                draws += 1;
                guide.advance(token).unwrap();
                bytes.extend_from_slice(tokenizer.token_bytes(token).unwrap());
                if guide.is_done() {
                    let value: Value = serde_json::from_slice(&bytes).unwrap();
                    assert!(value["a"].is_string() && value["c"].as_array().is_some_and(|c| c.len() <= 2), "{value}");
                    whole += 1;
                    break;
                }
            }
        }
        println!("{name}: {draws} draws, {:.2} ms each", start.elapsed().as_secs_f64() * 1e3 / f64::from(draws));
        assert!(whole >= 8, "{name}: {whole}");
    }
}
