//! What a search may spend, and the one account that everything is charged to.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::observe::{CancelToken, Interrupt};

/// What a search may spend; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Tokens drawn by the model, over all branches. The prompt and tokens computed a second time are not drawn.
    pub tokens: Option<u64>,
    /// Time from the call to the answer. Missed by at most one forward pass.
    pub wall: Option<Duration>,
    /// KV of all branches together, in bytes, prompt included: [`kv_limit`](crate::engine::MemoryReport::kv_limit) for
    /// the time of the search. Never exceeded: fewer branches are decoded at once instead. Weights do not count.
    pub kv_bytes: Option<u64>,
}

/// What a search has spent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt, computed once.
    pub prompt_tokens: u64,
    /// Tokens drawn, over all branches.
    pub policy_tokens: u64,
    /// Drawn tokens whose KV was given up for want of memory and computed again.
    pub recomputed_tokens: u64,
    /// Forward passes.
    pub forward_passes: u64,
    /// Time from the call to the answer.
    pub wall: Duration,
    /// The most KV in use after any pass, in bytes.
    pub kv_peak_bytes: u64,
    /// The most that the engine held at once: weights, KV and scratch, in bytes.
    pub peak_bytes: u64,
}

/// The account. Tokens are reserved for a branch before it starts, so that every branch that starts can reach its cap;
/// which branches start then depends on the lengths of earlier ones alone, and on no schedule.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: u64,
    reserved: u64,
    started: Instant,
    deadline: Option<Instant>,
    pub usage: Usage,
}

impl Ledger {
    /// An account opened now.
    pub fn open(budget: &Budget) -> Self {
        let started = Instant::now();
        Self {
            limit: budget.tokens.unwrap_or(u64::MAX),
            reserved: 0,
            started,
            deadline: budget.wall.and_then(|wall| started.checked_add(wall)),
            usage: Usage::default(),
        }
    }

    /// Reserves `cap` tokens; less than that, down to one, only for a branch that runs `alone`, since no other can give
    /// anything back then.
    pub fn reserve(&mut self, cap: u64, alone: bool) -> Option<u64> {
        let free = self.limit.saturating_sub(self.usage.policy_tokens).saturating_sub(self.reserved);
        let granted = if free >= cap { cap } else { free };
        if granted == 0 || (granted < cap && !alone) {
            return None;
        }
        self.reserved += granted;
        Some(granted)
    }

    /// One reserved token was drawn.
    pub fn draw(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
        self.usage.policy_tokens += 1;
    }

    /// Gives back what a branch did not draw.
    pub fn refund(&mut self, tokens: u64) {
        self.reserved = self.reserved.saturating_sub(tokens);
    }

    /// What ends a forward pass early.
    pub fn interrupt(&self, cancel: &CancelToken) -> Interrupt {
        Interrupt { cancel: cancel.clone(), deadline: self.deadline }
    }

    /// Whether the deadline has passed.
    pub fn overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Milliseconds since the opening.
    pub fn wall_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1e3
    }

    /// The account closed now.
    pub fn close(mut self) -> Usage {
        self.usage.wall = self.started.elapsed();
        self.usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_starts_only_if_its_cap_is_covered_unless_it_runs_alone() {
        let mut ledger = Ledger::open(&Budget { tokens: Some(10), ..Budget::default() });
        assert_eq!(ledger.reserve(6, false), Some(6));
        assert_eq!(ledger.reserve(6, false), None);
        ledger.draw();
        ledger.draw();
        ledger.refund(4);
        assert_eq!(ledger.reserve(6, false), Some(6));
        ledger.refund(6);
        ledger.usage.policy_tokens = 7;
        assert_eq!(ledger.reserve(6, false), None);
        assert_eq!(ledger.reserve(6, true), Some(3));
        assert_eq!(ledger.reserve(6, true), None);
        assert_eq!(Ledger::open(&Budget::default()).reserve(u64::MAX, false), Some(u64::MAX));
    }

    #[test]
    fn the_deadline_counts_from_the_opening() {
        let none = Ledger::open(&Budget::default());
        assert!(!none.overdue() && none.interrupt(&CancelToken::new()).deadline.is_none());
        let now = Ledger::open(&Budget { wall: Some(Duration::ZERO), ..Budget::default() });
        assert!(now.overdue() && now.interrupt(&CancelToken::new()).check().is_err());
        let never = Ledger::open(&Budget { wall: Some(Duration::MAX), ..Budget::default() });
        assert!(!never.overdue());
    }
}
