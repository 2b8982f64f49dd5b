//! Parts of a prompt that a program puts to the model on the way.
//!
//! A part is computed as soon as it is asked for and beside nothing else, as the search's own prompt is: a pass over many
//! tokens of one branch is bound by arithmetic, so that a batch would save nothing. All but its last token is kept for the
//! children, which then are decoded together.

use super::Search;
use crate::engine::{Batch, Branch, Engine, PREFILL_CHUNK, Want};
use crate::error::{ErrorKind, Result};
use crate::observe::{CancelToken, Observer};
use crate::search::algo::Extend;
use crate::search::lane::Growth;
use crate::search::node::{End, NodeId};
use crate::search::vocabulary::Vocabulary;
use crate::text::TokenId;

impl<E: Engine + ?Sized, V: Vocabulary> Search<'_, '_, E, V> {
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
        match self.read_body(&branch, body, cancel) {
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

    /// Whether all of it was computed before the energy was spent.
    fn read_body(&mut self, branch: &Branch, body: &[TokenId], cancel: &CancelToken) -> Result<bool> {
        loop {
            let held = self.engine.len(branch);
            let Some(chunk) = body.get(held..).and_then(|rest| rest.chunks(PREFILL_CHUNK).next()) else {
                return Ok(true);
            };
            if self.ledger.exhausted() {
                return Ok(false);
            }
            self.cap_kv();
            let interrupt = self.ledger.interrupt(cancel);
            interrupt.check()?;
            let mut batch = Batch::new(&interrupt);
            batch.extend(branch, chunk, Want::None);
            match self.engine.forward(&batch, &mut self.rows) {
                Ok(()) => {
                    self.ledger.record(&self.engine.memory());
                    self.ledger.tick();
                }
                Err(error) if error.kind() == ErrorKind::Memory => match self.kept.evict() {
                    Some(kept) => self.engine.release(kept),
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }
}
