//! What a search needs to know of the vocabulary.

use crate::text::{StreamDecoder, TokenId, Tokenizer};

/// Tokens to text, and which tokens end it.
pub trait Vocabulary {
    /// Half-decoded text between two tokens.
    type Stream;

    /// The state before the first token after a prompt.
    fn stream(&self) -> Self::Stream;

    /// Appends `token`'s text to `text`, whole code points only; the rest stays in `stream`.
    fn append(&self, stream: &mut Self::Stream, token: TokenId, text: &mut String);

    /// Whether `token` ends the generation.
    fn is_eog(&self, token: TokenId) -> bool;
}

impl Vocabulary for Tokenizer {
    type Stream = StreamDecoder;

    fn stream(&self) -> StreamDecoder {
        StreamDecoder::continuing(false)
    }

    fn append(&self, stream: &mut StreamDecoder, token: TokenId, text: &mut String) {
        text.push_str(stream.push(self, token));
    }

    fn is_eog(&self, token: TokenId) -> bool {
        Tokenizer::is_eog(self, token)
    }
}
