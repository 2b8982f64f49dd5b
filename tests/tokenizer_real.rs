//! Token ids of real models against llama.cpp's, over the whole corpus.
//!
//! Needs the files of `scripts/fetch-models.sh` in `target/models/` or in the folder that `RUMINATE_TEST_MODELS` names; a
//! model that is not there is skipped and said so. The references in `tests/fixtures/tokens/` come from llama.cpp.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use ruminate::Limits;
use ruminate::gguf::Gguf;
use ruminate::storage::LoadMode;
use ruminate::text::{EncodeOptions, StreamDecoder, TokenId, Tokenizer};
use serde_json::Value;

const PLAIN: EncodeOptions = EncodeOptions { add_special: true, parse_special: false };
const SPECIAL: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };

/// What llama.cpp says of a vocabulary: ends of generation, first and last token, number and sum of the control tokens.
struct Roles {
    eog: &'static [TokenId],
    bos: TokenId,
    eos: TokenId,
    add_bos: bool,
    controls: (usize, u64),
}

const SMOLLM2: Roles = Roles { eog: &[0, 2, 4], bos: 1, eos: 2, add_bos: false, controls: (17, 136) };
const QWEN2: Roles = Roles {
    eog: &[128_247, 151_643, 151_645, 151_662, 151_663, 151_664],
    bos: 151_643,
    eos: 151_645,
    add_bos: false,
    controls: (21, 3_161_309),
};
const GEMMA3: Roles = Roles { eog: &[1, 106, 212], bos: 2, eos: 1, add_bos: true, controls: (6_250, 1_591_485_174) };

#[test]
fn smollm2_ids_equal_those_of_llama_cpp() {
    compare("smollm2", &SMOLLM2, &["smollm2-135m-instruct-q4_1.gguf"]);
}

#[test]
fn qwen2_ids_equal_those_of_llama_cpp() {
    compare(
        "qwen2.5-coder",
        &QWEN2,
        &["qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"],
    );
}

#[test]
fn gemma3_ids_equal_those_of_llama_cpp() {
    compare("gemma-3", &GEMMA3, &["gemma-3-270m-q4_k_m.gguf"]);
}

fn compare(reference: &str, roles: &Roles, models: &[&str]) {
    let folder = models_folder();
    for model in models {
        let (path, corpus) = (folder.join(model), folder.join("text_lines.jsonl"));
        if !path.exists() || !corpus.exists() {
            println!(
                "skipped: {} or {} is not there (scripts/fetch-models.sh fetches both)",
                path.display(),
                corpus.display()
            );
            continue;
        }
        compare_one(&read_reference(reference), roles, &path, &read_corpus(&corpus));
    }
}

fn compare_one(reference: &Value, roles: &Roles, path: &Path, texts: &[String]) {
    let gguf = Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf, &Limits::default()).unwrap();
    assert_eq!(texts.len() as u64, reference["lines"].as_u64().unwrap(), "the corpus is of another version");

    let all = || 0..tokenizer.vocab_len() as TokenId;
    assert_eq!(all().filter(|&id| tokenizer.is_eog(id)).collect::<Vec<_>>(), roles.eog);
    let controls: Vec<u64> = all().filter(|&id| tokenizer.is_control(id)).map(u64::from).collect();
    assert_eq!((controls.len(), controls.iter().sum()), roles.controls);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(roles.bos), Some(roles.eos)));
    assert_eq!((tokenizer.add_bos(), tokenizer.add_eos()), (roles.add_bos, false));

    for sample in reference["sample"].as_array().unwrap() {
        let text = &texts[sample["line"].as_u64().unwrap() as usize];
        let plain = ids(&sample["plain"]);
        let special = sample.get("special").map_or_else(|| plain.clone(), ids);
        assert_eq!(tokenizer.encode(text, PLAIN).unwrap(), plain, "{text:?}");
        assert_eq!(tokenizer.encode(text, SPECIAL).unwrap(), special, "{text:?} with special tokens");
    }

    let block = reference["block"].as_u64().unwrap() as usize;
    for (mode, options) in [("plain", PLAIN), ("special", SPECIAL)] {
        for (at, (texts, want)) in texts.chunks(block).zip(reference[mode].as_array().unwrap()).enumerate() {
            let got = digest(texts.iter().map(|text| tokenizer.encode(text, options).unwrap()));
            assert_eq!(got, want.as_str().unwrap(), "{mode}, lines from {}", at * block);
        }
    }

    let pieces: Vec<Vec<TokenId>> =
        all().map(|id| tokenizer.token_bytes(id).unwrap().iter().copied().map(TokenId::from).collect()).collect();
    for (at, (pieces, want)) in pieces.chunks(4096).zip(reference["pieces"].as_array().unwrap()).enumerate() {
        assert_eq!(digest(pieces.iter().cloned()), want.as_str().unwrap(), "bytes of tokens from {}", at * 4096);
    }

    let mut lost = 0;
    for text in texts {
        // SmolLM2 has no token for some control bytes, and SentencePiece reads U+2581 as a blank.
        let holds = |c: char| tokenizer.decode(&tokenizer.encode(c.encode_utf8(&mut [0; 4]), PLAIN).unwrap(), false);
        if text.chars().any(|c| holds(c) != c.to_string().as_bytes()) {
            lost += 1;
            continue;
        }
        let ids = tokenizer.encode(text, PLAIN).unwrap();
        assert_eq!(String::from_utf8_lossy(&tokenizer.decode(&ids, false)), *text);
        let mut decoder = StreamDecoder::new(false);
        let streamed: String = ids.iter().map(|&id| decoder.push(&tokenizer, id).to_owned()).collect();
        assert_eq!(streamed + decoder.finish(), *text);
    }
    assert!(lost * 20 < texts.len(), "{lost} lines hold characters that the vocabulary cannot write");
    println!(
        "{}: {} lines equal in both modes, {} token texts equal, {lost} lines not writable",
        path.display(),
        texts.len(),
        pieces.len()
    );
}

fn models_folder() -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models");
    std::env::var_os("RUMINATE_TEST_MODELS").map_or_else(usual, PathBuf::from)
}

fn read_reference(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/tokens/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn read_corpus(path: &Path) -> Vec<String> {
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(list: &Value) -> Vec<TokenId> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect()
}

/// FNV-1a 64 over each row as little-endian numbers closed by `u32::MAX`, as `make_tokens.py` writes it.
fn digest(rows: impl Iterator<Item = Vec<TokenId>>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for id in rows.flat_map(|row| row.into_iter().chain([u32::MAX])) {
        for byte in id.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}
