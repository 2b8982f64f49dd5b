//! A few threads that share one job at a time.
//!
//! A worker joins a job while it is open and takes parts until none is left. The caller does the same, closes the job and
//! waits only for the workers that joined: one that the system is not running delays nobody, for the others do its parts.
//! What a part computes depends on its number alone, so who does it cannot change a result.
//!
//! Between jobs workers stay awake for the length of a pause inside a forward pass, then sleep: an idle team burns nothing.

use super::Shards;
use super::gate::{Gate, MAX_INSIDE, View};
use crate::error::{Error, Result};
use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// The most threads of one team.
const MAX_THREADS: usize = 1024;
const _: () = assert!(MAX_THREADS <= MAX_INSIDE);
/// How long a worker waits awake for the next job: longer than what a forward pass does alone between two jobs, and
/// than it takes to wake a sleeper.
const WORKER_SPIN: Duration = Duration::from_micros(50);
/// How long a caller waits awake for workers to finish. Parts are short: one that takes longer has lost its core.
const CALLER_SPIN: Duration = Duration::from_micros(20);

/// A fixed number of threads, the caller's included.
pub struct Team {
    threads: usize,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Whether a job is under way.
    busy: AtomicBool,
}

struct Shared {
    door: Apart<Door>,
    /// Per thread, the next part of its own run.
    cursors: Vec<Apart<AtomicUsize>>,
    /// How many of `sleeping` are up.
    sleepers: Apart<AtomicUsize>,
    sleeping: Vec<Apart<AtomicBool>>,
    caller: Mutex<Option<Thread>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What a worker has to read to begin, on one cache line.
struct Door {
    gate: Gate,
    job: UnsafeCell<Job>,
}

/// On a cache line of its own, away from its neighbours' writers. Processors fetch lines in pairs.
#[repr(align(128))]
struct Apart<T>(T);

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

// SAFETY: `job` is written only by the caller that raised `busy`, while the gate is closed and empty, and read only by
// workers inside the gate, which the caller waits for before it writes again; the work itself is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer in `job` is dereferenced only while the job's caller waits inside `run`.
unsafe impl Send for Shared {}

impl Team {
    /// A team of `n_threads` threads: the caller's and new ones.
    ///
    /// Threads beyond the processors available would only take turns with the others, so they are not started.
    pub fn new(n_threads: usize) -> Result<Self> {
        if n_threads == 0 || n_threads > MAX_THREADS {
            return Err(Error::invalid(format!("a team needs 1 to {MAX_THREADS} threads, not {n_threads}")));
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::start(n_threads, n_threads.min(cores))
    }

    fn start(threads: usize, running: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            door: Apart(Door {
                gate: Gate::new(),
                job: UnsafeCell::new(Job { work: &(|_: usize| ()) as *const (dyn Fn(usize) + Sync), parts: 0 }),
            }),
            cursors: (0..running).map(|_| Apart(AtomicUsize::new(0))).collect(),
            sleepers: Apart(AtomicUsize::new(0)),
            sleeping: (0..running).map(|_| Apart(AtomicBool::new(false))).collect(),
            caller: Mutex::new(None),
            panic: Mutex::new(None),
        });
        let mut team = Self { threads, shared, workers: Vec::with_capacity(running - 1), busy: AtomicBool::new(false) };
        for index in 1..running {
            let shared = Arc::clone(&team.shared);
            let worker = thread::Builder::new()
                .name(format!("ruminate-{index}"))
                .spawn(move || shared.work_until_stopped(index))
                .map_err(|e| Error::io("starting a thread", e))?;
            team.workers.push(worker);
        }
        Ok(team)
    }

    /// Threads to split work for, the caller's included. A few parts per thread balance their speeds.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work(part)` once for every part below `parts` and returns when all are done.
    ///
    /// A thread begins with a run of neighbouring parts that is the same for every job of as many parts, then takes
    /// over what others have not begun. Inside a part, and while another thread's job is under way, the calling thread
    /// does all parts itself. A panic in a part is raised again here when no thread is at work any more; parts that
    /// nobody had begun may be left out. The team stays usable.
    pub fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        if parts <= 1 || self.workers.is_empty() || self.busy.swap(true, Acquire) {
            (0..parts).for_each(work);
            return;
        }
        self.open(parts, work);
        let mine = catch_unwind(AssertUnwindSafe(|| self.shared.do_parts(0, work, parts)));
        let theirs = if self.shared.close().panicked() { lock(&self.shared.panic).take() } else { None };
        self.busy.store(false, Release);
        if let Some(payload) = mine.err().or(theirs) {
            resume_unwind(payload);
        }
    }

    /// Calls `work(i, chunk)` for the `i`-th chunk of `chunk_len` elements of `data` (the last may be shorter).
    pub fn for_each_chunk_mut<T: Send>(&self, data: &mut [T], chunk_len: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let chunk_len = chunk_len.max(1);
        let shards = Shards::new(data);
        self.run(shards.len().div_ceil(chunk_len), &|i| {
            let start = i * chunk_len;
            // SAFETY: every part has its own index, runs once, and so has its own chunk.
            work(i, unsafe { shards.range(start..start.saturating_add(chunk_len)) });
        });
    }

    fn open(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. The pointer is used by workers inside the gate, and `run` neither returns
        // nor unwinds before the gate is closed and empty, so never after `work` is gone.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(work)
        };
        let shared = &*self.shared;
        // SAFETY: this thread raised `busy` and the gate is closed and empty, so nobody reads `job`.
        unsafe { *shared.door.0.job.get() = Job { work, parts } };
        for (thread, cursor) in shared.cursors.iter().enumerate() {
            cursor.0.store(shared.run_start(thread, parts), Relaxed);
        }
        shared.door.0.gate.open();
        if shared.sleepers.0.load(SeqCst) > 0 {
            self.wake(parts - 1);
        }
    }

    /// Wakes sleepers among the first `workers` workers.
    ///
    /// A worker raises its flag and then looks at the gate once more; the caller opens the gate and then looks at the
    /// flags. All four are sequentially consistent, so at least one of the two sees the other.
    fn wake(&self, workers: usize) {
        for (worker, sleeping) in self.workers.iter().zip(self.shared.sleeping.iter().skip(1)).take(workers) {
            if sleeping.0.load(SeqCst) && sleeping.0.swap(false, SeqCst) {
                self.shared.sleepers.0.fetch_sub(1, SeqCst);
                worker.thread().unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.door.0.gate.stop();
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches its jobs' panics, so joining cannot fail with one of them.
            drop(worker.join());
        }
    }
}

impl Shared {
    fn work_until_stopped(&self, index: usize) {
        let mut seen = 0;
        loop {
            let view = self.wait_for_job(index, seen);
            if view.is_stopped() {
                return;
            }
            let (view, inside) = self.door.0.gate.enter(view);
            seen = view.job();
            if inside {
                self.join_in(index);
            }
        }
    }

    /// This worker's share of the open job. Only inside the gate, which it leaves.
    fn join_in(&self, index: usize) {
        // SAFETY: `job` was written before the gate opened, and is not written again before this worker leaves.
        let job = unsafe { *self.door.0.job.get() };
        // SAFETY: the caller of `run` keeps the work alive until the gate is empty, so until `leave`, below.
        let work = unsafe { &*job.work };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.do_parts(index, work, job.parts))) {
            lock(&self.panic).get_or_insert(payload);
            self.door.0.gate.note_panic();
        }
        if self.door.0.gate.leave()
            && let Some(caller) = lock(&self.caller).as_ref()
        {
            caller.unpark();
        }
    }

    /// The own run of thread `index`, then what is left of the others'.
    fn do_parts(&self, index: usize, work: &(dyn Fn(usize) + Sync), parts: usize) {
        for owner in (index..self.cursors.len()).chain(0..index) {
            let (cursor, end) = (&self.cursors[owner].0, self.run_start(owner + 1, parts));
            // A look first: an exhausted run's line stays shared.
            while cursor.load(Relaxed) < end {
                let part = cursor.fetch_add(1, Relaxed);
                if part < end {
                    work(part);
                }
            }
        }
    }

    fn run_start(&self, thread: usize, parts: usize) -> usize {
        let threads = self.cursors.len();
        (parts / threads) * thread + (parts % threads).min(thread)
    }

    /// Ends the job: returns when the gate is closed and empty.
    fn close(&self) -> View {
        let gate = &self.door.0.gate;
        let closed = gate.close();
        if closed.is_empty() {
            return closed;
        }
        if let Some(view) = gate.spin(CALLER_SPIN, View::is_empty) {
            return view;
        }
        *lock(&self.caller) = Some(thread::current());
        gate.announce_sleep();
        loop {
            let view = gate.look();
            if view.is_empty() {
                return view;
            }
            thread::park();
        }
    }

    /// Waits for a job after the one `seen`, or for the team's end.
    fn wait_for_job(&self, index: usize, seen: u64) -> View {
        let gate = &self.door.0.gate;
        let ready = |view: View| view.job() != seen || view.is_stopped();
        if let Some(view) = gate.spin(WORKER_SPIN, ready) {
            return view;
        }
        let sleeping = &self.sleeping[index].0;
        loop {
            if !sleeping.swap(true, SeqCst) {
                self.sleepers.0.fetch_add(1, SeqCst);
            }
            let view = gate.look();
            if !ready(view) {
                thread::park();
                continue;
            }
            if sleeping.swap(false, SeqCst) {
                self.sleepers.0.fetch_sub(1, SeqCst);
            }
            return view;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
