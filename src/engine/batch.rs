//! What one forward pass is asked, and what it answers.

use crate::engine::Branch;
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
    pub(crate) n_vocab: usize,
    pub(crate) n_embd: usize,
    pub(crate) logits: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
}

impl Rows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all rows and fixes the widths of the next ones.
    pub(crate) fn clear(&mut self, n_vocab: usize, n_embd: usize) {
        (self.n_vocab, self.n_embd) = (n_vocab, n_embd);
        self.logits.clear();
        self.hidden.clear();
    }

    /// The logits of the `i`-th token that asked for logits, length `n_vocab`; `None` past the last.
    pub fn logits(&self, i: usize) -> Option<&[f32]> {
        row(&self.logits, self.n_vocab, i)
    }

    /// The final-norm hidden state of the `i`-th token that asked for it, length `n_embd`; `None` past the last.
    pub fn hidden(&self, i: usize) -> Option<&[f32]> {
        row(&self.hidden, self.n_embd, i)
    }
}

fn row(data: &[f32], width: usize, i: usize) -> Option<&[f32]> {
    let start = i.checked_mul(width)?;
    data.get(start..start.checked_add(width)?).filter(|r| !r.is_empty())
}
