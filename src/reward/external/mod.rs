//! Reward models with an engine of their own, whose KV tree forks in step with the policy's.

mod grove;
mod implicit;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::implicit::ImplicitJudge;

use std::collections::HashMap;
use std::sync::Arc;

use self::grove::{Grove, Reading, Reads};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::Aggregation;
use crate::reward::convention::{Convention, Passage, Place, Reader};
use crate::reward::{Judge, JudgeUsage, NEUTRAL, Step, StepId};
use crate::text::Tokenizer;

/// Values steps by a reward model in an engine of its own.
///
/// Each step's branch forks from its parent's: a text goes through the model once, and all steps of one call go in one
/// forward pass (the prompt goes with the first step's, the others follow it). Under a cap on the engine's KV, the branches
/// used least recently are given back and computed again when they are needed. A step whose path outgrows the model's context has its
/// parent's value, a first one [`NEUTRAL`]: what the model could read decides.
pub struct ExternalJudge<E> {
    grove: Grove<E>,
    writer: Writer,
    values: HashMap<StepId, f32>,
}

/// Writes steps as a convention wants them.
struct Writer {
    tokenizer: Arc<Tokenizer>,
    convention: Box<dyn Convention>,
}

impl Writer {
    /// The step's passage; an error of the reader's row when it is none of it.
    fn passage(&self, step: &Step<'_>) -> Result<Passage> {
        let place = Place { text: step.text, is_first: step.parent == StepId::ROOT, complete: step.complete };
        self.convention.step(&self.tokenizer, &place)
    }

    /// What stands before the first step, in a context of `n_ctx` tokens.
    fn prompt(&self, question: &str, n_ctx: usize) -> Result<Vec<crate::text::TokenId>> {
        let tokens = self.convention.prompt(&self.tokenizer, question)?;
        if tokens.is_empty() {
            return Err(Error::invalid("the question is empty, and nothing stands before it"));
        }
        if tokens.len() >= n_ctx {
            let n = tokens.len();
            let message = format!("the question has {n} tokens for the reward model, whose context holds {n_ctx}");
            return Err(Error::new(ErrorKind::ContextLength, message));
        }
        Ok(tokens)
    }
}

impl<E: Engine> ExternalJudge<E> {
    /// A judge by the model in `engine`, whose tokenizer is given. Errors: [`InvalidArgument`](ErrorKind::InvalidArgument)
    /// when the convention's head was fitted on another model, its tokens are none of the vocabulary, or it takes two models.
    pub fn new(engine: E, tokenizer: Arc<Tokenizer>, convention: Box<dyn Convention>) -> Result<Self> {
        let info = engine.info();
        match convention.reader() {
            Reader::Head(head) => head.check_base(info)?,
            Reader::Pair { positive, negative } => {
                let n_vocab = info.n_vocab;
                if let Some(token) = [positive, negative].into_iter().find(|&&token| token as usize >= n_vocab) {
                    return Err(Error::invalid(format!(
                        "the label {token} is not in the model's vocabulary of {n_vocab}"
                    )));
                }
            }
            Reader::LogRatio { .. } => {
                return Err(Error::invalid("an implicit reward takes two models; use an implicit judge"));
            }
        }
        Ok(Self { grove: Grove::new(engine), writer: Writer { tokenizer, convention }, values: HashMap::new() })
    }

    /// The convention.
    pub fn convention(&self) -> &dyn Convention {
        &*self.writer.convention
    }

    /// The engine, to read its sizes and memory.
    pub fn engine(&self) -> &E {
        self.grove.engine()
    }

    /// Caps the KV of the reward model at `bytes`.
    pub fn set_kv_limit(&mut self, bytes: u64) {
        self.grove.engine_mut().set_kv_limit(bytes);
    }
}

impl<E: Engine> Judge for ExternalJudge<E> {
    fn name(&self) -> &str {
        self.writer.convention.name()
    }

    fn aggregation(&self) -> Aggregation {
        self.writer.convention.aggregation()
    }

    /// Errors: those of the tokenizer, [`ContextLength`](ErrorKind::ContextLength) for a question that leaves a step no room.
    fn begin(&mut self, question: &str) -> Result<()> {
        let prompt = self.writer.prompt(question, self.engine().info().n_ctx)?;
        self.values.clear();
        self.grove.begin(prompt);
        Ok(())
    }

    /// Errors: those of the engine, [`Memory`](ErrorKind::Memory) when a single path outgrows its KV.
    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<Vec<f32>> {
        let (mut asked, mut outgrown) = (Vec::new(), Vec::new());
        for step in steps.iter().filter(|step| !self.values.contains_key(&step.id)) {
            let passage = self.writer.passage(step)?;
            self.grove.insert(step.id, step.parent, passage.tokens, passage.probe)?;
            match self.grove.fits(step.id)? {
                true => asked.push((step.id, Reads::One(passage.read))),
                false => outgrown.push(step),
            }
        }
        let reader = self.writer.convention.reader();
        let values = &mut self.values;
        let mut take = |id: StepId, _: usize, row: &[f32]| {
            values.insert(id, reader.value(row)?);
            Ok(())
        };
        let mut reading = Reading { want: reader.want(), taps: reader.taps(), interrupt, take: &mut take };
        self.grove.pass(&asked, &mut reading)?;
        for step in outgrown {
            let value = self.values.get(&step.parent).copied().unwrap_or(NEUTRAL);
            self.values.insert(step.id, value);
        }
        let value = |step: &Step<'_>| {
            let value = self.values.get(&step.id).copied();
            value.ok_or_else(|| Error::invalid(format!("step {} has no token to be judged at", step.id.0)))
        };
        steps.iter().map(value).collect()
    }

    fn recall(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<()> {
        self.judge(steps, interrupt).map(drop)
    }

    fn release(&mut self, step: StepId) {
        self.values.remove(&step);
        self.grove.release(step);
    }

    fn usage(&self) -> JudgeUsage {
        self.grove.usage()
    }
}
