//! Text to tokens and back: vocabulary, BPE, SPM, chat templates, UTF-8-safe streaming.

/// A token's number in its vocabulary.
pub type TokenId = u32;
