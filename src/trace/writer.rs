//! Writes a trace while the search runs.

use std::io::Write;
use std::time::Instant;

use super::record::Record;
use super::{ErrorRecord, Header, OutcomeRecord};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Event, Observer};
use crate::search::Outcome;

/// An observer that writes what it sees to `out`, a line per event, and passes it on.
///
/// Each line is one `write_all`, so a search that is killed leaves whole lines, but for the last one perhaps. A failed
/// write ends the trace and never the search; [`finish`](Self::finish) tells of it.
pub struct TraceWriter<'a, W> {
    out: W,
    inner: &'a mut dyn Observer,
    opened: Instant,
    text: bool,
    line: Vec<u8>,
    failure: Option<Error>,
}

impl<'a, W: Write + Send> TraceWriter<'a, W> {
    /// Opens a trace with its header; events go on to `inner`.
    pub fn new(out: W, header: &Header, inner: &'a mut dyn Observer) -> Self {
        let mut writer = Self { out, inner, opened: Instant::now(), text: false, line: Vec::new(), failure: None };
        writer.write(&Record::Header(header));
        writer
    }

    /// Writes text as it grows too. Without it a node's text stands in its last record alone.
    #[must_use]
    pub fn with_text(mut self, text: bool) -> Self {
        self.text = text;
        self
    }

    /// Closes the trace with what the search came to, and hands `out` back, or the first failure to write.
    pub fn finish(mut self, outcome: &Result<Outcome>) -> Result<W> {
        match outcome {
            Ok(outcome) => self.write(&Record::Outcome(&OutcomeRecord::new(outcome, self.ms()))),
            Err(error) => self.write(&Record::Error(&ErrorRecord::new(error))),
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.out.flush().map_err(|e| Error::io("writing the trace", e))?;
        Ok(self.out)
    }

    fn ms(&self) -> f64 {
        self.opened.elapsed().as_secs_f64() * 1e3
    }

    fn write(&mut self, record: &Record<'_>) {
        if self.failure.is_some() {
            return;
        }
        self.line.clear();
        let line = serde_json::to_writer(&mut self.line, record)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("a record of the trace: {e}")));
        self.line.push(b'\n');
        let written = line.and_then(|()| self.out.write_all(&self.line).map_err(|e| Error::io("writing the trace", e)));
        self.failure = written.err();
    }
}

impl<W: Write + Send> Observer for TraceWriter<'_, W> {
    fn event(&mut self, event: &Event<'_>) {
        let ms = self.ms();
        match *event {
            Event::NodeStarted { node, parent, greedy } => {
                self.write(&Record::NodeStarted { node, parent, greedy, ms });
            }
            Event::NodeText { node, text } if self.text => self.write(&Record::NodeText { node, text, ms }),
            Event::NodeDone {
                node, parent, text, tokens, logprob, score, end, answer, policy_tokens, wall_ms, ..
            } => {
                self.write(&Record::NodeDone {
                    node,
                    parent,
                    text,
                    tokens,
                    logprob,
                    score,
                    end,
                    answer,
                    policy_tokens,
                    wall_ms,
                    ms,
                });
            }
            Event::Learned { journal } => self.write(&Record::Learned { journal, ms }),
            Event::NodeClosed { node } => self.write(&Record::NodeClosed { node, ms }),
            _ => {}
        }
        self.inner.event(event);
    }
}
