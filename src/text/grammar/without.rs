//! What stands for grammars at work in a build without them.

use super::Grammar;
use crate::error::{Error, Result};
use crate::text::{TokenId, Tokenizer};

/// Holds one text to a grammar. There is none in this build.
#[derive(Debug, Clone)]
pub struct Guide(Never);

/// Tokens that may come next, as a set of bits.
#[derive(Debug, Clone)]
pub struct Permitted(Never);

#[derive(Debug, Clone, Copy)]
enum Never {}

/// What makes guides of one vocabulary.
#[derive(Debug, Default)]
pub(in crate::text) struct Guides;

impl Guides {
    /// Refuses.
    pub fn guide(&self, _: &Tokenizer, grammar: &Grammar) -> Result<Guide> {
        grammar.source()?;
        Err(Error::unsupported("this build has no grammars: build it with the feature `grammar`"))
    }
}

impl Guide {
    /// The tokens that may come next.
    pub fn permitted(&mut self) -> Result<Permitted> {
        match self.0 {}
    }

    /// Takes the next token.
    pub fn advance(&mut self, _: TokenId) -> Result<()> {
        match self.0 {}
    }

    /// Whether the text is whole and nothing can follow.
    pub fn is_done(&self) -> bool {
        match self.0 {}
    }

    /// Whether the text may end here.
    pub fn may_end(&mut self) -> Result<bool> {
        match self.0 {}
    }
}

impl Permitted {
    /// Token `i` is permitted if bit `i % 32` of word `i / 32` is set.
    pub fn words(&self) -> &[u32] {
        match self.0 {}
    }

    /// Whether `token` is permitted.
    pub fn contains(&self, _: TokenId) -> bool {
        match self.0 {}
    }
}
