//! What a search needs to know of the vocabulary.

use crate::error::{Error, Result};
use crate::text::{EncodeOptions, Grammar, Guide, StreamDecoder, TokenId, Tokenizer};

/// Tokens to text, and which tokens end it.
pub trait Vocabulary {
    /// Half-decoded text between two tokens.
    type Stream;

    /// The state before the first token after a prompt.
    fn stream(&self) -> Self::Stream;

    /// Appends `token`'s text to `text`, whole code points only; the rest stays in `stream`.
    fn append(&self, stream: &mut Self::Stream, token: TokenId, text: &mut String);

    /// The tokens of a text that is put into the model's mouth; control tokens that it spells out are read as such.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>>;

    /// What holds a text to `grammar`. [`Unsupported`](crate::ErrorKind::Unsupported) by a vocabulary that has none.
    fn guide(&self, grammar: &Grammar) -> Result<Guide> {
        let _ = grammar;
        Err(Error::unsupported("this vocabulary takes no grammars"))
    }

    /// Whether `token` ends the generation.
    fn is_eog(&self, token: TokenId) -> bool;

    /// The text of a prompt for a person, control tokens by their names where the vocabulary knows them.
    fn spell(&self, tokens: &[TokenId]) -> String {
        let (mut stream, mut text) = (self.stream(), String::new());
        tokens.iter().for_each(|&token| self.append(&mut stream, token, &mut text));
        text
    }
}

impl Vocabulary for Tokenizer {
    type Stream = StreamDecoder;

    fn stream(&self) -> StreamDecoder {
        StreamDecoder::continuing(false)
    }

    fn append(&self, stream: &mut StreamDecoder, token: TokenId, text: &mut String) {
        text.push_str(stream.push(self, token));
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        Tokenizer::encode(self, text, EncodeOptions { add_special: false, parse_special: true })
    }

    fn guide(&self, grammar: &Grammar) -> Result<Guide> {
        Tokenizer::guide(self, grammar)
    }

    fn is_eog(&self, token: TokenId) -> bool {
        Tokenizer::is_eog(self, token)
    }

    fn spell(&self, tokens: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.decode(tokens, true)).into_owned()
    }
}
