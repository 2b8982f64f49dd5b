//! A vocabulary for tests of grammars, here and in the rooms above.

use crate::gguf::StrArray;
use crate::limits::Limits;
use crate::text::{Tokenizer, VocabSource};

/// Bytes, some words that begin and end in the middle of JSON, control tokens and two ends, in SentencePiece's spelling.
pub(crate) fn tokenizer() -> Tokenizer {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "<end_of_turn>"].map(String::from).to_vec();
    let words = [
        "▁",
        "{\"",
        "\":",
        "\",\"",
        "▁\"",
        "}",
        "\"}",
        "name",
        "age",
        "▁yes",
        "yes",
        "no",
        "12",
        "####",
        "▁####▁",
        "ab/",
    ];
    tokens.extend(words.map(String::from));
    let plain = tokens.len() - 4;
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    let types = [2, 3, 3, 3].into_iter().chain(std::iter::repeat_n(1, plain)).chain([6; 256]);
    let source = VocabSource {
        model: "llama".into(),
        scores: Some((0..tokens.len()).map(|i| -(i as f32)).collect()),
        tokens: StrArray::from_strs(tokens).unwrap(),
        token_type: Some(types.collect()),
        add_space_prefix: Some(false),
        bos_token_id: Some(1),
        eos_token_id: Some(2),
        ..VocabSource::default()
    };
    Tokenizer::new(&source, &Limits::default()).unwrap()
}
