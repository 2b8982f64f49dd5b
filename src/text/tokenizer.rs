//! The tokenizer of a model: text to token ids and back, as its file describes it.

mod parts;

pub use self::parts::{Encoded, Part};

use super::bpe::{Bpe, Scratch};
use super::byte_map::byte_of;
use super::grammar::{Grammar, Guide, Guides};
use super::partition::{Fragment, Partition};
use super::pre::PreTokenizer;
use super::source::VocabSource;
use super::special::Special;
use super::spm::{BLANK, Spm};
use super::vocab::{CHECKED_EVERY, Kind, Vocab, shorten};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits::Limits;
use crate::observe::Interrupt;
use crate::text::TokenId;

/// Text to token ids and back. Ids equal those of llama.cpp for the same file, except that text reads harmony's control tokens only on
/// request ([`EncodeOptions::parse_special`]).
#[derive(Debug)]
pub struct Tokenizer {
    vocab: Vocab,
    special: Special,
    partition: Partition,
    method: Method,
    /// A blank is put before each stretch of text that starts the text or follows a special token.
    add_space_prefix: bool,
    rendered: Rendered,
    prompt_bytes: usize,
    guides: Guides,
}

/// How a token may stand in a text that is held to a grammar.
#[cfg(feature = "grammar")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling<'t> {
    /// As these bytes.
    Text(&'t [u8]),
    /// As itself, by its name.
    Control(&'t [u8]),
    /// Not at all.
    None,
}

#[derive(Debug)]
enum Method {
    Bpe(Box<Bpe>),
    Spm(Spm),
}

/// How to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add the tokens that the model wants at the beginning and the end of a text.
    pub add_special: bool,
    /// Read texts such as `<|im_end|>` as the control tokens of that name. Off for text of unknown origin: a user could
    /// otherwise speak with the system's voice.
    pub parse_special: bool,
}

impl Tokenizer {
    /// The tokenizer that a model file describes. An error of kind `Unsupported` names a kind of tokenizer that is not
    /// known here, one of kind `Format` what is wrong with the vocabulary.
    pub fn from_gguf(gguf: &Gguf, limits: &Limits) -> Result<Self> {
        Self::from_gguf_watched(gguf, limits, &Interrupt::default())
    }

    /// The same, unless `interrupt` fires between its tokens or merges, of which large vocabularies have hundreds of thousands.
    pub fn from_gguf_watched(gguf: &Gguf, limits: &Limits, interrupt: &Interrupt) -> Result<Self> {
        Self::build(&VocabSource::from_gguf(gguf)?, limits, interrupt)
    }

    /// The tokenizer of a vocabulary; every id and every text is checked here.
    pub fn new(source: &VocabSource, limits: &Limits) -> Result<Self> {
        Self::build(source, limits, &Interrupt::default())
    }

    fn build(source: &VocabSource, limits: &Limits, interrupt: &Interrupt) -> Result<Self> {
        let pre = splitter(source)?;
        let mut vocab = Vocab::new(source, limits, interrupt)?;
        let adds_bos = pre.as_ref().is_none_or(|pre| pre.add_bos);
        let special = Special::new(source, &mut vocab, adds_bos)?;
        let partition = Partition::new(&vocab, &source.name, source.pre.as_deref().unwrap_or_default())?;
        let rendered = Rendered::new(&vocab, pre.is_none(), interrupt)?;
        let add_space_prefix = pre.is_none() && source.add_space_prefix.unwrap_or(true);
        let method = match pre {
            Some(pre) => Method::Bpe(Box::new(Bpe::new(source, &vocab, pre, interrupt)?)),
            None => Method::Spm(Spm::new(&vocab, &special)),
        };
        let prompt_bytes = limits.prompt_bytes;
        let guides = Guides::default();
        Ok(Self { vocab, special, partition, method, add_space_prefix, rendered, prompt_bytes, guides })
    }

    /// The token ids of `text`; `O(n log n)` in its length. A text above `Limits::prompt_bytes` is an error.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<TokenId>> {
        let mut out = Vec::new();
        out.extend(self.special.bos.filter(|_| options.add_special && self.special.add_bos));
        self.append(text, options.parse_special, true, &mut out)?;
        out.extend(self.special.eos.filter(|_| options.add_special && self.special.add_eos));
        Ok(out)
    }

    /// The token ids of a text that goes on from other text, which does not end with a special token: nothing is put
    /// before or behind it.
    ///
    /// Ids of the parts of a text, put together, are those of the whole only where its tokens end at the parts' borders.
    pub fn encode_more(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>> {
        let mut out = Vec::new();
        self.append(text, parse_special, false, &mut out)?;
        Ok(out)
    }

    fn append(&self, text: &str, parse_special: bool, starts: bool, out: &mut Vec<TokenId>) -> Result<()> {
        self.check_length(text.len())?;
        let mut scratch = Scratch::default();
        let mut after_special = starts;
        for fragment in self.partition.split(text, parse_special) {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(text) => self.append_text(text, after_special, &mut scratch, out)?,
            }
            after_special = matches!(fragment, Fragment::Token(_));
        }
        Ok(())
    }

    fn check_length(&self, len: usize) -> Result<()> {
        let cap = self.prompt_bytes;
        if len > cap {
            return Err(Error::invalid(format!("a text of {len} bytes is longer than the cap of {cap} bytes")));
        }
        Ok(())
    }

    /// A stretch of text between special tokens.
    fn append_text(
        &self,
        text: &str,
        after_special: bool,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        match &self.method {
            Method::Bpe(bpe) => bpe.encode(text, &self.vocab, scratch, out),
            Method::Spm(spm) => {
                let prefix = (self.add_space_prefix && after_special).then_some(BLANK);
                let blanks = text.chars().map(|c| if c == ' ' { BLANK } else { c });
                let text: String = prefix.into_iter().chain(blanks).collect();
                spm.encode(&text, &self.vocab, out)
            }
        }
    }

    /// The bytes that `ids` stand for; control tokens are spelled out only with `render_special`, but for those that mark thinking. The
    /// blank that encoding put first is taken away again. An id outside the vocabulary becomes U+FFFD.
    pub fn decode(&self, ids: &[TokenId], render_special: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at_start = true;
        for &id in ids {
            out.extend_from_slice(self.piece(id, render_special, &mut at_start));
        }
        out
    }

    /// The bytes of one token as it is written inside a text, control tokens spelled out.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        self.rendered.get(id)
    }

    /// The text of a token as the file spells it: byte alphabet and U+2581 as they are.
    pub fn token_text(&self, id: TokenId) -> Option<&str> {
        self.vocab.text(id)
    }

    /// The token of exactly this text, spelled as in the file.
    pub fn find(&self, text: &str) -> Option<TokenId> {
        self.vocab.find(text)
    }

    /// Whether generation ends at this token.
    pub fn is_eog(&self, id: TokenId) -> bool {
        self.special.is_eog(id)
    }

    /// What holds a text to `grammar`, before its first token. Errors: [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a
    /// grammar that is wrong or too large, [`Unsupported`](crate::ErrorKind::Unsupported) in a build without grammars.
    pub fn guide(&self, grammar: &Grammar) -> Result<Guide> {
        self.guides.guide(self, grammar)
    }

    /// Tokens that end generation, in the order of their numbers.
    #[cfg(feature = "grammar")]
    pub(super) fn ends(&self) -> &[TokenId] {
        self.special.ends()
    }

    #[cfg(feature = "grammar")]
    pub(super) fn spelling(&self, id: TokenId) -> Spelling<'_> {
        let bytes = self.rendered.get(id).unwrap_or_default();
        match self.vocab.kind(id) {
            Some(kind) if kind.is(Kind::CONTROL) && !self.special.is_mark(id) => Spelling::Control(bytes),
            Some(kind) if kind.is(Kind::CONTROL) => Spelling::Text(bytes),
            Some(kind) if kind.is(Kind::NORMAL.or(Kind::BYTE).or(Kind::USER_DEFINED)) => Spelling::Text(bytes),
            _ => Spelling::None,
        }
    }

    /// Whether the token is a control token: read from text only on request, and not shown unless it is part of what the model says,
    /// as marks of thinking are.
    pub fn is_control(&self, id: TokenId) -> bool {
        self.vocab.kind(id).is_some_and(|kind| kind.is(Kind::CONTROL))
    }

    /// The token at the beginning of a text.
    pub fn bos(&self) -> Option<TokenId> {
        self.special.bos
    }

    /// The token at the end of a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.special.eos
    }

    /// The token at the end of a turn.
    pub fn eot(&self) -> Option<TokenId> {
        self.special.eot
    }

    /// Whether `add_special` puts [`bos`](Self::bos) first.
    pub fn add_bos(&self) -> bool {
        self.special.add_bos
    }

    /// Whether `add_special` puts [`eos`](Self::eos) last.
    pub fn add_eos(&self) -> bool {
        self.special.add_eos
    }

    /// Number of tokens; every id that this tokenizer gives is below it.
    pub fn vocab_len(&self) -> usize {
        self.vocab.len()
    }

    /// What `id` adds to a text. `at_start` says that nothing was written yet, and is kept up to date.
    pub(crate) fn piece(&self, id: TokenId, render_special: bool, at_start: &mut bool) -> &[u8] {
        let Some(bytes) = self.rendered.get(id) else { return "\u{FFFD}".as_bytes() };
        let is_special = self.vocab.kind(id).is_some_and(|kind| kind.is(Kind::CONTROL.or(Kind::UNKNOWN)));
        if bytes.is_empty() || (is_special && !render_special && !self.special.is_mark(id)) {
            return &[];
        }
        let first = std::mem::take(at_start) && self.add_space_prefix && !is_special;
        if first { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes }
    }
}

/// The pre-tokenizer of a byte-level BPE vocabulary; SentencePiece has none.
fn splitter(source: &VocabSource) -> Result<Option<PreTokenizer>> {
    match (source.model.as_str(), source.pre.as_deref()) {
        ("llama", _) => Ok(None),
        ("gpt2", Some(pre)) => Ok(Some(PreTokenizer::new(pre)?)),
        ("gpt2", None) => Err(Error::unsupported(
            "the file does not say how its tokenizer splits words (tokenizer.ggml.pre is missing); convert the model again",
        )),
        (model, _) => Err(Error::unsupported(format!(
            "the tokenizer is of kind {:?} (tokenizer.ggml.model); gpt2 and llama are known here",
            shorten(model)
        ))),
    }
}

/// The bytes that every token stands for, in one allocation.
#[derive(Debug)]
struct Rendered {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Rendered {
    fn new(vocab: &Vocab, is_spm: bool, interrupt: &Interrupt) -> Result<Self> {
        let mut all = Self { bytes: Vec::new(), ends: Vec::with_capacity(vocab.len()) };
        for (id, text, kind) in vocab.iter() {
            if id % CHECKED_EVERY == 0 {
                interrupt.check()?;
            }
            if kind.is(Kind::CONTROL.or(Kind::UNKNOWN).or(Kind::USER_DEFINED)) {
                all.bytes.extend_from_slice(text.as_bytes());
            } else if kind.is(Kind::NORMAL) {
                all.push_normal(text, is_spm);
            } else if kind.is(Kind::BYTE) {
                all.bytes.push(byte_token(id, text)?);
            }
            let end = u32::try_from(all.bytes.len());
            all.ends.push(end.map_err(|_| Error::format("the vocabulary's texts exceed 4 GiB"))?);
        }
        Ok(all)
    }

    fn push_normal(&mut self, text: &str, is_spm: bool) {
        for c in text.chars() {
            match byte_of(c) {
                Some(byte) if !is_spm => self.bytes.push(byte),
                _ => {
                    let c = if is_spm && c == BLANK { ' ' } else { c };
                    self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    fn get(&self, id: TokenId) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0) as usize;
        self.bytes.get(start..end)
    }
}

/// The byte of a token written `<0xXX>`, exactly two hexadecimal digits: number parsers would also take a sign.
fn byte_token(id: TokenId, text: &str) -> Result<u8> {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    let digits = digits.filter(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    digits.and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(|| {
        Error::format(format!("token {id} is typed as a byte, but its text is {:?} and not <0xXX>", shorten(text)))
    })
}

#[cfg(test)]
mod tests;
