//! Tokens with a role: where a text begins, where generation ends, which texts are recognized whole.
//!
//! GGUF files say little about roles, so that llama.cpp goes by well-known texts (`llama_vocab::impl::load`); the same
//! texts count here. Where several candidates of one role are present, the first of the list is taken.

use super::chat::MARKS;
use super::source::VocabSource;
use super::vocab::{Kind, Vocab};
use crate::error::{Error, Result};
use crate::text::TokenId;

/// The tokens with a role; every id is inside the vocabulary.
#[derive(Debug, Clone, Default)]
pub(crate) struct Special {
    pub bos: Option<TokenId>,
    pub eos: Option<TokenId>,
    pub eot: Option<TokenId>,
    pub unknown: Option<TokenId>,
    pub add_bos: bool,
    pub add_eos: bool,
    /// End of generation, sorted.
    eog: Vec<TokenId>,
    /// Control tokens that are part of what the model says, sorted: marks of thinking, harmony's channels.
    marks: Vec<TokenId>,
}

const END_OF_TURN: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
const END_OF_MESSAGE: [&str; 1] = ["<|eom_id|>"];
const FILL_PAD: [&str; 5] = ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"];
const FILL_REPOSITORY: [&str; 5] = ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"];
const FILL_SEPARATOR: [&str; 1] = ["<|file_sep|>"];
/// Texts that fill-in-the-middle models use; they end nothing but are control tokens whatever the file says.
const FILL_PARTS: [[&str; 8]; 3] = [
    [
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<｜fim▁begin｜>",
        "<PRE>",
        "▁<PRE>",
        "<|code_prefix|>",
        "<|prefix|>",
    ],
    [
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<｜fim▁hole｜>",
        "<SUF>",
        "▁<SUF>",
        "<|code_suffix|>",
        "<|suffix|>",
    ],
    [
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<｜fim▁end｜>",
        "<MID>",
        "▁<MID>",
        "<|code_middle|>",
        "<|middle|>",
    ],
];
/// Every one of these that is present ends generation.
const END_OF_GENERATION: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];
/// The parts of a harmony message; they are written although they are control tokens. llama.cpp types them as user-defined for that,
/// by which text of unknown origin, such as what a tool found, would speak in anybody's name.
const HARMONY: [&str; 5] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|end|>"];

impl Special {
    /// Roles of the tokens of `vocab`; control texts that the file types as something else are retyped there.
    pub(crate) fn new(source: &VocabSource, vocab: &mut Vocab, adds_bos: bool) -> Result<Self> {
        // The SentencePiece trainer's own numbers, taken only where the file is silent and the id exists.
        let fallback = |id: TokenId| (source.model == "llama" && (id as usize) < vocab.len()).then_some(id);
        let bos = vocab.checked(source.bos_token_id, "bos_token_id")?.or(fallback(1));
        let eos = vocab.checked(source.eos_token_id, "eos_token_id")?.or(fallback(2));
        let unknown = vocab.checked(source.unknown_token_id, "unknown_token_id")?.or(fallback(0));

        let eot = role(vocab, source.eot_token_id, "eot_token_id", &END_OF_TURN)?;
        let eom = role(vocab, source.eom_token_id, "eom_token_id", &END_OF_MESSAGE)?;
        let pad = role(vocab, source.fim_pad_token_id, "fim_pad_token_id", &FILL_PAD)?;
        let repository = role(vocab, source.fim_rep_token_id, "fim_rep_token_id", &FILL_REPOSITORY)?;
        let separator = role(vocab, source.fim_sep_token_id, "fim_sep_token_id", &FILL_SEPARATOR)?;
        for texts in &FILL_PARTS {
            role(vocab, None, "", texts)?;
        }

        let mut eog: Vec<TokenId> = [pad, repository, separator, eos, eot, eom].into_iter().flatten().collect();
        for id in END_OF_GENERATION.iter().filter_map(|text| vocab.find(text)).collect::<Vec<_>>() {
            make_control(vocab, id);
            eog.push(id);
        }
        eog.sort_unstable();
        eog.dedup();

        let mut special = Self { bos, eos, eot, unknown, add_bos: false, add_eos: false, eog, marks: Vec::new() };
        special.take_back(vocab);
        let harmony: Vec<TokenId> = HARMONY.iter().filter_map(|text| vocab.find(text)).collect();
        harmony.iter().for_each(|&id| make_control(vocab, id));
        special.marks = MARKS.iter().filter_map(|text| vocab.find(text)).chain(harmony).collect();
        let Self { eog, marks, .. } = &mut special;
        marks.retain(|id| !eog.contains(id));
        marks.sort_unstable();
        special.add_bos = added(source.add_bos_token, adds_bos, bos, "add_bos_token", "beginning")?;
        special.add_eos = added(source.add_eos_token, false, eos, "add_eos_token", "end")?;
        Ok(special)
    }

    pub(crate) fn is_eog(&self, id: TokenId) -> bool {
        self.eog.binary_search(&id).is_ok()
    }

    /// Tokens that end generation, in the order of their numbers.
    #[cfg(feature = "grammar")]
    pub(crate) fn ends(&self) -> &[TokenId] {
        &self.eog
    }

    /// Whether it is written although it is a control token.
    pub(crate) fn is_mark(&self, id: TokenId) -> bool {
        self.marks.binary_search(&id).is_ok()
    }

    /// Texts that end generation in one family and mean something else in another.
    fn take_back(&mut self, vocab: &mut Vocab) {
        let ends = |text: &str| vocab.find(text).filter(|&id| self.is_eog(id));
        let calls = ends("<|call|>").or(ends("<|calls|>")).is_some();
        let harmony = calls && (ends("<|return|>").is_some() || ends("<|flush|>").is_some());
        let plain_s = ends("<|tool_response>").or(ends("<|plamo:eos|>")).is_some();
        let end = ends("<|end|>").filter(|_| harmony);
        let s = ends("</s>").filter(|_| plain_s);
        self.eog.retain(|&id| Some(id) != end && Some(id) != s);
        if let Some(id) = s {
            vocab.set_kind(id, Kind::NORMAL);
        }
    }
}

/// The token of one role: the file's id, else the first of `texts` in the vocabulary, which then is a control token.
fn role(vocab: &mut Vocab, given: Option<TokenId>, key: &str, texts: &[&str]) -> Result<Option<TokenId>> {
    if let Some(id) = vocab.checked(given, key)? {
        return Ok(Some(id));
    }
    let found = texts.iter().find_map(|text| vocab.find(text));
    if let Some(id) = found {
        make_control(vocab, id);
    }
    Ok(found)
}

fn make_control(vocab: &mut Vocab, id: TokenId) {
    if let Some(kind) = vocab.kind(id) {
        vocab.set_kind(id, kind.or(Kind::CONTROL));
    }
}

fn added(asked: Option<bool>, usual: bool, id: Option<TokenId>, key: &str, place: &str) -> Result<bool> {
    match (asked, id) {
        (Some(true), None) => Err(Error::format(format!(
            "tokenizer.ggml.{key} asks for a token at the {place} of every text, but the file names none"
        ))),
        (asked, id) => Ok(asked.unwrap_or(usual) && id.is_some()),
    }
}
