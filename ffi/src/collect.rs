//! Collecting as a run's work.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use ruminate::ErrorKind;
use ruminate::learn::{self, Block, CollectParams, PairParams, Prompt, Question, Recorder, RowWriter};
use ruminate::observe::{Event, Observer};
use ruminate::reward::verify::{Number, Verifier};
use ruminate::search::{EnergyMeter, EnergySource};
use ruminate::text::TokenId;
use serde_json::json;

use crate::governor::{Governed, Governor};
use crate::handle::Object;
use crate::host::Host;
use crate::judge_host::{self, Verify};
use crate::lend::Loan;
use crate::model::Model;
use crate::outcome::{Finished, rum_stop_reason, rum_usage};
use crate::preferences::Preferences;
use crate::session::{Line, Motor};
use crate::status::{Failure, rum_status};
use crate::text::Text;
use crate::watch::Reporter;
use crate::work::Work;

/// Questions, and everything that putting them needs.
pub struct Collect {
    pub model: Arc<Object<Model>>,
    pub motor: Loan<Motor>,
    /// Not used, but in use: the session is busy as a whole.
    pub _line: Loan<Line>,
    pub questions: Vec<Asked>,
    pub params: CollectParams,
    pub recorder: Recorder,
    pub rows: Option<RowWriter>,
    pub pairs: Option<Arc<Object<Preferences>>>,
    pub pairing: PairParams,
    pub verifier: Option<HostVerifier>,
    /// Kept until the end, though there may be no function to give it to.
    pub _host: Arc<Host>,
    pub governor: Governor,
}

/// A question as it is put.
pub struct Asked {
    pub number: u64,
    pub text: String,
    pub prompt: Vec<TokenId>,
    pub prompt_text: String,
    pub right: Right,
}

/// What decides whether an answer is right.
pub enum Right {
    /// It is equal to this one.
    Equal(Number),
    /// The host's function says so.
    Host,
}

/// What came of the questions.
#[derive(Default)]
struct Collected {
    questions: usize,
    rows: usize,
    samples: usize,
    right: usize,
    too_long: usize,
    pairs: usize,
    prompt_tokens: u64,
    policy_tokens: u64,
}

impl Work for Collect {
    fn perform(mut self: Box<Self>, reporter: &mut Reporter<'_>) -> Result<Finished, Failure> {
        let (start, meter) = (Instant::now(), EnergyMeter::start());
        let is_new = |asked: &Asked| !self.rows.as_ref().is_some_and(|rows| rows.contains(asked.number));
        let questions: Vec<Asked> = std::mem::take(&mut self.questions).into_iter().filter(is_new).collect();
        let (mut collected, total) = (Collected::default(), questions.len() as u64);
        let mut stop_reason = rum_stop_reason::RUM_STOP_FINISHED;
        for (asked, done) in questions.iter().zip(1..) {
            if reporter.cancel.is_cancelled() || !self.question(asked, reporter, &mut collected)? {
                stop_reason = rum_stop_reason::RUM_STOP_CANCELLED;
                break;
            }
            reporter.event(&Event::Progress { what: "questions", done, total });
        }
        let (seconds, joules) = (start.elapsed().as_secs_f64(), meter.joules());
        let Collected { questions, rows, samples, right, too_long, pairs, prompt_tokens, policy_tokens } = collected;
        let report = json!({
            "questions": questions,
            "questions_too_long": too_long,
            "questions_in_file": self.rows.as_ref().map(RowWriter::questions),
            "rows": rows,
            "samples": samples,
            "right": right,
            "pairs": pairs,
            "seconds": seconds,
        });
        let mut finished = Finished {
            text: Text::new(report.to_string()),
            seed: self.params.search.seed,
            stop_reason,
            usage: rum_usage {
                wall_ms: seconds * 1e3,
                joules: joules.joules,
                joules_measured: (joules.source == EnergySource::Measured).into(),
                prompt_tokens,
                policy_tokens,
                complete: 1,
                ..self.governor.passes.usage()
            },
            ..Finished::default()
        };
        self.governor.settle(&mut finished);
        Ok(finished)
    }
}

impl Collect {
    /// Puts one question; whether it came to its end.
    fn question(&mut self, asked: &Asked, reporter: &Reporter<'_>, collected: &mut Collected) -> Result<bool, Failure> {
        let asking;
        let verifier: &dyn Verifier = match (&asked.right, &self.verifier) {
            (Right::Equal(number), _) => number,
            (Right::Host, Some(host)) => {
                asking = Asking { host, question: Text::new(asked.text.as_str()) };
                &asking
            }
            (Right::Host, None) => return Err(Failure::internal("a question without a judgement")),
        };
        let question = Question { number: asked.number, text: &asked.text, prompt: &asked.prompt, verifier };
        let pressure = &self.model.value.weights.budget().pressure;
        let mut engine = Governed::new(&mut *self.motor.engine, &mut self.governor, pressure);
        let words = &self.model.value.tokenizer;
        let (params, recorder) = (&self.params, &mut self.recorder);
        let mut drawn = Drawn::default();
        let block = learn::collect(&mut engine, words, &question, params, recorder, &mut drawn, reporter.cancel);
        if drawn.tokens > 0 {
            collected.prompt_tokens += asked.prompt.len() as u64;
            collected.policy_tokens += drawn.tokens;
        }
        let block = match block {
            Err(error) if error.kind() == ErrorKind::ContextLength => {
                Some(Block { question: asked.number, rows: Vec::new() })
            }
            block => block.map_err(|e| judge_host::failure(e).context(&format!("question {}", asked.number)))?,
        };
        if let Some(host) = &self.verifier {
            host.check()?;
        }
        drop(engine);
        let Some(block) = block else { return Ok(false) };
        // Pairs first: a question counts as done once its steps are written.
        if let Some(pairs) = self.pairs.as_ref().filter(|_| !block.rows.is_empty()) {
            let prompt = Prompt { text: &asked.prompt_text, tokens: &asked.prompt };
            let worth = |_, text: &str| f64::from(u8::from(verifier.accepts(text)));
            let found = learn::pairs(&self.recorder, prompt, &worth, &self.pairing);
            if let Some(host) = &self.verifier {
                host.check()?;
            }
            collected.pairs += pairs.value.extend(found)?;
        }
        if let Some(rows) = &mut self.rows {
            rows.push(&block)?;
        }
        collected.count(&block);
        Ok(true)
    }
}

impl Collected {
    fn count(&mut self, block: &Block) {
        let firsts = || block.rows.chunk_by(|a, b| a.sample == b.sample).filter_map(|rows| rows.first());
        self.questions += 1;
        self.rows += block.rows.len();
        self.too_long += usize::from(block.rows.is_empty());
        self.samples += firsts().count();
        self.right += firsts().filter(|first| first.right).count();
    }
}

/// Tokens that the samples of one question took.
#[derive(Default)]
struct Drawn {
    tokens: u64,
}

impl Observer for Drawn {
    fn event(&mut self, event: &Event<'_>) {
        if let &Event::NodeDone { policy_tokens, .. } = event {
            self.tokens = policy_tokens;
        }
    }
}

/// A function of the host that says whether a solution is right.
pub struct HostVerifier {
    verify: Verify,
    /// The first number that was neither yes nor no.
    refused: AtomicI32,
}

impl HostVerifier {
    pub fn new(verify: Verify) -> Self {
        Self { verify, refused: AtomicI32::new(0) }
    }

    /// An error once it failed.
    fn check(&self) -> Result<(), Failure> {
        match self.refused.load(Ordering::Relaxed) {
            0 => Ok(()),
            said => {
                let message = format!("the host's verifier returned {said}");
                Err(Failure::new(rum_status::RUM_ERR_CALLBACK, message))
            }
        }
    }
}

/// The host's function, asked about one question.
struct Asking<'a> {
    host: &'a HostVerifier,
    question: Text,
}

impl Verifier for Asking<'_> {
    fn name(&self) -> &str {
        "host"
    }

    /// An answer alone is a solution of one line.
    fn is_right(&self, answer: &str) -> bool {
        self.accepts(answer)
    }

    fn accepts(&self, solution: &str) -> bool {
        if self.host.check().is_err() {
            return false;
        }
        match self.host.verify.ask(&self.question, solution) {
            0 => false,
            1 => true,
            said => {
                self.host.refused.store(said, Ordering::Relaxed);
                false
            }
        }
    }
}
