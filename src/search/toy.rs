//! The toy engine's words as a vocabulary, for the tests of this room and of those above it.

use super::Vocabulary;
use crate::engine::toy::{EOG, WORDS};
use crate::error::Result;
use crate::text::TokenId;

pub(crate) struct Words;

impl Vocabulary for Words {
    type Stream = ();

    fn stream(&self) {}

    fn append(&self, (): &mut (), token: TokenId, text: &mut String) {
        text.push_str(WORDS[token as usize]);
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        let mut text = text.replace("Wait", " so");
        let mut tokens = Vec::new();
        while let Some(token) = WORDS.iter().rposition(|word| text.starts_with(word)) {
            text = text.split_off(WORDS[token].len());
            tokens.push(token as TokenId);
        }
        Ok(tokens)
    }

    fn is_eog(&self, token: TokenId) -> bool {
        token == EOG
    }
}
