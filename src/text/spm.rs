//! SentencePiece BPE: characters of a text merged pair by pair, best score first, bytes for what has no token.
//!
//! Kudo and Richardson 2018 (arXiv:1808.06226); order of ties as in llama.cpp.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::special::Special;
use super::vocab::Vocab;
use crate::error::{Error, ErrorKind, Result};
use crate::text::TokenId;

/// U+2581, which stands for a blank inside token texts.
pub(crate) const BLANK: char = '▁';

/// What the merging of one vocabulary needs beyond the vocabulary.
#[derive(Debug)]
pub(crate) struct Spm {
    /// The tokens that stand for single bytes.
    bytes: Vec<Option<TokenId>>,
    unknown: Option<TokenId>,
}

/// A pair that could become a token: best score first, then leftmost.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    score: f32,
    left: u32,
    /// Bytes of the pair; another size at its place says that the candidate is stale.
    size: u32,
}

/// A stretch of the text.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: u32,
    /// 0 when merged away.
    len: u32,
    before: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

impl Spm {
    pub(crate) fn new(vocab: &Vocab, special: &Special) -> Self {
        let byte = |b: u8| {
            let single = || char::from_u32(u32::from(b)).filter(char::is_ascii);
            vocab
                .find(&format!("<0x{b:02X}>"))
                .or_else(|| single().and_then(|c| vocab.find(c.encode_utf8(&mut [0; 4]))))
        };
        Self { bytes: (0..=u8::MAX).map(byte).collect(), unknown: special.unknown }
    }

    /// Appends the tokens of `text`, whose blanks are written as U+2581. `O(n log n)`.
    pub(crate) fn encode(&self, text: &str, vocab: &Vocab, out: &mut Vec<TokenId>) -> Result<()> {
        let mut chain = Chain::new(text)?;
        let mut heap = BinaryHeap::new();
        for left in 1..u32::try_from(chain.symbols.len()).unwrap_or(NONE) {
            heap.extend(chain.candidate(vocab, left - 1));
        }
        while let Some(best) = heap.pop() {
            if chain.pair(best.left).is_some_and(|(_, size)| size == best.size) {
                let before = chain.join(best.left);
                heap.extend(chain.candidate(vocab, before));
                heap.extend(chain.candidate(vocab, best.left));
            }
        }
        let mut at = 0;
        while let Some(symbol) = chain.symbol(at) {
            let piece = chain.text(symbol.start, symbol.len);
            match vocab.find(piece) {
                Some(id) => out.push(id),
                None => self.spell(piece, out)?,
            }
            at = symbol.next;
        }
        Ok(())
    }

    fn spell(&self, piece: &str, out: &mut Vec<TokenId>) -> Result<()> {
        for byte in piece.bytes() {
            let id = self.bytes.get(usize::from(byte)).copied().flatten().or(self.unknown);
            out.push(id.ok_or_else(|| {
                Error::format(format!("the vocabulary has neither a token for byte {byte:#04x} nor an unknown token"))
            })?);
        }
        Ok(())
    }
}

struct Chain<'t> {
    text: &'t str,
    symbols: Vec<Symbol>,
}

impl<'t> Chain<'t> {
    /// One symbol per character.
    fn new(text: &'t str) -> Result<Self> {
        u32::try_from(text.len()).map_err(|_| Error::invalid("a text of 4 GiB cannot be tokenized"))?;
        let n = text.chars().count();
        let mut symbols = Vec::new();
        symbols.try_reserve_exact(n).map_err(|e| {
            Error::new(ErrorKind::Memory, format!("no memory to tokenize a text of {n} characters")).with_source(e)
        })?;
        symbols.extend((0..).zip(text.char_indices()).map(|(i, (start, c)): (u32, _)| Symbol {
            start: start as u32,
            len: c.len_utf8() as u32,
            before: i.checked_sub(1).unwrap_or(NONE),
            next: if i as usize + 1 < n { i + 1 } else { NONE },
        }));
        Ok(Self { text, symbols })
    }

    /// The symbol at `i`, unless it was merged away.
    fn symbol(&self, i: u32) -> Option<Symbol> {
        self.symbols.get(i as usize).copied().filter(|s| s.len > 0)
    }

    fn text(&self, start: u32, len: u32) -> &'t str {
        self.text.get(start as usize..(start + len) as usize).unwrap_or_default()
    }

    /// Start and size of the symbol at `left` with the one after it.
    fn pair(&self, left: u32) -> Option<(u32, u32)> {
        let first = self.symbol(left)?;
        let second = self.symbol(first.next)?;
        Some((first.start, first.len + second.len))
    }

    fn candidate(&self, vocab: &Vocab, left: u32) -> Option<Candidate> {
        let (start, size) = self.pair(left)?;
        // Without this, looking up ever longer texts would make the work quadratic.
        if size as usize > vocab.longest() {
            return None;
        }
        let id = vocab.find(self.text(start, size))?;
        Some(Candidate { score: vocab.score(id), left, size })
    }

    /// Merges the pair at `left`; gives the place before it.
    fn join(&mut self, left: u32) -> u32 {
        let Some((first, right)) = self.symbol(left).and_then(|first| Some((first, self.symbol(first.next)?))) else {
            return NONE;
        };
        if let Some(slot) = self.symbols.get_mut(left as usize) {
            slot.len = first.len + right.len;
            slot.next = right.next;
        }
        if let Some(slot) = self.symbols.get_mut(first.next as usize) {
            slot.len = 0;
        }
        if let Some(slot) = self.symbols.get_mut(right.next as usize) {
            slot.before = left;
        }
        first.before
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        // Scores are never NaN (checked with the vocabulary); adding zero makes the two zeros one.
        let by_score = (self.score + 0.0).total_cmp(&(other.score + 0.0));
        by_score.then_with(|| other.left.cmp(&self.left)).then_with(|| self.size.cmp(&other.size))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}
