//! What a search needs to know of the vocabulary.

use crate::text::TokenId;

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
