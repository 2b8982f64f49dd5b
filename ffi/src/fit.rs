//! Fitting as a run's work.

use std::path::Path;
use std::time::Instant;

use ruminate::exec::Team;
use ruminate::learn::{self, FitParams, Table};
use ruminate::observe::{Event, Interrupt, Observer};
use ruminate::search::{EnergyMeter, EnergySource};
use ruminate::{Error, ErrorKind};
use serde_json::json;

use crate::governor::Governor;
use crate::judge_host;
use crate::outcome::{Finished, rum_stop_reason, rum_usage};
use crate::sized::Struct;
use crate::status::Failure;
use crate::text::Text;
use crate::watch::Reporter;
use crate::work::Work;

/// Files of labelled steps, and the file of the head.
pub struct Fit {
    pub files: Vec<String>,
    /// Empty for none.
    pub test: String,
    pub path: String,
    pub params: FitParams,
    pub threads: usize,
    pub governor: Governor,
}

impl Work for Fit {
    fn perform(mut self: Box<Self>, reporter: &mut Reporter<'_>) -> Result<Finished, Failure> {
        let (start, meter) = (Instant::now(), EnergyMeter::start());
        let mut governor = std::mem::take(&mut self.governor);
        let (text, stop_reason) = match self.fit(reporter, &mut governor) {
            Ok(report) => (report, rum_stop_reason::RUM_STOP_FINISHED),
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                ("{}".to_owned(), rum_stop_reason::RUM_STOP_CANCELLED)
            }
            Err(error) => return Err(judge_host::failure(error)),
        };
        let (wall_ms, joules) = (start.elapsed().as_secs_f64() * 1e3, meter.joules());
        let mut finished = Finished {
            text: Text::new(text),
            seed: self.params.seed,
            stop_reason,
            usage: rum_usage {
                wall_ms,
                joules: joules.joules,
                joules_measured: (joules.source == EnergySource::Measured).into(),
                complete: 1,
                ..rum_usage::initial()
            },
            ..Finished::default()
        };
        governor.settle(&mut finished);
        Ok(finished)
    }
}

impl Fit {
    /// The report; the head is in its file then.
    fn fit(&self, reporter: &mut Reporter<'_>, governor: &mut Governor) -> ruminate::Result<String> {
        let paths: Vec<&Path> = self.files.iter().map(Path::new).collect();
        let interrupt = Interrupt { cancel: reporter.cancel.clone(), deadline: None };
        interrupt.check()?;
        governor.check(&interrupt)?;
        let table = Table::load(&paths)?;
        let test = (!self.test.is_empty()).then(|| Table::load(&[Path::new(&self.test)])).transpose()?;
        let team = Team::new(self.threads)?;
        let mut between = Between { reporter, governor, interrupt: &interrupt, failed: None };
        let fitted = learn::fit(&table, test.as_ref(), &self.params, &team, &mut between, &interrupt);
        if let Some(error) = between.failed {
            return Err(error);
        }
        let (head, report) = fitted?;
        interrupt.check()?;
        head.save(Path::new(&self.path))?;
        let mut document = json!(report);
        document["aggregation"] = head.aggregation.name().into();
        document["fingerprint"] = head.fingerprint.as_str().into();
        document["calibration"] = json!({ "temperature": head.temperature, "bias": head.bias });
        Ok(document.to_string())
    }
}

/// Tells of every fit, and asks the governor behind it.
struct Between<'a, 'b> {
    reporter: &'a mut Reporter<'b>,
    governor: &'a mut Governor,
    interrupt: &'a Interrupt,
    /// Why it ended the fits.
    failed: Option<Error>,
}

impl Observer for Between<'_, '_> {
    fn event(&mut self, event: &Event<'_>) {
        self.reporter.event(event);
        if self.failed.is_none()
            && let Err(error) = self.governor.check(self.interrupt)
        {
            self.interrupt.cancel.cancel();
            self.failed = Some(error);
        }
    }
}
