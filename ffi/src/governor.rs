//! What holds a run back while it runs: the device's heat and energy, and memory that the system wants back.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ruminate::engine::{Batch, Engine, MemoryReport, Rows};
use ruminate::observe::Interrupt;
use ruminate::{Error, ErrorKind, Result};

use crate::outcome::{Finished, rum_stop_reason, rum_usage};
use crate::power::{Power, rum_thermal};
use crate::pressure::{Pressure, rum_memory_pressure};
use crate::sized::Struct;

/// Time between two questions to the host.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The longest pause at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A pause looks at its interrupt this often.
const NAP: Duration = Duration::from_millis(5);

/// Asks the host about heat and energy, and remembers what ended the run.
#[derive(Default)]
pub struct Governor {
    power: Option<Power>,
    /// Joules that the run may spend, where the host counts them.
    limit: Option<f64>,
    /// When the host was asked last.
    asked: Option<Instant>,
    /// The first and the latest count of joules.
    joules: Option<(f64, f64)>,
    verdict: Option<rum_stop_reason>,
    /// Those of engines that it governed.
    pub passes: Passes,
}

/// Forward passes, and the most bytes that were in use after any of them.
#[derive(Debug, Default)]
pub struct Passes {
    count: u64,
    kv_peak: u64,
    peak: u64,
}

impl Passes {
    fn add(&mut self, memory: &MemoryReport) {
        let MemoryReport { weights, adapters, kv, scratch, .. } = *memory;
        self.count += 1;
        self.kv_peak = self.kv_peak.max(kv);
        self.peak = self.peak.max(weights.saturating_add(adapters).saturating_add(kv).saturating_add(scratch));
    }

    /// A run's usage as far as it is known from its passes.
    pub fn usage(&self) -> rum_usage {
        let &Self { count, kv_peak, peak } = self;
        rum_usage { forward_passes: count, kv_peak_bytes: kv_peak, peak_bytes: peak, ..rum_usage::initial() }
    }
}

impl Governor {
    /// `joules` is what the run may spend; the host keeps to it where it counts them.
    pub fn new(power: Option<Power>, joules: Option<f64>) -> Self {
        Self { power, limit: joules, ..Self::default() }
    }

    /// Asks the host once, so that it is known whether it counts joules.
    pub fn start(&mut self, interrupt: &Interrupt) -> Result<bool> {
        self.check(interrupt)?;
        Ok(self.joules.is_some())
    }

    /// Asks the host if it is time to, and pauses for heat. An error of kind [`Cancelled`](ErrorKind::Cancelled) when the run has to end;
    /// its token is cancelled then.
    pub fn check(&mut self, interrupt: &Interrupt) -> Result<()> {
        let Some(power) = &self.power else { return Ok(()) };
        let worked = self.asked.map(|asked| asked.elapsed());
        if worked.is_some_and(|worked| worked < ASK_EVERY) {
            return Ok(());
        }
        let said = power.ask()?;
        self.asked = Some(Instant::now());
        let Some(said) = said else { return Err(end(interrupt)) };
        if let Some(joules) = said.joules {
            let (first, _) = *self.joules.get_or_insert((joules, joules));
            self.joules = Some((first, joules));
            if self.limit.is_some_and(|limit| joules - first >= limit) {
                self.verdict = Some(rum_stop_reason::RUM_STOP_ENERGY);
                return Err(end(interrupt));
            }
        }
        match said.thermal {
            rum_thermal::RUM_THERMAL_CRITICAL => {
                self.verdict = Some(rum_stop_reason::RUM_STOP_HEAT);
                Err(end(interrupt))
            }
            rum_thermal::RUM_THERMAL_SERIOUS => {
                pause(worked.unwrap_or_default().min(LONGEST_PAUSE), interrupt)?;
                self.asked = Some(Instant::now());
                Ok(())
            }
            rum_thermal::RUM_THERMAL_NOMINAL | rum_thermal::RUM_THERMAL_FAIR => Ok(()),
        }
    }

    /// Writes into the result what only the governor knows.
    pub fn settle(&self, finished: &mut Finished) {
        finished.stop_reason = self.verdict.unwrap_or(finished.stop_reason);
        if let Some((first, last)) = self.joules {
            (finished.usage.joules, finished.usage.joules_measured) = (last - first, 1);
        }
    }
}

fn end(interrupt: &Interrupt) -> Error {
    interrupt.cancel.cancel();
    Error::new(ErrorKind::Cancelled, "the host ended the run")
}

fn pause(time: Duration, interrupt: &Interrupt) -> Result<()> {
    let start = Instant::now();
    loop {
        interrupt.check()?;
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(NAP));
    }
}

/// An engine whose passes the governor sees.
pub struct Governed<'a> {
    engine: &'a mut dyn Engine,
    governor: &'a mut Governor,
    pressure: Arc<Pressure>,
    level: rum_memory_pressure,
    /// The cap on keys and values that was asked for.
    asked: u64,
    /// What memory pressure leaves of it.
    left: u64,
}

impl<'a> Governed<'a> {
    pub fn new(engine: &'a mut dyn Engine, governor: &'a mut Governor, pressure: &Arc<Pressure>) -> Self {
        let (asked, pressure) = (engine.memory().kv_limit, Arc::clone(pressure));
        Self { engine, governor, level: rum_memory_pressure::RUM_MEMORY_NORMAL, pressure, asked, left: u64::MAX }
    }

    /// Takes pressure that is new into account. Branches that wait for room are computed again, so that only time is lost.
    fn press(&mut self, batch: &Batch<'_>) {
        let level = self.pressure.level();
        if level == self.level || (level != rum_memory_pressure::RUM_MEMORY_NORMAL && batch.branches() < 2) {
            return;
        }
        let used = self.engine.memory().kv;
        self.level = level;
        self.left = match level {
            rum_memory_pressure::RUM_MEMORY_NORMAL => u64::MAX,
            rum_memory_pressure::RUM_MEMORY_WARNING => used / 2,
            rum_memory_pressure::RUM_MEMORY_CRITICAL => used / 4,
        };
        self.cap();
    }

    fn cap(&mut self) {
        self.engine.set_kv_limit(self.asked.min(self.left));
    }
}

impl Engine for Governed<'_> {
    ruminate::delegate_engine!(|governed| governed.engine;
        info root fork len truncate release save load scratch_of trim set_adapters set_free_width);

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        self.governor.check(&batch.interrupt)?;
        self.press(batch);
        if self.engine.memory().kv > self.left && batch.branches() > 1 {
            // Whoever searches gives up one branch after the other until the rest fits.
            self.engine.trim();
            return Err(Error::new(ErrorKind::Memory, "the system is short of memory"));
        }
        let mut passed = self.engine.forward(batch, rows);
        let is_short = passed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Memory);
        if is_short && self.left < self.asked {
            if batch.branches() < 2 {
                // One line of thought keeps what it needs: it could only be cut short.
                self.left = u64::MAX;
                self.cap();
                passed = self.engine.forward(batch, rows);
            }
            self.engine.trim();
        }
        if passed.is_ok() {
            self.governor.passes.add(&self.engine.memory());
        }
        passed
    }

    fn memory(&self) -> MemoryReport {
        let mut report = self.engine.memory();
        report.kv_limit = self.asked;
        report
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        self.asked = bytes;
        self.cap();
    }
}

impl Drop for Governed<'_> {
    fn drop(&mut self) {
        self.engine.set_kv_limit(self.asked);
        if self.pressure.level() != rum_memory_pressure::RUM_MEMORY_NORMAL {
            self.engine.trim();
        }
    }
}
