//! What models and sessions share: threads, and a budget of memory.

use std::sync::{Arc, Mutex, PoisonError};

use ruminate::engine::Needs;

use crate::call::{clear, entry, free, hand_out, not_null};
use crate::handle::Kind;
use crate::pressure::Pressure;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};

/// Threads and a memory budget, shared by the models opened with it.
pub struct rum_runtime(());

/// How a runtime is made. Fill it with `rum_runtime_options_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_runtime_options {
    pub struct_size: usize,
    /// Threads of one session; 0 for all processors that the process may use. The answers do not depend on it.
    pub threads: u64,
    /// Bytes that all models and sessions together may take (weights, keys and values, buffers); 0 for no limit.
    pub memory_bytes: u64,
}

// SAFETY: `repr(C)`, whole numbers without padding.
unsafe impl Struct for rum_runtime_options {
    const FIRST: usize = 16 + size_of::<usize>();

    fn initial() -> Self {
        Self { struct_size: size_of::<Self>(), threads: 0, memory_bytes: 0 }
    }
}

/// Threads and a memory budget.
pub struct Runtime {
    pub threads: usize,
    budget: Arc<Budget>,
}

impl Kind for Runtime {
    type Opaque = rum_runtime;
    const NAME: &'static str = "runtime";
}

/// Bytes that may be taken, and those that are; and how short of memory the system is.
#[derive(Debug)]
pub struct Budget {
    limit: Option<u64>,
    used: Mutex<u64>,
    pub pressure: Arc<Pressure>,
}

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    pub bytes: u64,
}

impl Runtime {
    /// All processors, no limit.
    pub fn initial() -> Self {
        Self::new(&rum_runtime_options::initial())
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn new(options: &rum_runtime_options) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = usize::try_from(options.threads).unwrap_or(usize::MAX);
        let limit = (options.memory_bytes > 0).then_some(options.memory_bytes);
        Self {
            threads: if threads == 0 { cores() } else { threads },
            budget: Arc::new(Budget { limit, used: Mutex::new(0), pressure: Arc::default() }),
        }
    }
}

impl Budget {
    /// Takes `bytes` for `what`; an error when they are not there.
    pub fn reserve(self: &Arc<Self>, bytes: u64, what: &str) -> Result<Reservation, Failure> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(*used));
        if bytes > free {
            let message = format!("{what} takes {bytes} bytes, and {free} of the runtime's memory budget are left");
            return Err(Failure::new(rum_status::RUM_ERR_MEMORY, message));
        }
        *used = used.saturating_add(bytes);
        Ok(Reservation { budget: Arc::clone(self), bytes })
    }

    /// Takes all that is left, at least `least`; `None` where there is no limit.
    pub fn reserve_rest(self: &Arc<Self>, least: u64, what: &str) -> Result<Option<Reservation>, Failure> {
        let Some(limit) = self.limit else { return Ok(None) };
        let free = limit.saturating_sub(*self.used.lock().unwrap_or_else(PoisonError::into_inner));
        self.reserve(free.max(least), what).map(Some)
    }

    /// Takes what an engine needs, and `kv_bytes` for its keys and values, or all that is left where that is 0; `whose` is for
    /// messages. Also what keys and values may take, if anything limits them.
    pub fn reserve_engine(
        self: &Arc<Self>,
        needs: Needs,
        kv_bytes: u64,
        whose: &str,
    ) -> Result<(Reservation, Option<u64>), Failure> {
        let mut memory = self.reserve(needs.scratch, &format!("room for {whose}'s buffers"))?;
        let what = format!("room for {whose}'s keys and values");
        let kv = match kv_bytes {
            0 => self.reserve_rest(needs.kv, &what)?,
            asked => Some(self.reserve(asked, &what)?),
        };
        let limit = kv.as_ref().map(|kv| kv.bytes);
        kv.into_iter().for_each(|kv| memory.absorb(kv));
        Ok((memory, limit))
    }
}

impl Reservation {
    /// Where the bytes were taken.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Takes `bytes` more for `what`; an error when they are not there.
    pub fn grow(&mut self, bytes: u64, what: &str) -> Result<(), Failure> {
        let more = self.budget.reserve(bytes, what)?;
        self.absorb(more);
        Ok(())
    }

    /// All that it holds, as another one.
    pub fn take(&mut self) -> Self {
        Self { budget: Arc::clone(&self.budget), bytes: std::mem::take(&mut self.bytes) }
    }

    /// Takes over what `other`, of the same budget, holds.
    fn absorb(&mut self, mut other: Self) {
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.bytes);
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_runtime_options_init(options: *mut rum_runtime_options, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_runtime_options_init", |_| unsafe { sized::init(options, struct_size) })
}

/// A new runtime; NULL for the default options. Where a runtime is asked for, NULL stands for one with those. Free it with
/// `rum_runtime_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_runtime_new(
    options: *const rum_runtime_options,
    out: *mut *mut rum_runtime,
) -> rum_status {
    entry("rum_runtime_new", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        if options.threads > 1024 {
            return Err(Failure::invalid(format!("{} threads: give at most 1024, or 0 for all", options.threads)));
        }
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Runtime::new(&options), out) }
    })
}

/// Writes to `used` how many bytes of the memory budget are taken: by weights, and by the room that sessions were given for keys,
/// values and buffers, whether they fill it or not. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_runtime_memory(runtime: *const rum_runtime, used: *mut u64) -> rum_status {
    entry("rum_runtime_memory", |call| {
        let runtime = call.receiver::<Runtime>(runtime)?;
        not_null(used, "the out-parameter")?;
        let bytes = *runtime.value.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's promise; not NULL.
        unsafe { used.write(bytes) };
        Ok(())
    })
}

/// Frees a runtime; NULL is fine. Models opened with it go on.
#[unsafe(no_mangle)]
pub extern "C" fn rum_runtime_free(runtime: *mut rum_runtime) -> rum_status {
    free::<Runtime>("rum_runtime_free", runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_gone_until_it_is_given_back() {
        let budget = Arc::new(Budget { limit: Some(100), used: Mutex::new(0), pressure: Arc::default() });
        let first = budget.reserve(60, "a").unwrap();
        assert_eq!(budget.reserve(41, "b").unwrap_err().status, rum_status::RUM_ERR_MEMORY);
        let rest = budget.reserve_rest(10, "c").unwrap().unwrap();
        assert_eq!(rest.bytes, 40);
        assert!(budget.reserve_rest(1, "d").is_err());
        drop((first, rest));
        assert_eq!(budget.reserve(100, "e").unwrap().bytes, 100);
        let mut growing = budget.reserve(30, "e").unwrap();
        growing.grow(30, "e").unwrap();
        assert_eq!(growing.grow(41, "e").unwrap_err().status, rum_status::RUM_ERR_MEMORY);
        let taken = growing.take();
        assert_eq!((growing.bytes, taken.bytes, *budget.used.lock().unwrap()), (0, 60, 60));
        drop((growing, taken));
        let needs = Needs { scratch: 10, kv: 20 };
        let (memory, limit) = budget.reserve_engine(needs, 0, "its").unwrap();
        assert_eq!((memory.bytes, limit), (100, Some(90)));
        drop(memory);
        let (memory, limit) = budget.reserve_engine(needs, 5, "its").unwrap();
        assert_eq!((memory.bytes, limit), (15, Some(5)));
        drop(memory);
        assert!(budget.reserve_engine(needs, 91, "its").is_err() && *budget.used.lock().unwrap() == 0);
        let open = Arc::new(Budget { limit: None, used: Mutex::new(0), pressure: Arc::default() });
        assert!(open.reserve(u64::MAX, "f").is_ok() && open.reserve_rest(1, "g").unwrap().is_none());
        assert_eq!(open.reserve_engine(needs, 0, "its").unwrap().1, None);
    }
}
