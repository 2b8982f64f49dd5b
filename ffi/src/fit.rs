//! Fitting as a run's work.

use std::path::Path;
use std::time::Instant;

use ruminate::ErrorKind;
use ruminate::exec::Team;
use ruminate::learn::{self, FitParams, Table};
use ruminate::observe::Interrupt;
use serde_json::json;

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
}

impl Work for Fit {
    fn perform(self: Box<Self>, reporter: &mut Reporter<'_>) -> Result<Finished, Failure> {
        let start = Instant::now();
        let (text, stop_reason) = match self.fit(reporter) {
            Ok(report) => (report, rum_stop_reason::RUM_STOP_FINISHED),
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                ("{}".to_owned(), rum_stop_reason::RUM_STOP_CANCELLED)
            }
            Err(error) => return Err(error.into()),
        };
        let wall_ms = start.elapsed().as_secs_f64() * 1e3;
        Ok(Finished {
            text: Text::new(text),
            seed: self.params.seed,
            stop_reason,
            usage: rum_usage { wall_ms, complete: 1, ..rum_usage::initial() },
            ..Finished::default()
        })
    }
}

impl Fit {
    /// The report; the head is in its file then.
    fn fit(&self, reporter: &mut Reporter<'_>) -> ruminate::Result<String> {
        let paths: Vec<&Path> = self.files.iter().map(Path::new).collect();
        let interrupt = Interrupt { cancel: reporter.cancel.clone(), deadline: None };
        interrupt.check()?;
        let table = Table::load(&paths)?;
        let test = (!self.test.is_empty()).then(|| Table::load(&[Path::new(&self.test)])).transpose()?;
        let team = Team::new(self.threads)?;
        let (head, report) = learn::fit(&table, test.as_ref(), &self.params, &team, reporter, &interrupt)?;
        interrupt.check()?;
        head.save(Path::new(&self.path))?;
        let mut document = json!(report);
        document["aggregation"] = head.aggregation.name().into();
        document["fingerprint"] = head.fingerprint.as_str().into();
        document["calibration"] = json!({ "temperature": head.temperature, "bias": head.bias });
        Ok(document.to_string())
    }
}
