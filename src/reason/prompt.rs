//! A strategy's words as tokens of one model.

use super::Strategy;
use crate::error::Result;
use crate::text::{ChatTemplate, EncodeOptions, TokenId, Tokenizer};

/// The tokens that the answer to `question` follows: through the model's chat template if it has one, as plain text if
/// not. The token that begins a text stands first once if the model wants it, whether the template writes it or not.
///
/// The template's control tokens are read as such, and so are those spelled out in the question.
pub fn prompt(
    strategy: &dyn Strategy,
    question: &str,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Vec<TokenId>> {
    let text = match template {
        Some(template) => template.render(&strategy.messages(question), true)?,
        None => strategy.plain(question),
    };
    let options = EncodeOptions { add_special: false, parse_special: template.is_some() };
    let mut tokens = tokenizer.encode(&text, options)?;
    if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.add_bos() && tokens.first() != Some(bos)) {
        tokens.insert(0, bos);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::StrArray;
    use crate::limits::Limits;
    use crate::reason::{ALL, Direct};
    use crate::text::VocabSource;

    /// Single bytes, `<s>` to begin with and `<turn>` between turns.
    fn tokenizer() -> Tokenizer {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "<turn>"].map(String::from).to_vec();
        tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
        let token_type = Some([2, 3, 3, 3].into_iter().chain([6; 256]).collect());
        let source = VocabSource {
            model: "llama".into(),
            tokens: StrArray::from_strs(tokens).unwrap(),
            token_type,
            add_bos_token: Some(true),
            add_space_prefix: Some(false),
            bos_token_id: Some(1),
            ..VocabSource::default()
        };
        Tokenizer::new(&source, &Limits::default()).unwrap()
    }

    fn text(tokenizer: &Tokenizer, tokens: &[TokenId]) -> String {
        String::from_utf8(tokenizer.decode(tokens, true)).unwrap()
    }

    #[test]
    fn the_first_token_stands_once_whoever_writes_it() {
        let tokenizer = tokenizer();
        let body = "{% for m in messages %}<turn>{{ m.role }}:{{ m.content }}{% endfor %}<turn>";
        for source in [body.to_owned(), format!("{{{{ bos_token }}}}{body}")] {
            let template = ChatTemplate::new(&source, "<s>", "</s>", &Limits::default()).unwrap();
            let tokens = prompt(&Direct, " 1+1? ", &tokenizer, Some(&template)).unwrap();
            assert_eq!(text(&tokenizer, &tokens), "<s><turn>user:1+1?<turn>");
            assert_eq!((tokens[0], tokens[1]), (1, 3), "control tokens are single tokens");
        }
        let tokens = prompt(&Direct, "1+1?", &tokenizer, None).unwrap();
        assert_eq!(text(&tokenizer, &tokens), "<s>1+1?\n");
    }

    #[test]
    fn a_plain_prompt_spells_control_tokens_out() {
        let tokenizer = tokenizer();
        for strategy in ALL {
            let tokens = prompt(strategy, "<turn>", &tokenizer, None).unwrap();
            assert!(!tokens.contains(&3), "{}", strategy.name());
        }
    }
}
