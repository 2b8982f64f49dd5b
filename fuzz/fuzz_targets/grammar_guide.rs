//! Any text as a grammar: an error that names the fault, or a guide under which every permitted token can be taken.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ruminate::Limits;
use ruminate::gguf::Gguf;
use ruminate::storage::Bytes;
use ruminate::text::{Form, Grammar, TokenId, Tokenizer};

static WORDS: LazyLock<Tokenizer> = LazyLock::new(|| {
    let bytes = Bytes::from_static(include_bytes!("../../models/abacus-q8_0.gguf"));
    let gguf = Gguf::parse(bytes, &Limits::default()).expect("the model");
    Tokenizer::from_gguf(&gguf, &Limits::default()).expect("the model")
});

/// Tokens of one text.
const LENGTH: usize = 24;

fuzz_target!(|data: &[u8]| {
    let [form, choice, source @ ..] = data else { return };
    let Ok(source) = std::str::from_utf8(source) else { return };
    let form = match form % 4 {
        0 => Form::JsonSchema(source.into()),
        1 => Form::Regex(source.into()),
        2 => Form::Choice(source.lines().map(String::from).collect()),
        _ => Form::Lark(source.into()),
    };
    let grammar = Grammar::of(form).map(|grammar| if *choice < 128 { grammar } else { grammar.after("####") });
    match grammar.and_then(|grammar| WORDS.guide(&grammar)) {
        Ok(mut guide) => {
            let mut draw = u32::from(*choice) + 1;
            for _ in 0..LENGTH {
                // Caps on the work that one token may take are errors, too.
                let Ok(permitted) = guide.permitted() else { return };
                let tokens: Vec<TokenId> = (0..WORDS.vocab_len() as TokenId).filter(|&t| permitted.contains(t)).collect();
                assert!(!tokens.is_empty(), "nothing is permitted, and that is no error");
                draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let token = tokens[draw as usize % tokens.len()];
                if WORDS.is_eog(token) {
                    assert!(guide.may_end().unwrap_or(true), "an end was permitted where the text cannot end");
                    return;
                }
                guide.advance(token).expect("a permitted token");
            }
        }
        Err(e) => assert!(!e.to_string().chars().any(char::is_control) && e.to_string().len() < 2_000, "{e:?}"),
    }
});
