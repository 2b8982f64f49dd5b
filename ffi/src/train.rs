//! Training as a run's work.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ruminate::exec::Team;
use ruminate::learn::preference::{Example, Measured, StepReport, TrainParams, Trainer};
use ruminate::observe::Interrupt;
use ruminate::search::{EnergyMeter, EnergySource};
use ruminate::simd::Isa;
use ruminate::{Error, ErrorKind, Result};
use serde_json::json;

use crate::adapter::Adapter;
use crate::event::{Happening, rum_event_kind};
use crate::governor::Governor;
use crate::handle::Object;
use crate::judge_host;
use crate::model::Model;
use crate::outcome::{Finished, rum_stop_reason, rum_usage};
use crate::runtime::Reservation;
use crate::sized::Struct;
use crate::status::Failure;
use crate::text::Text;
use crate::watch::Reporter;
use crate::work::Work;

/// Steps between saves.
const SAVE_EVERY: u64 = 10;
/// Copies of the adapter's size: itself and the optimizer's two means, the same of the next step, and its gradients.
const COPIES: u64 = 7;

/// A training run and everything that it needs.
pub struct Train {
    pub model: Arc<Object<Model>>,
    pub params: TrainParams,
    pub examples: Vec<Example>,
    /// Names the examples.
    pub digest: String,
    pub test: Vec<Example>,
    pub from: Option<Arc<ruminate::model::Adapter>>,
    /// A file of JSON lines; empty for none.
    pub log: String,
    /// Where the run is kept; empty for nowhere.
    pub checkpoint: String,
    pub wall: Option<Duration>,
    pub tokens: Option<u64>,
    pub threads: usize,
    pub memory: Reservation,
    pub governor: Governor,
}

impl Work for Train {
    fn perform(mut self: Box<Self>, reporter: &mut Reporter<'_>) -> std::result::Result<Finished, Failure> {
        let (start, meter) = (Instant::now(), EnergyMeter::start());
        let model = Arc::clone(&self.model);
        let net = model.value.network.native()?;
        let team = Team::new(self.threads)?;
        let (given, loss, seed) = (self.examples.len(), self.params.loss.name(), self.params.seed);
        let (examples, from) = (std::mem::take(&mut self.examples), self.from.take().map(Arc::unwrap_or_clone));
        let n_ctx = net.config().n_ctx_train;
        // Given back behind the buffers that it stands for.
        let adapter_memory;
        let mut trainer = Trainer::new(net, &team, Isa::detect(), n_ctx, self.params.clone(), examples, from)?;
        let bytes = COPIES * size_of::<f32>() as u64 * trainer.adapter().parameters() as u64;
        adapter_memory = self.memory.budget().reserve(bytes, "the adapter and what its optimizer keeps")?;
        let checkpoint = (!self.checkpoint.is_empty()).then(|| Path::new(self.checkpoint.as_str()));
        if let Some(path) = checkpoint.filter(|path| path.is_file()) {
            trainer.resume(path, &self.digest)?;
        }
        let interrupt =
            Interrupt { cancel: reporter.cancel.clone(), deadline: self.wall.and_then(|wall| start.checked_add(wall)) };
        let mut log = Log { path: &self.log, reporter, start };
        let (mut told, mut governor) = (Told::default(), std::mem::take(&mut self.governor));
        let done = self
            .steps(&mut trainer, checkpoint, &interrupt, &mut governor, &mut log, &mut told)
            .and_then(|()| self.measure_after(&trainer, &interrupt, &mut governor, &mut told));
        if let Err(error) = done {
            if let Some(path) = checkpoint {
                trainer.save(path, &self.digest)?;
            }
            return Err(judge_host::failure(error));
        }
        if let Some(path) = checkpoint {
            match told.stop {
                Some(_) => trainer.save(path, &self.digest)?,
                None if path.is_file() => std::fs::remove_file(path).map_err(|e| failed(&path.display(), &e))?,
                None => {}
            }
        }
        let (seconds, joules) = (start.elapsed().as_secs_f64(), meter.joules());
        let report = json!({
            "loss": loss,
            "steps": trainer.step_count(),
            "steps_of_run": trainer.steps(),
            "examples": trainer.n_examples(),
            "examples_too_long": given.saturating_sub(trainer.n_examples()),
            "parameters": trainer.adapter().parameters(),
            "last_step": told.last,
            "test_before": told.before,
            "test_after": told.after,
            "tokens": told.tokens,
            "seconds": seconds,
        });
        let (adapter, buffers) = trainer.finish();
        reporter.afterwards = Some(Box::new((buffers, adapter_memory, self.memory)));
        let mut finished = Finished {
            text: Text::new(report.to_string()),
            seed,
            stop_reason: told.stop.map_or(rum_stop_reason::RUM_STOP_FINISHED, Stop::reason),
            usage: rum_usage {
                wall_ms: seconds * 1e3,
                joules: joules.joules,
                joules_measured: (joules.source == EnergySource::Measured).into(),
                complete: 1,
                ..rum_usage::initial()
            },
            adapter: Some(Adapter::new(adapter, "")),
            ..Finished::default()
        };
        governor.settle(&mut finished);
        Ok(finished)
    }
}

impl Train {
    /// Steps until the end or until something stops them, which `told` then says.
    fn steps(
        &self,
        trainer: &mut Trainer<'_>,
        checkpoint: Option<&Path>,
        interrupt: &Interrupt,
        governor: &mut Governor,
        log: &mut Log<'_, '_>,
        told: &mut Told,
    ) -> Result<()> {
        let stopped = |told: &mut Told, error: Error| {
            if error.kind() != ErrorKind::Cancelled {
                return Err(error);
            }
            told.stop = Some(if interrupt.cancel.is_cancelled() { Stop::Cancelled } else { Stop::Deadline });
            Ok(())
        };
        match governor.check(interrupt).and_then(|()| self.measure(trainer, interrupt)) {
            Ok(before) => told.before = before,
            Err(error) => return stopped(told, error),
        }
        loop {
            if self.tokens.is_some_and(|most| told.tokens >= most) {
                told.stop = Some(Stop::Tokens);
                return Ok(());
            }
            match governor.check(interrupt).and_then(|()| trainer.step(interrupt)) {
                Ok(Some(report)) => {
                    told.tokens += report.measured.tokens as u64;
                    told.last = Some(report);
                    log.tell(&report)?;
                    if let Some(path) = checkpoint.filter(|_| report.step % SAVE_EVERY == 0) {
                        trainer.save(path, &self.digest)?;
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => return stopped(told, error),
            }
        }
    }

    /// Measures what the steps came to. Figures behind a deadline are worth what they cost, which is what those before the steps did;
    /// a cancellation leaves them out, and nothing else.
    fn measure_after(
        &self,
        trainer: &Trainer<'_>,
        interrupt: &Interrupt,
        governor: &mut Governor,
        told: &mut Told,
    ) -> Result<()> {
        if told.before.is_none() || told.stop == Some(Stop::Cancelled) {
            return Ok(());
        }
        let only_cancel = Interrupt { deadline: None, ..interrupt.clone() };
        match governor.check(&only_cancel).and_then(|()| self.measure(trainer, &only_cancel)) {
            Ok(after) => told.after = after,
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                told.stop.get_or_insert(Stop::Cancelled);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Loss and rewards on the test's examples; `None` without any.
    fn measure(&self, trainer: &Trainer<'_>, interrupt: &Interrupt) -> Result<Option<Measured>> {
        if self.test.is_empty() { Ok(None) } else { trainer.measure(&self.test, interrupt).map(Some) }
    }
}

/// What ended the steps early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Deadline,
    Tokens,
}

impl Stop {
    fn reason(self) -> rum_stop_reason {
        match self {
            Self::Cancelled => rum_stop_reason::RUM_STOP_CANCELLED,
            Self::Deadline => rum_stop_reason::RUM_STOP_DEADLINE,
            Self::Tokens => rum_stop_reason::RUM_STOP_TOKENS,
        }
    }
}

/// What there is to tell when it is over.
#[derive(Default)]
struct Told {
    stop: Option<Stop>,
    before: Option<Measured>,
    after: Option<Measured>,
    last: Option<StepReport>,
    tokens: u64,
}

/// Where steps are told.
struct Log<'a, 'b> {
    path: &'a str,
    reporter: &'a mut Reporter<'b>,
    start: Instant,
}

impl Log<'_, '_> {
    fn tell(&mut self, report: &StepReport) -> Result<()> {
        let line = serde_json::to_string(report);
        let line = line.map_err(|e| Error::new(ErrorKind::Internal, format!("a step's figures: {e}")))?;
        if !self.path.is_empty() {
            let file = OpenOptions::new().create(true).append(true).open(self.path);
            file.and_then(|mut file| writeln!(file, "{line}")).map_err(|e| failed(&self.path, &e))?;
        }
        let Measured { loss, accuracy, margin, .. } = report.measured;
        self.reporter.tell(Happening {
            kind: rum_event_kind::RUM_EVENT_STEP,
            text: Text::new(line),
            done: report.step,
            total: report.steps,
            loss,
            accuracy,
            margin,
            wall_ms: self.start.elapsed().as_secs_f64() * 1e3,
            ..Happening::default()
        });
        Ok(())
    }
}

fn failed(path: &dyn std::fmt::Display, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{path}: {error}"))
}
