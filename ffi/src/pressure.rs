//! Memory that the system wants back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ruminate::engine::Engine;

use crate::call::entry;
use crate::lend::Lending;
use crate::number::numbers;
use crate::runtime::{Runtime, rum_runtime};
use crate::session::Motor;
use crate::status::rum_status;

/// How short of memory the system is, as iOS, macOS and Android tell their programs.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_memory_pressure {
    /// Not at all.
    RUM_MEMORY_NORMAL = 0,
    /// Sessions give back what they do not use, and a search under way half of its keys and values: fewer branches grow at once, and
    /// what is needed again is computed again.
    RUM_MEMORY_WARNING = 1,
    /// The same with three quarters.
    RUM_MEMORY_CRITICAL = 2,
}

numbers!(rum_memory_pressure, "memory pressure": RUM_MEMORY_NORMAL, RUM_MEMORY_WARNING, RUM_MEMORY_CRITICAL);

/// What the host says of the system's memory, and the engines that it concerns.
#[derive(Default)]
pub struct Pressure {
    level: AtomicU32,
    engines: Mutex<Vec<Weak<Lending<Motor>>>>,
}

impl Pressure {
    pub fn level(&self) -> rum_memory_pressure {
        rum_memory_pressure::read(self.level.load(Ordering::Relaxed)).unwrap_or(rum_memory_pressure::RUM_MEMORY_NORMAL)
    }

    /// From now on the engine hears of it.
    pub fn add(&self, engine: &Arc<Lending<Motor>>) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|engine| engine.strong_count() > 0);
        engines.push(Arc::downgrade(engine));
    }

    fn set(&self, level: rum_memory_pressure) {
        self.level.store(level as u32, Ordering::Relaxed);
        if level == rum_memory_pressure::RUM_MEMORY_NORMAL {
            return;
        }
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for engine in engines.iter().filter_map(Weak::upgrade) {
            // One in use looks at the level before its next pass, and gives back when it is done.
            engine.if_idle(|motor| motor.engine.trim());
        }
    }
}

impl std::fmt::Debug for Pressure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pressure({:?})", self.level())
    }
}

/// Tells all sessions of models that were opened with `runtime` how short of memory the system is: a `rum_memory_pressure`, which
/// lasts until the next call. Answers do not depend on it, except that a single line of thought keeps its keys and values in any
/// case. Judges with a model of their own are left alone. Returns at once; a search reacts before its next pass. From any thread,
/// concurrently, and from callbacks.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn rum_runtime_set_memory_pressure(runtime: *const rum_runtime, level: u32) -> rum_status {
    entry("rum_runtime_set_memory_pressure", |call| {
        let runtime = call.receiver::<Runtime>(runtime)?;
        runtime.value.budget().pressure.set(rum_memory_pressure::read(level)?);
        Ok(())
    })
}
