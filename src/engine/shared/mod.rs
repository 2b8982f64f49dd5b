//! One engine for several searches at once, whose passes become one.
//!
//! A pass reads the weights once, whoever asks. So lone lines of thought of eight searches, each in a thread of its own, cost little
//! more than one of them; servers call this continuous batching (Yu et al., Orca, OSDI 2022). An engine whose bits do
//! not depend on the batch gives every search the answer that it would find alone.

mod pass;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::pass::{Answer, Asked};
use super::{Batch, Branch, Engine, MemoryReport, ModelInfo, Rows};
use crate::error::{Error, ErrorKind, Result};

/// An engine that several threads use together, each through a [`Share`] of its own.
pub struct Shared<E> {
    state: Mutex<State<E>>,
    /// Told whenever a pass is done or a share has gone.
    turn: Condvar,
    info: ModelInfo,
}

/// One user's part in a [`Shared`] engine: an [`Engine`] with branches of its own over common weights, KV and passes.
///
/// A pass waits for the shares that were in the last one, at most as long as that took, so that searches stay in step; a share
/// that does not ask meanwhile is waited for no more until it asks again. A cancellation or a deadline is heeded before a
/// common pass, not within it. [`MemoryReport::kv`] is the KV of all shares, and a cap on KV is held against it, so that a search
/// under such a cap may find less room than alone; [`Engine::scratch_of`] is that of a share's own batch, and the common pass may take
/// more. Adapters belong to the engine and are set before it is shared.
pub struct Share<'a, E: Engine> {
    shared: &'a Shared<E>,
    id: u64,
    info: ModelInfo,
    kv_limit: u64,
}

struct State<E> {
    engine: E,
    seats: BTreeMap<u64, Seat>,
    next_id: u64,
    /// How long the last pass took.
    took: Duration,
    /// The engine's own cap on KV.
    kv_limit: u64,
}

/// Where a share stands.
enum Seat {
    /// It had its answer and is expected to ask again.
    Expected,
    /// It has not asked yet, or let a pass go without it.
    Away,
    Asking(Asked),
    Answered(Result<Answer>),
}

impl<E: Engine> Shared<E> {
    /// `engine` for several users.
    pub fn new(engine: E) -> Self {
        let (info, kv_limit) = (engine.info().clone(), engine.memory().kv_limit);
        let (seats, took) = (BTreeMap::new(), Duration::ZERO);
        let state = State { engine, seats, next_id: 0, took, kv_limit };
        Self { state: Mutex::new(state), turn: Condvar::new(), info }
    }

    /// A part for one more user.
    pub fn share(&self) -> Share<'_, E> {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.seats.insert(id, Seat::Away);
        Share { shared: self, id, info: self.info.clone(), kv_limit: state.kv_limit }
    }

    /// The engine, when nobody shares it any more.
    pub fn into_inner(self) -> E {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).engine
    }

    /// The state, also after a panic in another user's thread: what its pass left half done belongs to no branch, and those
    /// that waited for it ask again.
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a pass has answered share `id`, or makes that pass.
    fn answer(&self, id: u64, asked: Asked) -> Result<Answer> {
        let mut state = self.lock();
        state.seats.insert(id, Seat::Asking(asked));
        let end = Instant::now() + state.took;
        loop {
            match state.seats.insert(id, Seat::Expected) {
                Some(Seat::Answered(answer)) => return answer,
                Some(seat) => state.seats.insert(id, seat),
                None => return Err(Error::new(ErrorKind::Internal, "a share asked after it had gone")),
            };
            let patience = end.saturating_duration_since(Instant::now());
            if patience.is_zero() || !state.expects() {
                state.run();
                self.turn.notify_all();
            } else {
                state = self.turn.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl<E: Engine> State<E> {
    /// Whether a share that was in the last pass has not asked yet.
    fn expects(&self) -> bool {
        self.seats.values().any(|seat| matches!(seat, Seat::Expected | Seat::Answered(_)))
    }
}

impl<E: Engine> Engine for Share<'_, E> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn root(&mut self) -> Result<Branch> {
        self.shared.lock().engine.root()
    }

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        self.shared.lock().engine.fork(at)
    }

    fn len(&self, branch: &Branch) -> usize {
        self.shared.lock().engine.len(branch)
    }

    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()> {
        self.shared.lock().engine.truncate(branch, len)
    }

    fn release(&mut self, branch: Branch) {
        self.shared.lock().engine.release(branch);
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        batch.interrupt.check()?;
        let hidden_width = batch.hidden_width(self.info.n_embd, self.info.n_layer)?;
        rows.clear(self.info.n_vocab, hidden_width);
        let Answer { rows: common, logits, hidden } = self.shared.answer(self.id, Asked::new(batch, self.kv_limit))?;
        rows.copy_from(&common, logits, hidden)
    }

    fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        self.shared.lock().engine.save(branches, out)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        self.shared.lock().engine.load(input)
    }

    fn memory(&self) -> MemoryReport {
        let memory = self.shared.lock().engine.memory();
        MemoryReport { kv_limit: memory.kv_limit.min(self.kv_limit), ..memory }
    }

    fn scratch_of(&self, batch: &Batch<'_>) -> u64 {
        self.shared.lock().engine.scratch_of(batch)
    }

    fn trim(&mut self) {
        self.shared.lock().engine.trim();
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        self.kv_limit = bytes;
    }

    fn set_free_width(&mut self, width: usize) {
        self.info.free_width = width.max(1);
    }
}

impl<E: Engine> Drop for Share<'_, E> {
    fn drop(&mut self) {
        self.shared.lock().seats.remove(&self.id);
        self.shared.turn.notify_all();
    }
}
