//! A search as a run's work.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use ruminate::engine::{Backend, Engine};
use ruminate::observe::{CancelToken, Interrupt, Observer};
use ruminate::reward::Judge as Valuer;
use ruminate::search::{Outcome, Search, SearchParams, StopReason};
use ruminate::storage::save_atomic;
use ruminate::trace::{Header, JudgeRecord, PromptRecord, TraceWriter};
use ruminate::{Error, ErrorKind};

use crate::governor::{Governed, Governor};
use crate::handle::Object;
use crate::judge_host;
use crate::lend::Loan;
use crate::model::Model;
use crate::outcome::Finished;
use crate::prompt::Prompt;
use crate::session::{Line, Motor};
use crate::status::Failure;
use crate::text::Text;
use crate::watch::Reporter;
use crate::work::Work;

/// A search and everything that it has the use of.
pub struct Solve {
    pub model: Arc<Object<Model>>,
    pub kv_name: &'static str,
    pub motor: Loan<Motor>,
    /// Not used, but in use: the session is busy as a whole.
    pub _line: Loan<Line>,
    pub judge: Option<(String, Loan<Box<dyn Valuer>>)>,
    pub prompt: Prompt,
    pub params: Box<SearchParams>,
    /// Whether a trace is kept.
    pub trace: bool,
    /// Where a cancelled search is kept; empty for nowhere.
    pub checkpoint: String,
    pub governor: Governor,
}

impl Work for Solve {
    fn perform(mut self: Box<Self>, reporter: &mut Reporter<'_>) -> Result<Finished, Failure> {
        let cancel = reporter.cancel.clone();
        let mut finished = match self.trace {
            false => Finished::search(&self.search(reporter, &cancel).map_err(judge_host::failure)?, None),
            true => {
                let header = self.header();
                let mut writer = TraceWriter::new(Vec::new(), &header, reporter);
                let outcome = self.search(&mut writer, &cancel);
                let written = writer.finish(&outcome);
                let outcome = outcome.map_err(judge_host::failure)?;
                let written = String::from_utf8(written?).map_err(|_| Failure::internal("the trace is not UTF-8"))?;
                Finished::search(&outcome, Some(Text::new(written)))
            }
        };
        if self.prompt.method.is_some() {
            // The method stood in its place.
            finished.algo = u32::MAX;
        }
        self.governor.settle(&mut finished);
        Ok(finished)
    }
}

impl Solve {
    fn search(&mut self, observer: &mut dyn Observer, cancel: &CancelToken) -> ruminate::Result<Outcome> {
        let mut params = self.params.clone();
        match self.governor.start(&Interrupt { cancel: cancel.clone(), deadline: None }) {
            // The host counts the joules, so the library does not.
            Ok(true) => params.budget.joules = None,
            Ok(false) => {}
            // The search itself finds that it was cancelled.
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) => return Err(error),
        }
        let pressure = &self.model.value.weights.budget().pressure;
        let mut engine = Governed::new(&mut *self.motor.engine, &mut self.governor, pressure);
        let words = &self.model.value.tokenizer;
        let judge = self.judge.as_mut().map(|(_, judge)| &mut ***judge as &mut dyn Valuer);
        let checkpoint = (!self.checkpoint.is_empty()).then(|| Path::new(self.checkpoint.as_str()));
        let (prompt, question) = (&self.prompt.tokens, self.prompt.question.as_str());
        let model = &self.model.value;
        let method = self.prompt.method.as_ref();
        let inquiry = method.map(|method| method.value.inquiry(question, model, &params)).transpose()?;
        let mut search = match &inquiry {
            Some(inquiry) => inquiry.search(&mut engine, judge)?,
            None => Search::new(&mut engine, words, prompt, &params, judge, question)?,
        };
        if let Some(path) = checkpoint.filter(|path| path.is_file()) {
            let file = &mut BufReader::new(File::open(path).map_err(|e| failed(path, &e))?);
            search = search.load(file).map_err(|e| e.context(path.display()))?;
        }
        let stopped = search.advance(u64::MAX, observer, cancel)?;
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
    fn header(&self) -> Header {
        let model = &self.model.value;
        let tokens = self.prompt.tokens.clone();
        let text = String::from_utf8_lossy(&model.tokenizer.decode(&tokens, true)).into_owned();
        let mut header = Header::new(&*self.motor.engine, PromptRecord { text, tokens }, &self.params);
        header.model.path = model.path.clone();
        header.model.adapters = self.motor.adapters.clone();
        header.model.backend = (model.backend != Backend::Native).then(|| model.backend.name());
        header.model.kv_type = Some(self.kv_name.to_owned());
        header.question = self.prompt.question.clone();
        header.strategy = self.prompt.strategy.map(str::to_owned);
        if let Some(method) = &self.prompt.method {
            header.prompts = method.value.prompts().changed().clone();
            header.strategy_detail = method.value.strategy().detail();
            header.tools = method.value.tools().to_vec();
        }
        header.judge = self.judge.as_ref().map(|(name, _)| JudgeRecord { name: name.clone() });
        // What the engine says of itself may be older than a measurement of its width.
        header.free_width = self.motor.engine.info().free_width;
        header
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}
