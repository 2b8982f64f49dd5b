//! What one forward pass is asked, and what it answers.

use crate::engine::Branch;
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
    /// The hidden state after the final norm, length `n_embd`.
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

/// Tokens to append, each to its branch. A branch's tokens are appended in the order in which they were pushed.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    pub(crate) items: Vec<Item<'a>>,
    /// When to give up between layers.
    pub interrupt: Interrupt,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub branch: &'a Branch,
    pub token: TokenId,
    pub want: Want,
}

impl<'a> Batch<'a> {
    /// An empty batch that gives up when `interrupt` fires.
    pub fn new(interrupt: &Interrupt) -> Self {
        Self { items: Vec::new(), interrupt: interrupt.clone() }
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

    /// Whether the batch holds no token.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// What a forward pass computed, one row for each token that asked. Reused between passes to save allocations.
#[derive(Debug, Default)]
pub struct Rows {
    n_vocab: usize,
    n_embd: usize,
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

    /// Forgets all rows and fixes the widths of the next ones.
    pub(crate) fn clear(&mut self, n_vocab: usize, n_embd: usize) {
        (self.n_vocab, self.n_embd, self.filled) = (n_vocab, n_embd, 0);
        self.hidden.clear();
    }

    /// Room for `n` more rows of logits and their blocks, all of which the caller has to write: they hold the numbers
    /// of an earlier pass, because clearing megabytes takes time.
    pub(crate) fn add_logits(&mut self, n: usize) -> (&mut [f32], &mut [LogitBlock]) {
        let per_row = logit_block_count(self.n_vocab);
        let (first, end) = (self.filled, self.filled + n);
        if self.logits.len() < end * self.n_vocab {
            self.logits.resize(end * self.n_vocab, 0.0);
        }
        if self.blocks.len() < end * per_row {
            self.blocks.resize(end * per_row, LogitBlock::EMPTY);
        }
        self.filled = end;
        (&mut self.logits[first * self.n_vocab..end * self.n_vocab], &mut self.blocks[first * per_row..end * per_row])
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

    /// The final-norm hidden state of the `i`-th token that asked for it, length `n_embd`; `None` past the last.
    pub fn hidden(&self, i: usize) -> Option<&[f32]> {
        row(&self.hidden, self.n_embd, i)
    }
}

fn row<T>(data: &[T], width: usize, i: usize) -> Option<&[T]> {
    let start = i.checked_mul(width)?;
    data.get(start..start.checked_add(width)?).filter(|r| !r.is_empty())
}
