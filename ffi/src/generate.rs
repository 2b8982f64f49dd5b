//! Plain generation on a session's line, as a run's work.

use std::sync::Arc;
use std::time::Instant;

use ruminate::engine::{Branch, Engine, Lookup, Rows, Sampled, Sampler, Stream, pass_ahead, prefill};
use ruminate::observe::{Event, Interrupt, Observer};
use ruminate::reward::answer;
use ruminate::search::{EnergyMeter, EnergySource};
use ruminate::text::{StreamDecoder, TokenId};
use ruminate::{Error, ErrorKind};

use crate::generation::Generation;
use crate::governor::{Governed, Governor};
use crate::handle::Object;
use crate::judge_host;
use crate::lend::Loan;
use crate::model::Model;
use crate::outcome::{Finished, rum_stop_reason, rum_usage};
use crate::session::{Line, Motor};
use crate::sized::Struct;
use crate::status::Failure;
use crate::text::Text;
use crate::watch::Reporter;
use crate::work::Work;

/// The number of the only node.
const NODE: u64 = 1;
/// A generation and everything that it has the use of.
pub struct Generate {
    pub model: Arc<Object<Model>>,
    pub motor: Loan<Motor>,
    pub line: Loan<Line>,
    pub prompt: Vec<TokenId>,
    pub how: Generation,
    pub governor: Governor,
}

impl Work for Generate {
    fn perform(self: Box<Self>, reporter: &mut Reporter<'_>) -> Result<Finished, Failure> {
        let Self { model, mut motor, mut line, prompt, how, mut governor } = *self;
        let deadline = how.wall.and_then(|wall| Instant::now().checked_add(wall));
        let interrupt = Interrupt { cancel: reporter.cancel.clone(), deadline };
        let pressure = &model.value.weights.budget().pressure;
        let mut engine = Governed::new(&mut *motor.engine, &mut governor, pressure);
        let done = generate(&model.value, &mut engine, &mut line, &prompt, &how, &interrupt, reporter);
        drop(engine);
        let mut finished = done.map_err(judge_host::failure)?;
        let rum_usage { forward_passes, kv_peak_bytes, peak_bytes, .. } = governor.passes.usage();
        finished.usage = rum_usage { forward_passes, kv_peak_bytes, peak_bytes, ..finished.usage };
        governor.settle(&mut finished);
        Ok(finished)
    }
}

/// Generates behind `prompt`. What the line already holds of it is not computed again; afterwards the line holds the prompt and
/// all generated tokens but the last, which was never fed.
fn generate(
    model: &Model,
    engine: &mut Governed<'_>,
    line: &mut Line,
    prompt: &[TokenId],
    how: &Generation,
    interrupt: &Interrupt,
    observer: &mut dyn Observer,
) -> ruminate::Result<Finished> {
    let n_ctx = engine.info().n_ctx;
    if prompt.len() > n_ctx {
        let message = format!("the prompt has {} tokens, the context holds {n_ctx}", prompt.len());
        return Err(Error::new(ErrorKind::ContextLength, message));
    }
    // At least one token has to be computed again for its logits.
    let held = line.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    let shared = held.min(prompt.len().saturating_sub(1));
    let mut branch = match line.branch.take() {
        Some(branch) => branch,
        None => engine.root()?,
    };
    let mut text = Drawn::default();
    let done = engine
        .truncate(&mut branch, shared)
        .and_then(|()| text.draw(model, engine, &mut branch, prompt, how, interrupt, observer));
    line.tokens = prompt.iter().copied().chain(text.tokens.iter().copied()).take(engine.len(&branch)).collect();
    line.branch = Some(branch);
    let (stop_reason, usage) = done?;
    let answer = answer::extract(&text.text).map(|found| Text::new(found.answer.text()));
    let score = (!text.tokens.is_empty()).then(|| (text.logprob / text.tokens.len() as f64).exp());
    Ok(Finished {
        answer,
        text: Text::new(text.text),
        score,
        seed: how.seed,
        stop_reason,
        usage,
        ..Finished::default()
    })
}

/// What was drawn so far.
#[derive(Default)]
struct Drawn {
    tokens: Vec<TokenId>,
    text: String,
    logprob: f64,
}

impl Drawn {
    #[expect(clippy::too_many_arguments, reason = "the parts of a generation belong to different owners")]
    fn draw(
        &mut self,
        model: &Model,
        engine: &mut Governed<'_>,
        branch: &mut Branch,
        prompt: &[TokenId],
        how: &Generation,
        interrupt: &Interrupt,
        observer: &mut dyn Observer,
    ) -> ruminate::Result<(rum_stop_reason, rum_usage)> {
        let (start, meter) = (Instant::now(), EnergyMeter::start());
        let n_ctx = engine.info().n_ctx;
        let mut sampler = Sampler::new(how.sampler.clone())?;
        let numbers = Stream::new(how.seed);
        let (mut decoder, mut rows, mut lookup) = (StreamDecoder::continuing(false), Rows::new(), Lookup::new(prompt));
        let mut usage = rum_usage { prompt_tokens: prompt.len() as u64, complete: 1, ..rum_usage::initial() };
        let mut drawn: Vec<Sampled> = Vec::new();
        let mut stop = rum_stop_reason::RUM_STOP_TOKENS;
        observer.event(&Event::NodeStarted { node: NODE, parent: 0, greedy: how.sampler.temperature == 0.0 });
        let prefilled = prefill(engine, branch, prompt, interrupt, &mut rows, observer);
        let mut is_open = match prefilled {
            Ok(_) => true,
            Err(error) => {
                stop = interrupted(error, interrupt)?;
                false
            }
        };
        let mut next = prompt.get(engine.len(branch)..).unwrap_or_default().to_vec();
        while is_open && self.tokens.len() < how.max_tokens {
            if engine.len(branch) + next.len() > n_ctx {
                stop = rum_stop_reason::RUM_STOP_CONTEXT;
                break;
            }
            let done = self.tokens.len();
            // Every drafted token that is confirmed is followed by one more draw.
            let draft = lookup.propose(how.draft.min(how.max_tokens - done - 1)).to_vec();
            let pass = pass_ahead(engine, branch, &next, &draft, interrupt, &mut rows, &mut |row| {
                let number = numbers.uniform((done + drawn.len()) as u64);
                let sampled = sampler.sample_row(row, lookup.line(), number)?;
                if model.tokenizer.is_eog(sampled.token) {
                    is_open = false;
                    return Ok(None);
                }
                lookup.push(sampled.token);
                drawn.push(sampled);
                Ok(Some(sampled.token))
            });
            if let Err(error) = pass {
                stop = interrupted(error, interrupt)?;
                break;
            }
            next.clear();
            for sampled in drawn.drain(..) {
                self.tokens.push(sampled.token);
                self.logprob += sampled.logprob;
                self.say(decoder.push(&model.tokenizer, sampled.token), observer);
                next = vec![sampled.token];
            }
            if !is_open {
                stop = rum_stop_reason::RUM_STOP_FINISHED;
            }
        }
        self.say(decoder.finish(), observer);
        let joules = meter.joules();
        usage.policy_tokens = self.tokens.len() as u64;
        usage.wall_ms = start.elapsed().as_secs_f64() * 1e3;
        (usage.joules, usage.joules_measured) = (joules.joules, (joules.source == EnergySource::Measured).into());
        self.report(stop, &usage, observer);
        Ok((stop, usage))
    }

    fn say(&mut self, text: &str, observer: &mut dyn Observer) {
        if !text.is_empty() {
            self.text.push_str(text);
            observer.event(&Event::NodeText { node: NODE, text });
        }
    }

    fn report(&self, stop: rum_stop_reason, usage: &rum_usage, observer: &mut dyn Observer) {
        let end = match stop {
            rum_stop_reason::RUM_STOP_FINISHED => "eog",
            rum_stop_reason::RUM_STOP_TOKENS => "length",
            rum_stop_reason::RUM_STOP_CONTEXT => "context",
            _ => "interrupted",
        };
        let found = answer::extract(&self.text);
        observer.event(&Event::NodeDone {
            node: NODE,
            parent: 0,
            text: &self.text,
            tokens: &self.tokens,
            logprob: self.logprob,
            score: None,
            value: (self.logprob / self.tokens.len().max(1) as f64).exp(),
            end,
            answer: found.as_ref().map(|found| found.answer.text()),
            policy_tokens: usage.policy_tokens,
            wall_ms: usage.wall_ms,
        });
    }
}

/// Why the run ends with this error; the error itself where nobody asked for an end.
fn interrupted(error: Error, interrupt: &Interrupt) -> ruminate::Result<rum_stop_reason> {
    match (error.kind(), interrupt.cancel.is_cancelled()) {
        (ErrorKind::Cancelled, true) => Ok(rum_stop_reason::RUM_STOP_CANCELLED),
        (ErrorKind::Cancelled, false) => Ok(rum_stop_reason::RUM_STOP_DEADLINE),
        _ => Err(error),
    }
}
