//! What a search may spend, and the one account that everything is charged to.

use serde::{Deserialize, Serialize};

use std::time::{Duration, Instant};

use super::energy::{EnergyMeter, Joules, PowerModel};
use crate::engine::{Batch, Engine, MemoryReport, Rows};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{CancelToken, Interrupt};

/// What a search may spend; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Tokens drawn by the model, over all branches. The prompt and tokens computed a second time are not drawn.
    pub tokens: Option<u64>,
    /// Time from the call to the answer. Missed by at most one forward pass.
    pub wall: Option<Duration>,
    /// KV of all branches together, in bytes, prompt included: [`kv_limit`](crate::engine::MemoryReport::kv_limit) for
    /// the time of the search. Never exceeded: fewer branches are decoded at once instead. Weights do not count.
    pub kv_bytes: Option<u64>,
    /// Weights, adapters, KV and scratch of the engine and the search's rows of logits together, in bytes. Never exceeded: a pass that
    /// would need more is not begun, and a shorter or narrower one takes its place. A judge with an engine of its own has a cap
    /// of its own.
    pub bytes: Option<u64>,
    /// Energy from the call to the answer, in joules: measured where the system tells, else estimated. Missed by at most
    /// one forward pass.
    pub joules: Option<f64>,
    /// What the processor draws, for estimates; without it, [`PowerModel::of_this_machine`].
    pub power: Option<PowerModel>,
}

/// What a search has spent.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt and of all that a program put to the model later, each computed once.
    pub prompt_tokens: u64,
    /// Tokens drawn, over all branches.
    pub policy_tokens: u64,
    /// Tokens computed by a judge's own engine.
    pub reward_tokens: u64,
    /// Drawn tokens whose KV was given up for want of memory and computed again.
    pub recomputed_tokens: u64,
    /// Forward passes.
    pub forward_passes: u64,
    /// Forward passes of a judge's own engine.
    pub reward_passes: u64,
    /// The most KV that a judge's own engine held after it was asked, in bytes; under no cap of the search's.
    pub reward_kv_peak_bytes: u64,
    /// Time from the call to the answer, without pauses.
    pub wall: Duration,
    /// Of that, time spent in the judge.
    pub reward_wall: Duration,
    /// The most KV in use after any pass, in bytes.
    pub kv_peak_bytes: u64,
    /// The most that was held at once, in bytes: the engine's weights, adapters, KV and scratch, and the search's rows of logits.
    pub peak_bytes: u64,
    /// Energy, without pauses.
    pub joules: Joules,
}

/// The account. Tokens are reserved for a branch before it starts, so that every branch that starts can reach its cap;
/// which branches start then depends on the lengths of earlier ones alone, and on no schedule.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Budget,
    reserved: u64,
    /// When the account was opened, or taken up again after a pause.
    clock: Option<Clock>,
    pub usage: Usage,
}

#[derive(Debug)]
struct Clock {
    started: Instant,
    deadline: Option<Instant>,
    meter: EnergyMeter,
    /// What had been used before.
    wall: Duration,
    joules: Joules,
}

impl Ledger {
    /// An account of what `usage` says was spent; its clock stands still.
    pub fn new(limits: &Budget, usage: Usage) -> Self {
        Self { limits: limits.clone(), reserved: 0, clock: None, usage }
    }

    /// Lets the clock run.
    pub fn start(&mut self) {
        let started = Instant::now();
        let (wall, joules) = (self.usage.wall, self.usage.joules);
        let deadline = self.limits.wall.and_then(|limit| started.checked_add(limit.saturating_sub(wall)));
        let power = self.limits.power.unwrap_or_else(PowerModel::of_this_machine);
        self.clock = Some(Clock { started, deadline, meter: EnergyMeter::with(power), wall, joules });
    }

    /// Brings time and energy up to date.
    pub fn tick(&mut self) {
        if let Some(clock) = &mut self.clock {
            self.usage.wall = clock.wall + clock.started.elapsed();
            let now = clock.meter.joules();
            self.usage.joules = Joules { joules: clock.joules.joules + now.joules, source: now.source };
        }
    }

    /// Stops the clock.
    pub fn stop(&mut self) {
        self.tick();
        self.clock = None;
    }

    /// Reserves `cap` tokens; less than that, down to one, only for a branch that runs `alone`, since no other can give
    /// anything back then.
    pub fn reserve(&mut self, cap: u64, alone: bool) -> Option<u64> {
        let free = self
            .limits
            .tokens
            .unwrap_or(u64::MAX)
            .saturating_sub(self.usage.policy_tokens)
            .saturating_sub(self.reserved);
        let granted = if free >= cap { cap } else { free };
        if granted == 0 || (granted < cap && !alone) {
            return None;
        }
        self.reserved += granted;
        Some(granted)
    }

    /// Whether anything could be reserved now.
    pub fn has_tokens(&self) -> bool {
        self.limits.tokens.is_none_or(|limit| limit > self.usage.policy_tokens.saturating_add(self.reserved))
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

    /// Takes back a reservation that an earlier account had granted.
    pub fn grant(&mut self, tokens: u64) {
        self.reserved = self.reserved.saturating_add(tokens);
    }

    /// What ends a forward pass early.
    pub fn interrupt(&self, cancel: &CancelToken) -> Interrupt {
        Interrupt { cancel: cancel.clone(), deadline: self.clock.as_ref().and_then(|clock| clock.deadline) }
    }

    /// Whether the energy is spent.
    pub fn exhausted(&self) -> bool {
        self.limits.joules.is_some_and(|limit| self.usage.joules.joules >= limit)
    }

    /// One forward pass within the limits, counted with the memory that it leaves in use; `outside` is a cap on KV that holds
    /// anyway. [`Memory`](ErrorKind::Memory) when it would go past a limit: then nothing has changed but the engine's cap on KV.
    pub fn pass<E: Engine + ?Sized>(
        &mut self,
        engine: &mut E,
        batch: &Batch<'_>,
        rows: &mut Rows,
        outside: u64,
    ) -> Result<()> {
        let before = engine.memory();
        let beside_kv = fixed(&before)
            .saturating_add(engine.scratch_of(batch))
            .saturating_add(rows.bytes_with(batch, engine.info()));
        let total = self.limits.bytes.unwrap_or(u64::MAX);
        let of_total = total.saturating_sub(beside_kv);
        engine.set_kv_limit(self.limits.kv_bytes.unwrap_or(u64::MAX).min(of_total).min(outside));
        if beside_kv.saturating_add(before.kv) > total {
            let message = format!(
                "weights, buffers and rows of a pass over {} tokens take {beside_kv} bytes beside {} of KV, and the limit is {total}; \
                 raise the memory budget",
                batch.len(),
                before.kv
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
        engine.forward(batch, rows)?;
        self.record(&engine.memory(), rows);
        self.tick();
        Ok(())
    }

    fn record(&mut self, memory: &MemoryReport, rows: &Rows) {
        let usage = &mut self.usage;
        usage.forward_passes += 1;
        usage.kv_peak_bytes = usage.kv_peak_bytes.max(memory.kv);
        let beside_kv = fixed(memory).saturating_add(memory.scratch).saturating_add(rows.bytes());
        usage.peak_bytes = usage.peak_bytes.max(beside_kv.saturating_add(memory.kv));
    }
}

/// What no pass changes.
fn fixed(memory: &MemoryReport) -> u64 {
    memory.weights.saturating_add(memory.adapters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Want;
    use crate::engine::toy::{SCRATCH_BYTES, TOKEN_BYTES, ToyEngine, WORDS};
    use crate::kernels::LogitBlock;

    fn open(budget: &Budget) -> Ledger {
        let mut ledger = Ledger::new(budget, Usage::default());
        ledger.start();
        ledger
    }

    #[test]
    fn a_branch_starts_only_if_its_cap_is_covered_unless_it_runs_alone() {
        let mut ledger = open(&Budget { tokens: Some(10), ..Budget::default() });
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
        assert_eq!(open(&Budget::default()).reserve(u64::MAX, false), Some(u64::MAX));
    }

    #[test]
    fn the_deadline_counts_from_the_opening() {
        let interrupt = |wall| open(&Budget { wall, ..Budget::default() }).interrupt(&CancelToken::new());
        assert!(interrupt(None).deadline.is_none());
        assert!(interrupt(Some(Duration::ZERO)).check().is_err());
        assert!(interrupt(Some(Duration::MAX)).check().is_ok());
    }

    #[test]
    fn a_pause_stops_the_clock() {
        let mut ledger = open(&Budget { wall: Some(Duration::from_secs(60)), ..Budget::default() });
        ledger.stop();
        let wall = ledger.usage.wall;
        std::thread::sleep(Duration::from_millis(5));
        ledger.tick();
        assert_eq!(ledger.usage.wall, wall);
        ledger.start();
        let left = ledger.interrupt(&CancelToken::new()).deadline.unwrap() - Instant::now();
        assert!(left <= Duration::from_secs(60) - wall);
    }

    #[test]
    fn a_pass_that_would_go_past_the_cap_on_all_bytes_is_not_begun() {
        let row = (WORDS.len() * size_of::<f32>() + size_of::<LogitBlock>()) as u64;
        let needed = TOKEN_BYTES + SCRATCH_BYTES + row;
        for (bytes, outside, fits) in [(needed, u64::MAX, true), (needed - 1, u64::MAX, false), (needed, 0, false)] {
            let (mut toy, mut rows) = (ToyEngine::new(20, 1), Rows::new());
            let branch = toy.root().unwrap();
            let mut ledger = open(&Budget { bytes: Some(bytes), ..Budget::default() });
            let mut batch = Batch::default();
            batch.push(&branch, 0, Want::Logits);
            let passed = ledger.pass(&mut toy, &batch, &mut rows, outside);
            assert_eq!(passed.map_err(|error| error.kind()), if fits { Ok(()) } else { Err(ErrorKind::Memory) });
            assert_eq!(ledger.usage.peak_bytes, if fits { needed } else { 0 });
        }
    }

    #[test]
    fn energy_runs_out_at_its_limit() {
        let mut ledger = open(&Budget { joules: Some(5.0), ..Budget::default() });
        assert!(!ledger.exhausted());
        ledger.usage.joules.joules = 5.0;
        assert!(ledger.exhausted());
    }
}
