//! A training run that is saved on the way.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ruminate::ErrorKind;
use ruminate::learn::preference::{self, Example, Measured, Preference, StepReport, Trainer};
use ruminate::observe::Interrupt;
use ruminate::search::{EnergyMeter, Joules, PowerModel};
use ruminate::text::Tokenizer;

use super::training_log::TrainingLog;
use crate::exit::{Code, Failure};
use crate::output::{Output, Style};

/// Steps between saves.
const SAVE_EVERY: u64 = 10;

/// What a run may spend in this process; tokens and joules are missed by at most one step.
#[derive(Clone, Copy)]
pub struct Limit {
    pub wall: Option<Duration>,
    pub tokens: Option<u64>,
    pub joules: Option<f64>,
    /// What the processor draws, where nothing counts it.
    pub power: PowerModel,
}

impl Default for Limit {
    fn default() -> Self {
        Self { wall: None, tokens: None, joules: None, power: PowerModel::of_this_machine() }
    }
}

/// A run and the file that it is saved in.
pub struct Training<'a> {
    pub trainer: Trainer<'a>,
    /// Tokens of this process's steps, and the time and the energy that they took.
    pub tokens: u64,
    pub wall: Duration,
    pub joules: Joules,
    pub last: Option<StepReport>,
    state: PathBuf,
    digest: String,
    log: Option<TrainingLog>,
    interrupt: Interrupt,
}

impl<'a> Training<'a> {
    /// A run that goes on from `state`, if there is such a file; `digest` names its examples.
    pub fn open(
        mut trainer: Trainer<'a>,
        state: PathBuf,
        digest: String,
        log: Option<PathBuf>,
        interrupt: Interrupt,
        output: &Output,
    ) -> Result<Self, Failure> {
        if state.exists() {
            trainer.resume(&state, &digest)?;
            output.note(Style::Dim, &format!("going on after step {} of {}", trainer.step_count(), trainer.steps()));
        }
        let log = log.map(|path| TrainingLog::open(&path, trainer.step_count())).transpose()?;
        let (wall, joules) = (Duration::ZERO, Joules::default());
        Ok(Self { trainer, tokens: 0, wall, joules, last: None, state, digest, log, interrupt })
    }

    /// Steps until the end or a limit, then a save; `finished`, `cancelled`, `deadline`, `tokens` or `joules`.
    pub fn run(&mut self, limit: Limit, output: &Output) -> Result<&'static str, Failure> {
        let start = Instant::now();
        let (meter, before) = (EnergyMeter::with(limit.power), self.joules.joules);
        self.interrupt.deadline = limit.wall.and_then(|wall| start.checked_add(wall));
        let bar = output.count_progress("steps", self.trainer.steps());
        bar.set_position(self.trainer.step_count());
        let stopped = loop {
            if limit.tokens.is_some_and(|most| self.tokens >= most) {
                break "tokens";
            }
            if limit.joules.is_some_and(|most| self.joules.joules >= most) {
                break "joules";
            }
            match self.trainer.step(&self.interrupt) {
                Ok(Some(report)) => {
                    self.tokens += report.measured.tokens as u64;
                    let since = meter.joules();
                    let now = Joules { joules: before + since.joules, ..since };
                    if let Some(log) = &mut self.log {
                        log.push(&report, Joules { joules: now.joules - self.joules.joules, ..now })?;
                    }
                    self.joules = now;
                    let Measured { loss, accuracy, margin, .. } = report.measured;
                    bar.set_message(format!("loss {loss:.4}, accuracy {accuracy:.2}, margin {margin:+.3},"));
                    bar.inc(1);
                    self.last = Some(report);
                    if report.step % SAVE_EVERY == 0 {
                        self.trainer.save(&self.state, &self.digest)?;
                    }
                }
                Ok(None) => break "finished",
                Err(error) if error.kind() == ErrorKind::Cancelled => {
                    break if self.interrupt.cancel.is_cancelled() { "cancelled" } else { "deadline" };
                }
                Err(error) => {
                    self.trainer.save(&self.state, &self.digest)?;
                    return Err(error.into());
                }
            }
        };
        bar.finish_and_clear();
        self.trainer.save(&self.state, &self.digest)?;
        self.interrupt.deadline = None;
        self.wall += start.elapsed();
        Ok(stopped)
    }

    /// Loss and rewards on other examples; `None` without any.
    pub fn measure(&self, examples: &[Example]) -> ruminate::Result<Option<Measured>> {
        if examples.is_empty() { Ok(None) } else { self.trainer.measure(examples, &self.interrupt).map(Some) }
    }

    /// Saves the adapter as it is.
    pub fn save_adapter(&self, path: &Path) -> Result<(), Failure> {
        Ok(self.trainer.adapter().save(path)?)
    }

    /// Forgets the run, once its adapter is saved.
    pub fn remove_state(&self) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure::new(Code::Failure, format!("removing {}: {e}", self.state.display()));
        std::fs::remove_file(&self.state).map_err(failed)
    }
}

/// The rows of a file of preferences, which may be larger than a prompt may be.
pub fn read(path: &Path) -> Result<Vec<Preference>, Failure> {
    let failed = |e: std::io::Error| Failure::data(format!("{}: {e}", path.display()));
    let mut rows = Vec::new();
    for (i, line) in BufReader::new(File::open(path).map_err(failed)?).lines().enumerate() {
        let row = Preference::parse(&line.map_err(failed)?);
        rows.extend(row.map_err(|e| Failure::from(e.context(format!("{}, row {}", path.display(), i + 1))))?);
    }
    Ok(rows)
}

/// The examples of these files, and a digest of their tokens.
pub fn load(paths: &[PathBuf], tokenizer: &Tokenizer) -> Result<(Vec<Example>, String), Failure> {
    let mut examples = Vec::new();
    for path in paths {
        for row in read(path)? {
            examples.push(row.encode(tokenizer).map_err(|e| Failure::from(e.context(path.display())))?);
        }
    }
    let digest = preference::digest(&examples);
    Ok((examples, digest))
}
