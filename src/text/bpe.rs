//! Byte-level BPE: bytes of a piece of text merged pair by pair, best rank first.
//!
//! Sennrich et al. 2016 (arXiv:1508.07909) over GPT-2's byte alphabet; ties and texts without a token as in llama.cpp.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::byte_map::char_of;
use super::pre::PreTokenizer;
use super::source::VocabSource;
use super::vocab::{CHECKED_EVERY, Vocab, shorten};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::text::TokenId;

/// A text that merging can reach: ids below the vocabulary's size are tokens, those above are texts without one.
type PieceId = u32;

const NONE: u32 = u32::MAX;

/// The merge table of one vocabulary.
#[derive(Debug)]
pub(crate) struct Bpe {
    pre: PreTokenizer,
    /// Two neighbours to their rank and what they become.
    merges: HashMap<(PieceId, PieceId), (u32, PieceId)>,
    alphabet: Vec<PieceId>,
    /// The tokens that stand for a piece without a token of its own, from the vocabulary's size on.
    spelled: Vec<Box<[TokenId]>>,
    tokens: PieceId,
}

/// Room that one piece of text needs, kept from piece to piece.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pieces: Vec<PieceId>,
    next: Vec<u32>,
    before: Vec<u32>,
    /// Smallest rank first, then leftmost; an entry is stale when its place no longer holds a pair of that rank.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    word: String,
}

impl Bpe {
    pub(crate) fn new(source: &VocabSource, vocab: &Vocab, pre: PreTokenizer, interrupt: &Interrupt) -> Result<Self> {
        if source.merges.is_empty() {
            return Err(Error::format("the tokenizer has no merges (tokenizer.ggml.merges)"));
        }
        let tokens = u32::try_from(vocab.len()).map_err(|_| Error::format("the vocabulary is too large"))?;
        let mut pieces = Pieces { vocab, others: HashMap::new(), tokens };
        let mut merges = HashMap::with_capacity(source.merges.len());
        for (rank, line) in (0..).zip(source.merges.iter()) {
            if rank % CHECKED_EVERY == 0 {
                interrupt.check()?;
            }
            // The first character may be a blank of its own, hence the search from the second byte.
            let cut = line.bytes().skip(1).position(|b| b == b' ').map(|at| at + 1);
            let halves = cut.and_then(|cut| Some((line.get(..cut)?, line.get(cut + 1..)?)));
            let Some((left, right)) = halves else {
                let line = shorten(line);
                return Err(Error::format(format!(
                    "merge {rank} is no pair of texts: {line:?} (tokenizer.ggml.merges)"
                )));
            };
            let pair = (pieces.id(left)?, pieces.id(right)?);
            let merged = pieces.id(&format!("{left}{right}"))?;
            merges.entry(pair).or_insert((rank, merged));
        }
        let alphabet =
            (0..=u8::MAX).map(|b| pieces.id(char_of(b).encode_utf8(&mut [0; 4]))).collect::<Result<Vec<_>>>()?;
        let spelled = pieces.spelled();
        Ok(Self { pre, merges, alphabet, spelled, tokens })
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(
        &self,
        text: &str,
        vocab: &Vocab,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        for range in self.pre.split(text)? {
            let piece = text.get(range).unwrap_or_default();
            if self.pre.ignore_merges {
                scratch.word.clear();
                scratch.word.extend(piece.bytes().map(char_of));
                if let Some(id) = vocab.find(&scratch.word) {
                    out.push(id);
                    continue;
                }
            }
            self.merge(piece.as_bytes(), scratch)?;
            let mut at = 0;
            while let Some(&piece) = scratch.pieces.get(at as usize) {
                match piece.checked_sub(self.tokens) {
                    None => out.push(piece),
                    Some(other) => out.extend(self.spelled.get(other as usize).into_iter().flatten()),
                }
                at = scratch.next.get(at as usize).copied().unwrap_or(NONE);
            }
        }
        Ok(())
    }

    /// Merges the bytes of one piece; what is left is the chain of `scratch.next` from 0. `O(n log n)`.
    fn merge(&self, bytes: &[u8], scratch: &mut Scratch) -> Result<()> {
        let n = u32::try_from(bytes.len()).ok().filter(|&n| n < NONE);
        let n = n.ok_or_else(|| Error::invalid("a single word of 4 GiB cannot be tokenized"))?;
        scratch.reset(n)?;
        scratch.pieces.extend(bytes.iter().filter_map(|&b| self.alphabet.get(usize::from(b))));
        for left in 1..n {
            scratch.offer(&self.merges, left - 1);
        }
        while let Some(Reverse((rank, left))) = scratch.heap.pop() {
            let Some((_, merged)) = scratch.pair(&self.merges, left).filter(|&(now, _)| now == rank) else { continue };
            let before = scratch.join(left, merged);
            scratch.offer(&self.merges, before);
            scratch.offer(&self.merges, left);
        }
        Ok(())
    }
}

impl Scratch {
    /// `n` places chained in order, no pieces yet.
    fn reset(&mut self, n: u32) -> Result<()> {
        self.pieces.clear();
        self.next.clear();
        self.before.clear();
        self.heap.clear();
        let places = n as usize;
        let room = [&mut self.pieces, &mut self.next, &mut self.before];
        let reserved = room.into_iter().try_for_each(|list| list.try_reserve(places));
        reserved.and_then(|()| self.heap.try_reserve(places)).map_err(|e| {
            Error::new(ErrorKind::Memory, format!("no memory to tokenize a word of {n} bytes")).with_source(e)
        })?;
        self.next.extend(1..n);
        self.next.extend((n > 0).then_some(NONE));
        self.before.extend((n > 0).then_some(NONE));
        self.before.extend(0..n.saturating_sub(1));
        Ok(())
    }

    /// The merge of the piece at `left` with the one after it. A piece that was merged away is `NONE` and has none.
    fn pair(&self, merges: &HashMap<(PieceId, PieceId), (u32, PieceId)>, left: u32) -> Option<(u32, PieceId)> {
        let first = *self.pieces.get(left as usize)?;
        let right = *self.next.get(left as usize)?;
        let second = *self.pieces.get(right as usize)?;
        merges.get(&(first, second)).copied()
    }

    fn offer(&mut self, merges: &HashMap<(PieceId, PieceId), (u32, PieceId)>, left: u32) {
        if let Some((rank, _)) = self.pair(merges, left) {
            self.heap.push(Reverse((rank, left)));
        }
    }

    /// Puts `merged` at `left` in place of the pair there; gives the place before.
    fn join(&mut self, left: u32, merged: PieceId) -> u32 {
        let at = |list: &[u32], i: u32| list.get(i as usize).copied().unwrap_or(NONE);
        let put =
            |list: &mut [u32], i: u32, value: u32| list.get_mut(i as usize).into_iter().for_each(|slot| *slot = value);
        let right = at(&self.next, left);
        let after = at(&self.next, right);
        let before = at(&self.before, left);
        put(&mut self.pieces, left, merged);
        put(&mut self.pieces, right, NONE);
        put(&mut self.next, left, after);
        put(&mut self.before, after, left);
        before
    }
}

/// Texts while the merge table is built.
struct Pieces<'a> {
    vocab: &'a Vocab,
    others: HashMap<Box<str>, PieceId>,
    tokens: PieceId,
}

impl Pieces<'_> {
    fn id(&mut self, text: &str) -> Result<PieceId> {
        if let Some(id) = self.vocab.find(text).or_else(|| self.others.get(text).copied()) {
            return Ok(id);
        }
        let id = u32::try_from(self.others.len()).ok().and_then(|n| self.tokens.checked_add(n)).filter(|&id| id < NONE);
        let id = id.ok_or_else(|| Error::format("the tokenizer has too many merges"))?;
        self.others.insert(text.into(), id);
        Ok(id)
    }

    /// What llama.cpp writes for a text without a token: its bytes that are tokens by themselves, the others dropped.
    fn spelled(&self) -> Vec<Box<[TokenId]>> {
        let mut texts: Vec<(&str, PieceId)> = self.others.iter().map(|(text, &id)| (text.as_ref(), id)).collect();
        texts.sort_unstable_by_key(|&(_, id)| id);
        let of = |text: &str| {
            let ascii = text.chars().filter(char::is_ascii);
            ascii.filter_map(|c| self.vocab.find(c.encode_utf8(&mut [0; 4]))).collect()
        };
        texts.into_iter().map(|(text, _)| of(text)).collect()
    }
}
