//! The table of tokens: text, kind and score by id, and id by text.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::source::VocabSource;
use crate::error::{Error, Result};
use crate::gguf::StrArray;
use crate::limits::Limits;
use crate::observe::Interrupt;
use crate::text::TokenId;

/// What a token is; several may hold at once, since a control text may be typed as normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(u8);

impl Kind {
    pub(crate) const NORMAL: Self = Self(1);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const CONTROL: Self = Self(4);
    pub(crate) const USER_DEFINED: Self = Self(8);
    pub(crate) const BYTE: Self = Self(16);
    /// Unused, undefined, or of a number that nobody has defined: never written, never matched as special.
    pub(crate) const OTHER: Self = Self(32);

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `kinds` holds.
    pub(crate) fn is(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }

    fn of_type(token_type: i32) -> Self {
        match token_type {
            1 => Self::NORMAL,
            2 => Self::UNKNOWN,
            3 => Self::CONTROL,
            4 => Self::USER_DEFINED,
            6 => Self::BYTE,
            _ => Self::OTHER,
        }
    }
}

/// Tokens or merges between two looks at an interrupt.
pub(crate) const CHECKED_EVERY: u32 = 1024;

/// Texts, kinds and scores; every list has one entry per token, and no text appears twice.
#[derive(Debug)]
pub(crate) struct Vocab {
    texts: StrArray,
    /// By the hash of their texts, which stand in `texts` alone.
    ids: HashTable<TokenId>,
    hasher: RandomState,
    kinds: Vec<Kind>,
    scores: Vec<f32>,
    longest: usize,
}

impl Vocab {
    pub(crate) fn new(source: &VocabSource, limits: &Limits, interrupt: &Interrupt) -> Result<Self> {
        let n = source.tokens.len();
        if n == 0 {
            return Err(Error::format("the vocabulary is empty (tokenizer.ggml.tokens)"));
        }
        if n > limits.vocab_tokens || TokenId::try_from(n).is_err() {
            return Err(Error::format(format!(
                "the vocabulary has {n} tokens, more than the cap of {}",
                limits.vocab_tokens
            )));
        }
        let kinds = match source.token_type.as_deref() {
            Some(types) => covering(types, n, "token_type")?.iter().map(|&t| Kind::of_type(t)).collect(),
            None => vec![Kind::NORMAL; n],
        };
        let scores = match source.scores.as_deref() {
            Some(scores) => covering(scores, n, "scores")?.to_vec(),
            None => vec![0.0; n],
        };
        if let Some(id) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::format(format!("token {id} has a score that is not a number (tokenizer.ggml.scores)")));
        }
        let (texts, ids, hasher) = (StrArray::default(), HashTable::with_capacity(n), RandomState::new());
        let mut vocab = Self { texts, ids, hasher, kinds, scores, longest: 0 };
        for (id, text) in (0..).zip(source.tokens.iter()) {
            if id % CHECKED_EVERY == 0 {
                interrupt.check()?;
            }
            vocab.add(id, text, limits)?;
        }
        Ok(vocab)
    }

    /// The id of a token by its exact text in the file.
    pub(crate) fn find(&self, text: &str) -> Option<TokenId> {
        self.ids.find(self.hasher.hash_one(text), |&id| self.text(id) == Some(text)).copied()
    }

    /// The text of a token as the file spells it.
    pub(crate) fn text(&self, id: TokenId) -> Option<&str> {
        self.texts.get(id as usize)
    }

    pub(crate) fn kind(&self, id: TokenId) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    pub(crate) fn set_kind(&mut self, id: TokenId, kind: Kind) {
        if let Some(slot) = self.kinds.get_mut(id as usize) {
            *slot = kind;
        }
    }

    pub(crate) fn score(&self, id: TokenId) -> f32 {
        self.scores.get(id as usize).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Bytes of the longest text.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Ids, texts and kinds in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TokenId, &str, Kind)> {
        (0..).zip(self.texts.iter()).zip(&self.kinds).map(|((id, text), &kind)| (id, text, kind))
    }

    /// The id, if the file gives one; an id outside the vocabulary is an error.
    pub(crate) fn checked(&self, id: Option<TokenId>, key: &str) -> Result<Option<TokenId>> {
        match id {
            Some(id) if id as usize >= self.len() => Err(Error::format(format!(
                "tokenizer.ggml.{key} is {id}, but the vocabulary has {} tokens",
                self.len()
            ))),
            id => Ok(id),
        }
    }

    fn add(&mut self, id: TokenId, text: &str, limits: &Limits) -> Result<()> {
        if text.len() > limits.token_bytes {
            let cap = limits.token_bytes;
            return Err(Error::format(format!("token {id} has {} bytes, more than the cap of {cap}", text.len())));
        }
        // llama.cpp gives empty tokens this name, so that they can never match.
        let named = if text.is_empty() { format!("[EMPTY_{id}]") } else { String::new() };
        let text = if text.is_empty() { &named } else { text };
        self.longest = self.longest.max(text.len());
        let (texts, hasher) = (&self.texts, &self.hasher);
        let of = |id: TokenId| texts.get(id as usize).unwrap_or_default();
        match self.ids.entry(hasher.hash_one(text), |&id| of(id) == text, |&id| hasher.hash_one(of(id))) {
            // llama.cpp aborts here: with one text for two ids there is no telling which one is meant.
            Entry::Occupied(first) => {
                Err(Error::format(format!("tokens {} and {id} have the same text {:?}", first.get(), shorten(text))))
            }
            Entry::Vacant(place) => {
                place.insert(id);
                self.texts.push(text)
            }
        }
    }
}

/// A text for a message: its first 40 characters.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

fn covering<'a, T>(list: &'a [T], n: usize, key: &str) -> Result<&'a [T]> {
    list.get(..n)
        .ok_or_else(|| Error::format(format!("tokenizer.ggml.{key} has {} entries for {n} tokens", list.len())))
}
