//! Text to tokens and back: vocabulary, BPE, SPM, chat templates, UTF-8-safe streaming; grammars that a text can be held to.

mod bpe;
mod byte_map;
mod chat;
pub(crate) mod grammar;
mod partition;
mod pre;
mod source;
mod special;
mod spm;
mod stack;
mod stream;
mod tokenizer;
mod vocab;

pub use chat::{ChatMessage, ChatOptions, ChatTemplate, Thinking};
pub(crate) use chat::{Dialect, Template};
pub use grammar::{Form, Grammar, Guide, Permitted};
pub use source::VocabSource;
pub use stream::StreamDecoder;
pub use tokenizer::{EncodeOptions, Encoded, Part, Tokenizer};

/// A token's number in its vocabulary.
pub type TokenId = u32;
