//! One forward pass over all lanes, and what becomes of them.

use super::Search;
use super::judging::Ended;
use crate::engine::{Batch, Engine, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{CancelToken, Observer};
use crate::search::lane::{Drawn, Growth, Lane};
use crate::search::node::End;
use crate::search::vocabulary::Vocabulary;

impl<E: Engine + ?Sized, V: Vocabulary> Search<'_, '_, E, V> {
    /// One token more for each lane.
    pub(super) fn pass(&mut self, observer: &mut dyn Observer, cancel: &CancelToken) -> Result<()> {
        let interrupt = self.ledger.interrupt(cancel);
        let want = if self.judging.taps().is_empty() { Want::Logits } else { Want::Both };
        let mut batch = Batch::new(&interrupt).with_taps(self.judging.taps());
        for lane in &self.lanes {
            batch.extend(&lane.branch, &lane.feed, want);
        }
        match self.ledger.pass(self.engine, &batch, &mut self.rows, self.kv_limit) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Memory => {
                self.make_room(observer);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.draw(observer)?;
        self.settle(observer, cancel)
    }

    /// Draws each lane's next token from its row.
    fn draw(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let n_ctx = self.engine.info().n_ctx;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let row = self.rows.row(i);
            let row = row.ok_or_else(|| Error::new(ErrorKind::Internal, "a pass left out a row of logits"))?;
            let hidden = self.rows.hidden(i).filter(|_| lane.growth.judged);
            let drawn = Drawn { row, hidden, entropy: self.judging.entropy() };
            let node = self.tree.node_mut(lane.growth.node);
            // Every branch computes the last token before it anew; forced tokens and the one drawn last are new.
            let fresh = if node.draws.is_empty() { node.forced + 1 } else { 2 };
            self.ledger.usage.recomputed_tokens += lane.feed.len().saturating_sub(fresh) as u64;
            let sampler = if lane.growth.greedy { &mut self.greedy } else { &mut self.drawing };
            let end = lane.grow(node, &drawn, sampler, self.vocabulary, &self.rules, observer)?;
            let full = self.engine.len(&lane.branch) >= n_ctx;
            node.end = end.or(full.then_some(End::Context));
            if node.end == Some(End::Context) {
                lane.growth.mark(node);
            }
            self.ledger.draw();
        }
        Ok(())
    }

    /// Takes the lanes that ended out of the batch and has them judged.
    fn settle(&mut self, observer: &mut dyn Observer, cancel: &CancelToken) -> Result<()> {
        let tree = &self.tree;
        let (ended, growing): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lanes).into_iter().partition(|lane| tree.node(lane.growth.node).end.is_some());
        self.lanes = growing;
        let (mut growths, mut judged) = (Vec::new(), Vec::new());
        for Lane { mut growth, branch, .. } in ended {
            let dropped = self.tree.node(growth.node).dropped;
            let mut branch = branch;
            if growth.keep && dropped > 1 {
                // The last token was not computed anyway.
                let held = (self.engine.len(&branch) + 1).saturating_sub(dropped);
                self.engine.truncate(&mut branch, held)?;
            }
            let extendable =
                matches!(self.tree.node(growth.node).end, Some(End::Step | End::Eog | End::Answer | End::Whole));
            let given_back =
                if growth.keep && extendable { self.kept.insert(growth.node, branch) } else { Some(branch) };
            given_back.into_iter().for_each(|branch| self.engine.release(branch));
            if growth.judged {
                judged.push(Ended { node: growth.node, features: std::mem::take(&mut growth.judgeable) });
            }
            growths.push(growth);
        }
        let interrupt = self.ledger.interrupt(cancel);
        let done = self.judging.judge(&mut self.tree, &judged, &interrupt, &mut self.ledger.usage);
        if done.is_err() {
            self.unjudged = judged;
        }
        for growth in &growths {
            if !growth.keep {
                self.judging.release(&self.tree, growth.node);
            }
            self.retire(growth, observer);
        }
        done
    }

    /// KV ran short: an ended node gives up its own, else the youngest that grows.
    fn make_room(&mut self, observer: &mut dyn Observer) {
        if let Some(branch) = self.kept.evict() {
            self.engine.release(branch);
            return;
        }
        let youngest = (0..self.lanes.len()).max_by_key(|&i| self.lanes.get(i).map(|lane| lane.growth.node));
        if let Some(youngest) = youngest.map(|i| self.lanes.remove(i)) {
            self.engine.release(youngest.branch);
            self.without_room(youngest.growth, observer);
        }
    }

    /// A branch did not fit beside the others: it waits for room, and fewer run at once from now on. A branch that does
    /// not even fit alone ends here.
    pub(super) fn without_room(&mut self, growth: Growth<V::Stream>, observer: &mut dyn Observer) {
        if self.lanes.is_empty() {
            self.tree.node_mut(growth.node).end = Some(End::Memory);
            self.retire(&growth, observer);
        } else {
            self.width = self.lanes.len();
            let at = self.parked.partition_point(|other| other.node < growth.node);
            self.parked.insert(at, growth);
        }
    }
}
