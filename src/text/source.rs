//! What a tokenizer is built from: plain lists and switches, read from GGUF metadata or given by hand.

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Metadata, StrArray};
use crate::text::TokenId;

/// A vocabulary as files describe it, not yet checked. Field names follow the keys under `tokenizer.ggml.`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "each field is the metadata key of its name")]
pub struct VocabSource {
    /// The kind: `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    pub model: String,
    /// The way of splitting words; only `gpt2` has one.
    pub pre: Option<String>,
    /// Token texts by id.
    pub tokens: StrArray,
    /// How likely each token is, in nats; only `llama` reads it.
    pub scores: Option<Vec<f32>>,
    /// Token types: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
    pub token_type: Option<Vec<i32>>,
    /// Pairs in order of merging, the two halves parted by a blank; only `gpt2` reads it.
    pub merges: StrArray,
    pub bos_token_id: Option<TokenId>,
    pub eos_token_id: Option<TokenId>,
    pub eot_token_id: Option<TokenId>,
    pub eom_token_id: Option<TokenId>,
    pub unknown_token_id: Option<TokenId>,
    pub fim_pad_token_id: Option<TokenId>,
    pub fim_rep_token_id: Option<TokenId>,
    pub fim_sep_token_id: Option<TokenId>,
    pub add_bos_token: Option<bool>,
    pub add_eos_token: Option<bool>,
    pub add_space_prefix: Option<bool>,
    /// `general.name`: Phi-3 files are recognized by it, since GGUF does not say that their special tokens eat blanks.
    pub name: String,
}

impl VocabSource {
    /// The vocabulary of a GGUF file. Types are checked here, contents when the tokenizer is built.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let metadata = gguf.metadata();
        let id = |key: &str| metadata.u32(&format!("tokenizer.ggml.{key}"));
        let flag = |key: &str| metadata.bool(&format!("tokenizer.ggml.{key}"));
        let model = metadata.require_str("tokenizer.ggml.model")?.to_owned();
        let merges = match metadata.str_array("tokenizer.ggml.merges")? {
            Some(merges) if model == "gpt2" => merges.clone(),
            _ => StrArray::default(),
        };
        Ok(Self {
            model,
            pre: metadata.str("tokenizer.ggml.pre")?.map(str::to_owned),
            tokens: metadata.require_str_array("tokenizer.ggml.tokens")?.clone(),
            scores: scores(metadata)?,
            token_type: metadata.i32_array("tokenizer.ggml.token_type")?,
            merges,
            bos_token_id: id("bos_token_id")?,
            eos_token_id: id("eos_token_id")?,
            eot_token_id: id("eot_token_id")?,
            eom_token_id: id("eom_token_id")?,
            unknown_token_id: id("unknown_token_id")?,
            fim_pad_token_id: id("fim_pad_token_id")?,
            fim_rep_token_id: id("fim_rep_token_id")?,
            fim_sep_token_id: id("fim_sep_token_id")?,
            add_bos_token: flag("add_bos_token")?,
            add_eos_token: flag("add_eos_token")?,
            add_space_prefix: flag("add_space_prefix")?,
            name: metadata.str("general.name")?.unwrap_or_default().to_owned(),
        })
    }
}

/// Scores are fractions, in some files whole numbers.
fn scores(metadata: &Metadata) -> Result<Option<Vec<f32>>> {
    const KEY: &str = "tokenizer.ggml.scores";
    let Err(not_fractions) = metadata.f32_array(KEY) else { return metadata.f32_array(KEY) };
    match metadata.i32_array(KEY) {
        Ok(whole) => Ok(whole.map(|scores| scores.into_iter().map(|score| score as f32).collect())),
        Err(_) => Err(Error::context(not_fractions, "reading the tokenizer")),
    }
}
