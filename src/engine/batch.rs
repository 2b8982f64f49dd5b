//! What one forward pass is asked, and what it answers.

use std::ops::Range;

use crate::engine::{Branch, ModelInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{LogitBlock, logit_block_count};
use crate::observe::Interrupt;
use crate::text::TokenId;

/// What to compute for one token beyond its KV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Want {
    /// Only its KV.
    #[default]
    None,
    /// The logits of the next token, length `n_vocab`.
    Logits,
    /// The hidden states at the batch's taps; after the final norm unless [`Batch::with_taps`] says otherwise.
    Hidden,
    /// Both.
    Both,
}

impl Want {
    /// Whether logits are asked for.
    pub fn logits(self) -> bool {
        matches!(self, Self::Logits | Self::Both)
    }

    /// Whether the hidden state is asked for.
    pub fn hidden(self) -> bool {
        matches!(self, Self::Hidden | Self::Both)
    }
}

/// Where a hidden state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tap {
    /// The residual stream after this layer, counted from 0, before any norm.
    Layer(usize),
    /// The residual stream after the final norm: what the output matrix multiplies.
    Final,
}

/// Tokens to append, each to its branch. A branch's tokens are appended in the order in which they were pushed.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(crate) items: Vec<Item<'a>>,
    pub(crate) taps: &'a [Tap],
    /// When to give up between layers.
    pub interrupt: Interrupt,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub branch: &'a Branch,
    pub token: TokenId,
    pub want: Want,
}

impl Default for Batch<'_> {
    /// An empty batch that never gives up.
    fn default() -> Self {
        Self::new(&Interrupt::default())
    }
}

impl<'a> Batch<'a> {
    /// An empty batch that gives up when `interrupt` fires.
    pub fn new(interrupt: &Interrupt) -> Self {
        Self { items: Vec::new(), taps: &[Tap::Final], interrupt: interrupt.clone() }
    }

    /// The same batch with hidden states read at `taps` instead of after the final norm.
    #[must_use]
    pub fn with_taps(self, taps: &'a [Tap]) -> Self {
        Self { taps, ..self }
    }

    /// Appends one token to `branch`.
    pub fn push(&mut self, branch: &'a Branch, token: TokenId, want: Want) {
        self.items.push(Item { branch, token, want });
    }

    /// Appends `tokens` to `branch`, with `want` for the last of them only: the usual prefill.
    pub fn extend(&mut self, branch: &'a Branch, tokens: &[TokenId], want: Want) {
        for (i, &token) in tokens.iter().enumerate() {
            self.push(branch, token, if i + 1 == tokens.len() { want } else { Want::None });
        }
    }

    /// Tokens in the batch.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Branches that get tokens, counted again where their tokens were not pushed one after the other.
    pub fn branches(&self) -> usize {
        self.items.chunk_by(|a, b| std::ptr::eq(a.branch, b.branch)).count()
    }

    /// Whether the batch holds no token.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The length of one row of hidden states of a model of these sizes; an error for a tap that it does not have.
    pub(crate) fn hidden_width(&self, n_embd: usize, n_layer: usize) -> Result<usize> {
        if let Some(Tap::Layer(i)) = self.taps.iter().find(|tap| matches!(tap, Tap::Layer(i) if *i >= n_layer)) {
            let last = n_layer.saturating_sub(1);
            return Err(Error::invalid(format!("hidden states after layer {i}; the model's layers are 0 to {last}")));
        }
        self.taps.len().checked_mul(n_embd).ok_or_else(|| Error::invalid("too many taps for one row"))
    }
}

/// What a forward pass computed, one row for each token that asked. Reused between passes to save allocations.
#[derive(Debug, Default)]
pub struct Rows {
    n_vocab: usize,
    /// Numbers in one row of `hidden`.
    hidden_width: usize,
    /// Rows of `logits` that this pass filled; what stands behind them is of an earlier pass.
    filled: usize,
    logits: Vec<f32>,
    blocks: Vec<LogitBlock>,
    pub(crate) hidden: Vec<f32>,
}

/// One row of logits, with what the engine noted about it when it computed it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) blocks: &'a [LogitBlock],
}

impl<'a> Row<'a> {
    /// The logits, length `n_vocab`.
    pub fn logits(&self) -> &'a [f32] {
        self.logits
    }
}

impl Rows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> u64 {
        let floats = self.logits.capacity() + self.hidden.capacity();
        (floats * size_of::<f32>() + self.blocks.capacity() * size_of::<LogitBlock>()) as u64
    }

    /// Bytes that are held after a pass over `batch`.
    pub(crate) fn bytes_with(&self, batch: &Batch<'_>, info: &ModelInfo) -> u64 {
        let rows = |wants: fn(Want) -> bool| batch.items.iter().filter(|item| wants(item.want)).count();
        let (logits, hidden) = (rows(Want::logits), rows(Want::hidden).saturating_mul(batch.taps.len()));
        let floats = self.logits.capacity().max(logits.saturating_mul(info.n_vocab))
            + self.hidden.capacity().max(hidden.saturating_mul(info.n_embd));
        let blocks = self.blocks.capacity().max(logits.saturating_mul(logit_block_count(info.n_vocab)));
        (floats * size_of::<f32>() + blocks * size_of::<LogitBlock>()) as u64
    }

    /// Forgets all rows and fixes the widths of the next ones.
    pub(crate) fn clear(&mut self, n_vocab: usize, hidden_width: usize) {
        (self.n_vocab, self.hidden_width, self.filled) = (n_vocab, hidden_width, 0);
        self.hidden.clear();
    }

    /// Room for `n` more rows of logits and their blocks, all of which the caller has to write: they hold the numbers
    /// of an earlier pass, because clearing megabytes takes time.
    pub(crate) fn add_logits(&mut self, n: usize) -> (&mut [f32], &mut [LogitBlock]) {
        let per_row = logit_block_count(self.n_vocab);
        let (first, end) = (self.filled, self.filled + n);
        if self.logits.len() < end * self.n_vocab {
            self.logits.reserve_exact(end * self.n_vocab - self.logits.len());
            self.logits.resize(end * self.n_vocab, 0.0);
        }
        if self.blocks.len() < end * per_row {
            self.blocks.reserve_exact(end * per_row - self.blocks.len());
            self.blocks.resize(end * per_row, LogitBlock::EMPTY);
        }
        self.filled = end;
        (&mut self.logits[first * self.n_vocab..end * self.n_vocab], &mut self.blocks[first * per_row..end * per_row])
    }

    /// Becomes the rows `logits` and `hidden` of `other`, whose widths are the same.
    pub(crate) fn copy_from(&mut self, other: &Self, logits: Range<usize>, hidden: Range<usize>) -> Result<()> {
        self.clear(other.n_vocab, other.hidden_width);
        let per_row = logit_block_count(self.n_vocab);
        let missing = || Error::new(ErrorKind::Internal, "a pass left out rows");
        let of = |rows: &Range<usize>, width: usize| rows.start * width..rows.end * width;
        let from = other.logits.get(of(&logits, self.n_vocab)).ok_or_else(missing)?;
        let from_blocks = other.blocks.get(of(&logits, per_row)).ok_or_else(missing)?;
        let from_hidden = other.hidden.get(of(&hidden, self.hidden_width)).ok_or_else(missing)?;
        let (to, to_blocks) = self.add_logits(logits.len());
        to.copy_from_slice(from);
        to_blocks.copy_from_slice(from_blocks);
        self.hidden.extend_from_slice(from_hidden);
        Ok(())
    }

    /// The logits of the `i`-th token that asked for logits, length `n_vocab`; `None` past the last.
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        self.row(i).map(|row| row.logits)
    }

    /// The `i`-th row of logits as [`Sampler::sample_row`](crate::engine::Sampler::sample_row) takes it; `None` past the last.
    pub fn row(&self, i: usize) -> Option<Row<'_>> {
        if i >= self.filled {
            return None;
        }
        let per_row = logit_block_count(self.n_vocab);
        Some(Row { logits: row(&self.logits, self.n_vocab, i)?, blocks: row(&self.blocks, per_row, i)? })
    }

    /// The hidden states of the `i`-th token that asked for them, those of the batch's taps one after the other, each
    /// `n_embd` numbers; `None` past the last.
    pub fn hidden(&self, i: usize) -> Option<&[f32]> {
        row(&self.hidden, self.hidden_width, i)
    }
}

fn row<T>(data: &[T], width: usize, i: usize) -> Option<&[T]> {
    let start = i.checked_mul(width)?;
    data.get(start..start.checked_add(width)?).filter(|r| !r.is_empty())
}
