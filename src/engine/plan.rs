//! A batch made ready: every token's branch, position and place in the KV, with all pages reserved.

use crate::engine::kv_tree::{KvTree, PageId, Pages, SlotId};
use crate::engine::{Batch, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Stretch;
use crate::text::TokenId;

/// One token of the pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub token: TokenId,
    pub want: Want,
    /// Its branch, as an index into [`Plan::lanes`].
    pub lane: usize,
    pub position: usize,
    /// Where its keys and values go.
    pub page: PageId,
    pub place: usize,
}

/// One branch of the pass.
#[derive(Debug)]
pub(super) struct Lane {
    pub slot: SlotId,
    /// Tokens that it holds before the pass.
    pub held: usize,
    /// Tokens that the pass adds.
    added: usize,
    /// All its pages, those of the added tokens included.
    pub path: Vec<Stretch>,
}

pub(super) struct Plan {
    pub steps: Vec<Step>,
    pub lanes: Vec<Lane>,
}

impl Plan {
    /// Checks every token and reserves all pages; on an error the tree is as it was.
    pub fn new<P: Pages>(kv: &mut KvTree<P>, batch: &Batch<'_>, n_vocab: usize, n_ctx: usize) -> Result<Self> {
        let mut plan = Self { steps: Vec::with_capacity(batch.len()), lanes: Vec::new() };
        let mut lane_of_slot = std::collections::HashMap::new();
        for item in &batch.items {
            if item.token as usize >= n_vocab {
                let message = format!("token {} is outside the vocabulary of {n_vocab}", item.token);
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            let slot = kv.find(item.branch)?;
            let lane = *lane_of_slot.entry(slot).or_insert_with(|| {
                plan.lanes.push(Lane { slot, held: kv.len(slot), added: 0, path: Vec::new() });
                plan.lanes.len() - 1
            });
            let position = plan.lanes[lane].held + plan.lanes[lane].added;
            if position >= n_ctx {
                let message = format!("the context of {n_ctx} tokens is full");
                return Err(Error::new(ErrorKind::ContextLength, message));
            }
            plan.lanes[lane].added += 1;
            plan.steps.push(Step { token: item.token, want: item.want, lane, position, page: 0, place: 0 });
        }
        plan.reserve(kv)?;
        for step in &mut plan.steps {
            (step.page, step.place) = kv.place(plan.lanes[step.lane].slot, step.position);
        }
        for lane in &mut plan.lanes {
            lane.path = kv.path(lane.slot, lane.held + lane.added);
        }
        Ok(plan)
    }

    /// Makes the pass's tokens part of their branches.
    pub fn commit<P: Pages>(self, kv: &mut KvTree<P>) {
        for lane in &self.lanes {
            kv.commit(lane.slot, lane.added);
        }
    }

    /// Gives the reserved pages back: the pass did not happen.
    pub fn abandon<P: Pages>(self, kv: &mut KvTree<P>) {
        for lane in &self.lanes {
            kv.trim(lane.slot);
        }
    }

    fn reserve<P: Pages>(&self, kv: &mut KvTree<P>) -> Result<()> {
        for (i, lane) in self.lanes.iter().enumerate() {
            if let Err(error) = kv.reserve(lane.slot, lane.added) {
                for lane in &self.lanes[..i] {
                    kv.trim(lane.slot);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
