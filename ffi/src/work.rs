//! What a run's thread does.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ruminate::engine::Engine;
use ruminate::observe::{CancelToken, Interrupt, Observer};
use ruminate::reward::Judge as Valuer;
use ruminate::search::{Outcome, Search, SearchParams, StopReason};
use ruminate::storage::save_atomic;
use ruminate::trace::{Header, JudgeRecord, PromptRecord, TraceWriter};
use ruminate::{Error, ErrorKind};

use crate::generate::generate;
use crate::generation::Generation;
use crate::handle::Object;
use crate::lend::Loan;
use crate::model::Model;
use crate::outcome::Finished;
use crate::prompt::Prompt;
use crate::session::{Line, Motor};
use crate::status::Failure;
use crate::text::Text;
use crate::watch::{Listener, Reporter, Watch};
use crate::{judge_host, log, panic};

/// Everything that a run has the use of until it ends.
pub struct Work {
    pub model: Arc<Object<Model>>,
    pub kv_name: &'static str,
    pub motor: Loan<Motor>,
    pub line: Loan<Line>,
    pub judge: Option<(String, Loan<Box<dyn Valuer>>)>,
    pub prompt: Prompt,
    pub job: Job,
    pub cancel: CancelToken,
}

pub enum Job {
    Search {
        params: Box<SearchParams>,
        /// Whether a trace is kept.
        trace: bool,
        /// Where a cancelled search is kept; empty for nowhere.
        checkpoint: String,
    },
    Generation(Generation),
}

/// How events reach the host.
pub struct Channel {
    pub watch: Arc<Watch>,
    pub listener: Option<Listener>,
    pub events: u32,
}

/// Does `work` and makes its end known: what was lent goes back first, then the listener gets the last event and is let go,
/// then whoever waits is woken.
pub fn run(work: Work, channel: Channel) {
    let Channel { watch, listener, events } = channel;
    let cancel = work.cancel.clone();
    let mut reporter = Reporter { watch: &watch, listener: listener.as_ref(), events, cancel: &cancel };
    log::write(log::rum_log_level::RUM_LOG_INFO, "a run started");
    let done = catch_unwind(AssertUnwindSafe(|| work.perform(&mut reporter)));
    let end = done.unwrap_or_else(|payload| {
        Err(Failure::internal(format!("the library broke its own rule: {}", panic::message(&*payload))))
    });
    match &end {
        Ok(finished) => {
            log::write(log::rum_log_level::RUM_LOG_INFO, &format!("a run ended ({:?})", finished.stop_reason))
        }
        Err(failure) => log::write(log::rum_log_level::RUM_LOG_INFO, &format!("a run failed: {}", failure.message)),
    }
    watch.finish(end.map_err(|failure| (failure.status, Text::new(failure.message))));
    if listener.is_some() {
        reporter.tell(watch.last());
    }
    drop(listener);
    watch.close();
    // Nothing links to this token any more.
    cancel.cancel();
}

impl Work {
    fn perform(mut self, observer: &mut dyn Observer) -> Result<Finished, Failure> {
        match &self.job {
            Job::Generation(how) => {
                let deadline = how.wall.and_then(|wall| Instant::now().checked_add(wall));
                let interrupt = Interrupt { cancel: self.cancel.clone(), deadline };
                let (motor, line, prompt) = (&mut self.motor, &mut self.line, &self.prompt.tokens);
                generate(&self.model.value, motor, line, prompt, how, &interrupt, observer).map_err(Failure::from)
            }
            Job::Search { params, trace: false, .. } => {
                let params = params.clone();
                let outcome = self.search(&params, observer).map_err(judge_host::failure)?;
                Ok(Finished::search(&outcome, None))
            }
            Job::Search { params, trace: true, .. } => {
                let params = params.clone();
                let header = self.header(&params);
                let mut writer = TraceWriter::new(Vec::new(), &header, observer);
                let outcome = self.search(&params, &mut writer);
                let written = writer.finish(&outcome);
                let outcome = outcome.map_err(judge_host::failure)?;
                let written = String::from_utf8(written?).map_err(|_| Failure::internal("the trace is not UTF-8"))?;
                Ok(Finished::search(&outcome, Some(Text::new(written))))
            }
        }
    }

    fn search(&mut self, params: &SearchParams, observer: &mut dyn Observer) -> ruminate::Result<Outcome> {
        let (engine, words) = (&mut self.motor.engine, &self.model.value.tokenizer);
        let judge = self.judge.as_mut().map(|(_, judge)| &mut ***judge as &mut dyn Valuer);
        let checkpoint = match &self.job {
            Job::Search { checkpoint, .. } if !checkpoint.is_empty() => Some(Path::new(checkpoint.as_str())),
            _ => None,
        };
        let (prompt, question) = (&self.prompt.tokens, self.prompt.question.as_str());
        let mut search = match checkpoint.filter(|path| path.is_file()) {
            Some(path) => {
                let file = File::open(path).map_err(|e| failed(path, &e))?;
                let resumed = Search::resume(engine, words, prompt, params, judge, question, &mut BufReader::new(file));
                resumed.map_err(|e| e.context(path.display()))?
            }
            None => Search::new(engine, words, prompt, params, judge, question)?,
        };
        let stopped = search.advance(u64::MAX, observer, &self.cancel)?;
        if let Some(path) = checkpoint {
            if stopped == Some(StopReason::Cancelled) {
                save_atomic(path, |out| search.save(out))?;
            } else if path.is_file() {
                std::fs::remove_file(path).map_err(|e| failed(path, &e))?;
            }
        }
        Ok(search.finish(observer))
    }

    /// Everything that a replay needs to know.
    fn header(&self, params: &SearchParams) -> Header {
        let model = &self.model.value;
        let tokens = self.prompt.tokens.clone();
        let text = String::from_utf8_lossy(&model.tokenizer.decode(&tokens, true)).into_owned();
        let mut header = Header::new(&self.motor.engine, PromptRecord { text, tokens }, params);
        header.model.path = model.path.clone();
        header.model.kv_type = Some(self.kv_name.to_owned());
        header.question = self.prompt.question.clone();
        header.strategy = self.prompt.strategy.map(str::to_owned);
        header.judge = self.judge.as_ref().map(|(name, _)| JudgeRecord { name: name.clone() });
        // What the engine says of itself may be older than a measurement of its width.
        header.free_width = self.motor.engine.info().free_width;
        header
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}
