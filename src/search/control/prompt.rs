//! The prompt, and parts of it that a program puts to the model on the way.
//!
//! A part is computed as soon as it is asked for and beside nothing else, as the search's own prompt is: a pass over many
//! tokens of one branch is bound by arithmetic, so that a batch would save nothing. All but its last token is kept for the
//! children, which then are decoded together.

use super::Search;
use crate::engine::{Batch, Branch, Engine, PREFILL_CHUNK, Want};
use crate::error::{ErrorKind, Result};
use crate::observe::{CancelToken, Event, Observer};
use crate::search::algo::Extend;
use crate::search::lane::Growth;
use crate::search::node::{End, NodeId};
use crate::search::vocabulary::Vocabulary;
use crate::text::TokenId;

/// Tokens in a pass below which its buffers matter no more.
const LEAST_CHUNK: usize = 16;

impl<E: Engine + ?Sized, V: Vocabulary> Search<'_, '_, E, V> {
    /// Computes the search's prompt but for its last token, as far as the energy lasts.
    pub(super) fn prefill(&mut self, observer: &mut dyn Observer, cancel: &CancelToken) -> Result<()> {
        let trunk = match self.trunk.take() {
            Some(trunk) => trunk,
            None => self.engine.root()?,
        };
        let prompt = std::mem::take(&mut self.prompt);
        let (total, body) = (prompt.len() as u64, prompt.get(..prompt.len().saturating_sub(1)).unwrap_or_default());
        self.ledger.usage.prompt_tokens = self.ledger.usage.prompt_tokens.max(total);
        let done = self.compute(&trunk, body, cancel, &mut |done| {
            observer.event(&Event::Progress { what: "prompt", done: done as u64, total });
        });
        (self.trunk, self.prompt) = (Some(trunk), prompt);
        done.map(drop).map_err(|error| match error.kind() {
            ErrorKind::Memory => error.context(format!("the prompt of {total} tokens alone needs more memory")),
            _ => error,
        })
    }

    /// The node of a part of a prompt.
    pub(super) fn add_prompt(&mut self, extend: &Extend) -> NodeId {
        let id = self.tree.add(extend.at);
        self.untold.push_back(id);
        let node = self.tree.node_mut(id);
        (node.prompt, node.keep) = (true, true);
        (node.forced, node.tokens) = (extend.prompt.len(), extend.prompt.clone());
        node.text = self.vocabulary.spell(&extend.prompt);
        id
    }

    /// Computes `path` but for its last token on `branch`, which holds a beginning of it, and keeps it for the children of
    /// `growth`. When the caller, the deadline or the end of the energy interrupts, the node waits to be begun again.
    pub(super) fn read(
        &mut self,
        growth: Growth<V::Stream>,
        mut branch: Branch,
        path: &[TokenId],
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<()> {
        let body = path.get(..path.len().saturating_sub(1)).unwrap_or_default();
        let held = self.engine.len(&branch).min(body.len());
        self.engine.truncate(&mut branch, held)?;
        match self.compute(&branch, body, cancel, &mut |_| ()) {
            Ok(true) => {}
            Ok(false) => {
                self.engine.release(branch);
                self.parked.push_front(growth);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Memory => {
                self.engine.release(branch);
                self.without_room(growth, observer);
                return Ok(());
            }
            Err(error) => {
                self.engine.release(branch);
                self.parked.push_front(growth);
                return Err(error);
            }
        }
        let node = self.tree.node_mut(growth.node);
        node.end = Some(End::Prompt);
        let fresh = node.tokens.len();
        self.ledger.usage.prompt_tokens += fresh as u64;
        self.ledger.usage.recomputed_tokens += body.len().saturating_sub(held).saturating_sub(fresh) as u64;
        if let Some(given_back) = self.kept.insert(growth.node, branch) {
            self.engine.release(given_back);
        }
        self.retire(&growth, observer);
        Ok(())
    }

    /// Computes what `branch` does not hold of `body`, and tells `progress` how much it holds. Whether all of it was computed before
    /// the energy was spent.
    ///
    /// When memory runs short, ended nodes give up their KV, then fewer tokens are computed at once, in smaller buffers.
    pub(super) fn compute(
        &mut self,
        branch: &Branch,
        body: &[TokenId],
        cancel: &CancelToken,
        progress: &mut dyn FnMut(usize),
    ) -> Result<bool> {
        let (mut most, mut passed) = (PREFILL_CHUNK, false);
        loop {
            let held = self.engine.len(branch);
            let Some(chunk) = body.get(held..).and_then(|rest| rest.chunks(most).next()) else {
                // The buffers of a prompt's passes are larger than those of branches, whose KV can have the room.
                if passed && self.params.budget.bytes.is_some() {
                    self.engine.trim();
                }
                return Ok(true);
            };
            if self.ledger.exhausted() {
                return Ok(false);
            }
            let interrupt = self.ledger.interrupt(cancel);
            interrupt.check()?;
            let mut batch = Batch::new(&interrupt);
            batch.extend(branch, chunk, Want::None);
            match self.ledger.pass(self.engine, &batch, &mut self.rows, self.kv_limit) {
                Ok(()) => {
                    passed = true;
                    progress(held + chunk.len());
                }
                Err(error) if error.kind() == ErrorKind::Memory => match self.kept.evict() {
                    Some(kept) => self.engine.release(kept),
                    None if chunk.len() > LEAST_CHUNK => {
                        self.engine.trim();
                        most = chunk.len().div_ceil(2);
                    }
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }
}
