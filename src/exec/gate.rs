//! The door of a job: whether it is open, and who is inside.

use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

/// One word that says everything, so that each question and answer is a single atomic operation.
///
/// While the word is open, workers may enter. The caller closes it and waits until it is empty; only then may it end the
/// job or begin the next. Whoever entered an open gate is therefore inside a job that cannot end before it leaves.
pub(super) struct Gate(AtomicU64);

/// What the gate looked like at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View(u64);

/// Workers inside.
const INSIDE: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
/// The caller sleeps until the last worker left.
const CALLER_SLEEPS: u64 = 1 << 17;
const PANICKED: u64 = 1 << 18;
/// The team ends.
const STOP: u64 = 1 << 19;
/// The bits above count jobs. They tell a worker that a job is new, and nothing depends on their wrapping round.
const JOB: u64 = 1 << 32;

/// Workers that the word can count.
pub(super) const MAX_INSIDE: usize = INSIDE as usize;

impl View {
    pub fn job(self) -> u64 {
        self.0 / JOB
    }

    pub fn is_stopped(self) -> bool {
        self.0 & STOP != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 & INSIDE == 0
    }

    pub fn panicked(self) -> bool {
        self.0 & PANICKED != 0
    }
}

impl Gate {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub fn look(&self) -> View {
        // Where a worker looks once more before it sleeps, this is half of an agreement with `open`; see `Team::wake`.
        View(self.0.load(SeqCst))
    }

    /// Opens a new job. Everything that the caller wrote before is visible to whoever enters.
    pub fn open(&self) {
        let jobs = self.0.load(Relaxed) & !(JOB - 1);
        self.0.swap(jobs.wrapping_add(JOB) | OPEN, SeqCst);
    }

    /// Enters the job seen in `view` or one opened since, if it is open: where the gate stands then, and whether inside.
    pub fn enter(&self, mut view: View) -> (View, bool) {
        while view.0 & OPEN != 0 {
            match self.0.compare_exchange_weak(view.0, view.0 + 1, Acquire, Relaxed) {
                Ok(_) => return (view, true),
                Err(now) => view = View(now),
            }
        }
        (view, false)
    }

    pub fn note_panic(&self) {
        self.0.fetch_or(PANICKED, Relaxed);
    }

    /// Leaves; everything that this worker wrote is visible to the caller. Whether the caller has to be woken.
    #[must_use]
    pub fn leave(&self) -> bool {
        let before = self.0.fetch_sub(1, AcqRel);
        before & CALLER_SLEEPS != 0 && before & INSIDE == 1
    }

    /// Lets nobody in any more. Only for an open gate.
    pub fn close(&self) -> View {
        View(self.0.fetch_sub(OPEN, AcqRel))
    }

    /// Has the last worker that leaves wake the caller.
    pub fn announce_sleep(&self) {
        self.0.fetch_or(CALLER_SLEEPS, AcqRel);
    }

    pub fn stop(&self) {
        self.0.fetch_or(STOP, SeqCst);
    }

    /// Waits awake until `ready`, for `limit` at most. It never gives way in between: beside busy processes the scheduler
    /// would take that for the rest of a time slice, milliseconds.
    pub fn spin(&self, limit: Duration, ready: impl Fn(View) -> bool) -> Option<View> {
        /// Looks between two readings of the clock.
        const LOOKS: u32 = 32;
        let mut start = None;
        loop {
            for _ in 0..LOOKS {
                let view = self.look();
                if ready(view) {
                    return Some(view);
                }
                std::hint::spin_loop();
            }
            if start.get_or_insert_with(Instant::now).elapsed() > limit {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_gate_lets_in() {
        let gate = Gate::new();
        assert!(!gate.enter(gate.look()).1);
        gate.open();
        assert!(gate.enter(gate.look()).1);
        assert!(!gate.close().is_empty());
        assert!(!gate.enter(gate.look()).1);
        assert!(!gate.leave(), "nobody sleeps");
        assert!(gate.look().is_empty());
    }

    #[test]
    fn an_old_view_enters_the_job_that_is_open_now() {
        let gate = Gate::new();
        gate.open();
        let old = gate.look();
        gate.close();
        assert!(!gate.enter(old).1);
        gate.open();
        let (view, inside) = gate.enter(old);
        assert!(inside);
        assert_eq!(view.job(), 2);
    }

    #[test]
    fn the_last_to_leave_wakes_a_sleeping_caller() {
        let gate = Gate::new();
        gate.open();
        assert!(gate.enter(gate.look()).1 && gate.enter(gate.look()).1);
        gate.close();
        gate.announce_sleep();
        assert!(!gate.leave());
        assert!(gate.leave());
    }

    #[test]
    fn the_count_of_jobs_wraps() {
        let gate = Gate(AtomicU64::new(!(JOB - 1)));
        gate.open();
        assert_eq!(gate.look().job(), 0);
        assert!(gate.enter(gate.look()).1);
    }
}
