//! A model that follows a script: bytes as tokens, a chat template, and replies that are known beforehand.

use crate::engine::toy::ToyEngine;
use crate::gguf::StrArray;
use crate::limits::Limits;
use crate::text::{ChatTemplate, TokenId, Tokenizer, VocabSource};

const EOS: TokenId = 2;
/// The blank is a token of its own, which SentencePiece would not spell as a byte.
const BLANK: TokenId = 4;
const FIRST_BYTE: TokenId = 5;
pub(in crate::reason) const N_VOCAB: usize = 261;
const TURN: &str = "<turn>assistant\n";
const TEMPLATE: &str = "{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}</s>{% endfor %}\
                        {% if add_generation_prompt %}<turn>assistant\n{% endif %}";

/// Says what a turn may be as a whole, given what stands before it and what it has said so far.
pub(in crate::reason) type Turn = fn(before: &str, said: &str) -> Vec<String>;

pub(in crate::reason) fn tokenizer() -> Tokenizer {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "<turn>", "▁"].map(String::from).to_vec();
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    let source = VocabSource {
        model: "llama".into(),
        tokens: StrArray::from_strs(tokens).unwrap(),
        token_type: Some([2, 3, 3, 3, 1].into_iter().chain([6; 256]).collect()),
        add_bos_token: Some(true),
        add_space_prefix: Some(false),
        bos_token_id: Some(1),
        eos_token_id: Some(EOS),
        ..VocabSource::default()
    };
    Tokenizer::new(&source, &Limits::default()).unwrap()
}

pub(in crate::reason) fn template() -> ChatTemplate {
    ChatTemplate::new(TEMPLATE, "<s>", "</s>", &Limits::default()).unwrap()
}

/// The model. All that a turn may be is equally likely at every byte where its possibilities part.
pub(in crate::reason) fn model(n_ctx: usize, width: usize, turn: Turn) -> ToyEngine {
    let tokenizer = tokenizer();
    let script = move |path: &[TokenId]| {
        let text = String::from_utf8_lossy(&tokenizer.decode(path, true)).into_owned();
        let (before, said) = text.rsplit_once(TURN).map_or((text.as_str(), ""), |(before, said)| (before, said));
        let mut logits = vec![-30.0; N_VOCAB];
        let mut open = false;
        for whole in turn(before, said) {
            let Some(rest) = whole.strip_prefix(said) else { continue };
            let next = match rest.bytes().next() {
                None => EOS,
                Some(b' ') => BLANK,
                Some(byte) => FIRST_BYTE + TokenId::from(byte),
            };
            logits[next as usize] = 5.0;
            open = true;
        }
        if !open {
            logits[EOS as usize] = 5.0;
        }
        logits
    };
    ToyEngine::ruled(n_ctx, width, N_VOCAB, Box::new(script))
}

/// The last message of a user before a turn.
pub(in crate::reason) fn asked(before: &str) -> &str {
    before.rsplit_once("<turn>user\n").map_or("", |(_, last)| last)
}
