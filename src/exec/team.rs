//! A few threads that share one job at a time.
//!
//! Work is split by position, never by who is free, so that a job's result cannot depend on timing. Between jobs the
//! threads spin for some microseconds, then give way, then sleep: an idle team burns nothing, and a team with
//! more threads than cores does not stand in its own way.

use super::Shards;
use crate::error::{Error, Result};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};

/// The most threads of one team.
const MAX_THREADS: usize = 1024;
/// Pauses before a waiting thread gives way, about 8 µs. Where the thread waited for is running, that is about how long
/// it takes; where it is not, it may need this very core, and every pause delays it.
const SPINS: u32 = 300;
/// The same where threads outnumber cores.
const SPINS_CROWDED: u32 = 30;
/// Times that a waiting thread gives way before it sleeps: about 100 µs where nobody else wants the core.
const YIELDS: u32 = 200;

/// A fixed number of threads, the caller's included.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

struct Shared {
    threads: usize,
    spins: u32,
    /// Jobs started so far; a worker's signal to begin.
    started: Apart<AtomicUsize>,
    /// Workers that have not finished the current job.
    unfinished: Apart<AtomicUsize>,
    job: UnsafeCell<Job>,
    sleeping: Vec<Apart<AtomicBool>>,
    caller_sleeping: Apart<AtomicBool>,
    caller: Mutex<Option<Thread>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
}

/// On a cache line of its own, away from its neighbours' writers.
#[repr(align(128))]
struct Apart<T>(T);

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    parts: usize,
}

// SAFETY: `job` is written only by the caller that holds `turn`, while no worker runs (before `started` is raised,
// after `unfinished` fell to 0), and read by workers only in between; the work itself is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer in `job` is dereferenced only while the job's caller waits inside `run`.
unsafe impl Send for Shared {}

thread_local! {
    /// Whether this thread is running a part of some team's job.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Team {
    /// A team of `n_threads` threads: the caller's and `n_threads - 1` new ones.
    pub fn new(n_threads: usize) -> Result<Self> {
        if n_threads == 0 || n_threads > MAX_THREADS {
            return Err(Error::invalid(format!("a team needs 1 to {MAX_THREADS} threads, not {n_threads}")));
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            threads: n_threads,
            spins: if n_threads <= cores { SPINS } else { SPINS_CROWDED },
            started: Apart(AtomicUsize::new(0)),
            unfinished: Apart(AtomicUsize::new(0)),
            job: UnsafeCell::new(Job { work: &(|_: usize| ()) as *const (dyn Fn(usize) + Sync), parts: 0 }),
            sleeping: (0..n_threads).map(|_| Apart(AtomicBool::new(false))).collect(),
            caller_sleeping: Apart(AtomicBool::new(false)),
            caller: Mutex::new(None),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let mut team = Self { shared, workers: Vec::with_capacity(n_threads - 1), turn: Mutex::new(()) };
        for index in 1..n_threads {
            let shared = Arc::clone(&team.shared);
            let worker = thread::Builder::new()
                .name(format!("ruminate-{index}"))
                .spawn(move || shared.work_until_stopped(index))
                .map_err(|e| Error::io("starting a thread", e))?;
            team.workers.push(worker);
        }
        Ok(team)
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Calls `work(part)` once for every part below `parts` and returns when all are done.
    ///
    /// Thread `t` takes a fixed run of neighbouring parts. A panic in a part is raised again here after the other
    /// parts of other threads are done; the team stays usable. Inside a part, `run` does all its parts on the spot.
    pub fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        if parts <= 1 || self.shared.threads == 1 || INSIDE.get() {
            (0..parts).for_each(work);
            return;
        }
        let turn = lock(&self.turn);
        self.start(parts, work);
        let mine = self.shared.do_parts(0, work, parts);
        self.shared.wait_for_workers();
        let theirs = lock(&self.shared.panic).take();
        drop(turn);
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
            // SAFETY: every part has its own index and so its own chunk.
            work(i, unsafe { shards.range(start..start.saturating_add(chunk_len)) });
        });
    }

    fn start(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. The pointer is used by workers that `run` waits for before it returns or
        // unwinds, so never after `work` is gone.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(work)
        };
        let shared = &*self.shared;
        // SAFETY: this thread holds `turn` and the previous job's workers are done, so nobody reads `job`.
        unsafe { *shared.job.get() = Job { work, parts } };
        shared.unfinished.0.store(self.workers.len(), Relaxed);
        shared.started.0.fetch_add(1, SeqCst);
        self.wake_sleepers();
    }

    fn wake_sleepers(&self) {
        for (worker, sleeping) in self.workers.iter().zip(self.shared.sleeping.iter().skip(1)) {
            if sleeping.0.load(SeqCst) && sleeping.0.swap(false, SeqCst) {
                worker.thread().unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.started.0.fetch_add(1, SeqCst);
        self.wake_sleepers();
        for worker in self.workers.drain(..) {
            // A worker catches its jobs' panics, so joining cannot fail with one of them.
            drop(worker.join());
        }
    }
}

impl Shared {
    fn work_until_stopped(&self, index: usize) {
        let mut seen = 0;
        loop {
            self.wait(&self.sleeping[index].0, || self.started.0.load(SeqCst) != seen);
            if self.stop.load(SeqCst) {
                return;
            }
            seen = self.started.0.load(SeqCst);
            // SAFETY: `started` was raised after `job` was written, and the caller waits for this worker before the
            // next write.
            let job = unsafe { *self.job.get() };
            // SAFETY: the caller of `run` keeps the work alive until `unfinished` falls to 0, below.
            let work = unsafe { &*job.work };
            if let Err(payload) = self.do_parts(index, work, job.parts) {
                lock(&self.panic).get_or_insert(payload);
            }
            if self.unfinished.0.fetch_sub(1, SeqCst) == 1
                && self.caller_sleeping.0.swap(false, SeqCst)
                && let Some(caller) = lock(&self.caller).as_ref()
            {
                caller.unpark();
            }
        }
    }

    /// The run of parts that belongs to thread `index`, on this thread.
    fn do_parts(&self, index: usize, work: &(dyn Fn(usize) + Sync), parts: usize) -> thread::Result<()> {
        let edge = |t: usize| (parts / self.threads) * t + (parts % self.threads).min(t);
        INSIDE.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| (edge(index)..edge(index + 1)).for_each(work)));
        INSIDE.set(false);
        result
    }

    fn wait_for_workers(&self) {
        let done = || self.unfinished.0.load(SeqCst) == 0;
        if !done() && !self.spin(done) {
            *lock(&self.caller) = Some(thread::current());
            self.sleep(&self.caller_sleeping.0, done);
        }
    }

    fn wait(&self, sleeping: &AtomicBool, ready: impl Fn() -> bool) {
        if !self.spin(&ready) {
            self.sleep(sleeping, ready);
        }
    }

    /// Waits awake for a while; whether `ready` came true.
    fn spin(&self, ready: impl Fn() -> bool) -> bool {
        for _ in 0..self.spins {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        for _ in 0..YIELDS {
            if ready() {
                return true;
            }
            thread::yield_now();
        }
        ready()
    }

    /// Sleeps until `ready`. The flag goes up before the last look, so that whoever makes it true sees the sleeper.
    fn sleep(&self, sleeping: &AtomicBool, ready: impl Fn() -> bool) {
        loop {
            sleeping.store(true, SeqCst);
            if ready() {
                sleeping.store(false, SeqCst);
                return;
            }
            thread::park();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn every_part_runs_once_whatever_the_team() {
        for threads in [1, 2, 3, 5, 8] {
            let team = Team::new(threads).unwrap();
            for parts in [0, 1, 2, 3, 7, 64] {
                let hits: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                team.run(parts, &|part| {
                    hits[part].fetch_add(1, SeqCst);
                });
                assert!(hits.iter().all(|h| h.load(SeqCst) == 1), "{threads} threads, {parts} parts");
            }
        }
    }

    #[test]
    fn chunks_cover_the_slice() {
        let team = Team::new(3).unwrap();
        let mut data = vec![0usize; 103];
        team.for_each_chunk_mut(&mut data, 10, |i, chunk| chunk.iter_mut().for_each(|x| *x += i + 1));
        assert!(data.iter().enumerate().all(|(at, &x)| x == at / 10 + 1));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(4).unwrap();
        for bad in 0..8 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                team.run(8, &|part| assert!(part != bad, "part {part}"));
            }));
            assert!(caught.is_err(), "part {bad}");
            let sum = AtomicUsize::new(0);
            team.run(8, &|part| {
                sum.fetch_add(part, SeqCst);
            });
            assert_eq!(sum.into_inner(), 28);
        }
    }

    #[test]
    fn a_job_inside_a_job_and_two_callers_at_once_work() {
        let team = Team::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        let outer = || {
            team.run(6, &|_| {
                team.run(5, &|part| {
                    sum.fetch_add(part, SeqCst);
                });
            });
        };
        thread::scope(|scope| {
            scope.spawn(outer);
            scope.spawn(outer);
        });
        assert_eq!(sum.into_inner(), 2 * 6 * 10);
    }

    #[test]
    fn sleepers_wake_for_the_next_job() {
        let team = Team::new(2).unwrap();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(20));
            let count = AtomicUsize::new(0);
            team.run(2, &|_| {
                count.fetch_add(1, SeqCst);
            });
            assert_eq!(count.into_inner(), 2);
        }
    }

    #[test]
    fn more_threads_than_cores_make_progress() {
        let team = Team::new(4 * thread::available_parallelism().map_or(1, usize::from)).unwrap();
        let start = Instant::now();
        for _ in 0..200 {
            team.run(16, &|part| {
                std::hint::black_box(part);
            });
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?} for 200 empty jobs", start.elapsed());
    }

    #[test]
    fn team_sizes_are_checked() {
        assert!(Team::new(0).is_err());
        assert!(Team::new(MAX_THREADS + 1).is_err());
    }
}
