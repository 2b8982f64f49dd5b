//! The training loop: one step at a time, so that whoever runs it can stop, save and go on.

use std::any::Any;
use std::time::Instant;

use super::adamw::{self, AdamW, Hyperparams};
use super::{Example, Feedback, Loss, StepReport, TrainParams};
use crate::engine::Stream;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::learn::backprop::{Buffer, Trunk};
use crate::model::{Adapter, Model};
use crate::observe::Interrupt;
use crate::simd::Isa;

/// Trains an adapter on examples.
pub struct Trainer<'a> {
    pub(super) params: TrainParams,
    pub(super) model: &'a Model,
    pub(super) trunk: Trunk<'a>,
    pub(super) examples: Vec<Example>,
    pub(super) adamw: AdamW,
    /// Where a step makes the next one, so that a step that fails has changed nothing.
    next: AdamW,
    /// Log-probabilities under the base, one for each completion, once they were needed.
    pub(super) references: Vec<Option<Vec<f64>>>,
    /// States below the lowest trained layer, `[row][n_embd]`, as far as they are kept.
    pub(super) boundaries: Vec<Option<Buffer>>,
    /// Bytes left for more of them.
    pub(super) boundary_bytes: usize,
    /// The lowest layer with factors; nothing below it changes.
    pub(super) lowest: usize,
    /// Names the adapter that the run began with; empty for one that the parameters decide.
    pub(super) first_digest: String,
}

impl<'a> Trainer<'a> {
    /// A trainer with a first adapter, or with `adapter` to go on from. Examples longer than the parameters allow are left out.
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for parameters or examples that cannot be trained on.
    pub fn new(
        model: &'a Model,
        team: &'a Team,
        isa: Isa,
        n_ctx: usize,
        params: TrainParams,
        examples: Vec<Example>,
        adapter: Option<Adapter>,
    ) -> Result<Self> {
        params.validate()?;
        let examples = fitting(examples, &params, n_ctx);
        if examples.is_empty() {
            return Err(Error::invalid("there is no example to train on; those longer than the cap are left out"));
        }
        check_examples(&examples, params.loss)?;
        let mut first_digest = String::new();
        let mut adapter = match adapter {
            Some(adapter) => {
                adapter.check_base(model)?;
                first_digest = adapter.digest();
                adapter
            }
            None => params.first_adapter(model.config(), team)?,
        };
        model.fingerprint().clone_into(&mut adapter.base_fingerprint);
        let n = examples.len();
        let lowest = adapter.iter().map(|(layer, _, _)| layer).min().unwrap_or(model.config().n_layer);
        let (next, adamw) = (AdamW::new(adapter.zeros_like()), AdamW::new(adapter));
        Ok(Self {
            trunk: Trunk::new(model, team, isa, n_ctx, params.keep_bytes / 2),
            next,
            adamw,
            references: vec![None; n],
            boundaries: vec![None; n],
            boundary_bytes: params.keep_bytes / 2,
            lowest,
            first_digest,
            examples,
            model,
            params,
        })
    }

    /// The adapter as it is.
    pub fn adapter(&self) -> &Adapter {
        &self.adamw.adapter
    }

    /// The adapter, and what steps worked in: hundreds of megabytes, which take tens of milliseconds to give back to the system and
    /// are to be dropped when nobody waits.
    pub fn finish(self) -> (Adapter, Box<dyn Any + Send>) {
        let Self { adamw, next, trunk, boundaries, .. } = self;
        let AdamW { adapter, mean, square, .. } = adamw;
        (adapter, Box::new((mean, square, next, boundaries, trunk.into_buffers())))
    }

    /// Examples that are trained on.
    pub fn n_examples(&self) -> usize {
        self.examples.len()
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.adamw.steps
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.examples.len().div_ceil(self.params.batch).saturating_mul(self.params.epochs) as u64
    }

    /// The next step; `None` when all are done. On an error, an interruption included, nothing has changed.
    pub fn step(&mut self, interrupt: &Interrupt) -> Result<Option<StepReport>> {
        let (step, steps) = (self.adamw.steps, self.steps());
        if step >= steps {
            return Ok(None);
        }
        let start = Instant::now();
        let batch = self.batch_of(step);
        let mut grads = self.adamw.adapter.zeros_like();
        let measured = self.pass_over(&batch, &mut grads, interrupt)?;
        let factor = 1.0 / batch.len() as f64;
        let grad_norm = adamw::norm(&grads) * factor;
        if !grad_norm.is_finite() {
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!("the gradient of step {} is NaN or infinite", step + 1),
            ));
        }
        let cut = (self.params.max_grad_norm / grad_norm.max(f64::MIN_POSITIVE)).min(1.0);
        let lr = self.params.lr_at(step, steps);
        let hyperparams = Hyperparams { factor: factor * cut, lr, weight_decay: self.params.weight_decay };
        self.adamw.step(&grads, &hyperparams, &mut self.next, interrupt)?;
        // A run that diverges keeps its last sound adapter.
        self.next.adapter.validate()?;
        std::mem::swap(&mut self.adamw, &mut self.next);
        let seconds = start.elapsed().as_secs_f64();
        Ok(Some(StepReport { step: step + 1, steps, measured, grad_norm, lr, seconds }))
    }

    /// The examples of a step: every pass over all of them has an order of its own.
    fn batch_of(&self, step: u64) -> Vec<usize> {
        let n = self.examples.len();
        let per_epoch = n.div_ceil(self.params.batch) as u64;
        let stream = Stream::new(self.params.seed).child(1 + step / per_epoch);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&i| (stream.bits(i as u64), i));
        let first = (step % per_epoch) as usize * self.params.batch;
        order.into_iter().skip(first).take(self.params.batch).collect()
    }
}

/// The examples that are trained on. KTO also reads a prompt with the completion of another one, the longest of which has to fit.
fn fitting(mut examples: Vec<Example>, params: &TrainParams, n_ctx: usize) -> Vec<Example> {
    let fits = |example: &Example, completion: usize| example.prompt.len() + completion <= n_ctx;
    examples.retain(|example| example.n_tokens() <= params.max_tokens && fits(example, example.longest()));
    if params.loss.takes_singles() {
        let longest = examples.iter().map(Example::longest).max().unwrap_or(0);
        examples.retain(|example| fits(example, longest));
    }
    examples
}

pub(super) fn check_examples(examples: &[Example], loss: Loss) -> Result<()> {
    for (i, example) in examples.iter().enumerate() {
        let (single, n) = (matches!(example.feedback, Feedback::Single(_)), example.completions.len());
        if single != loss.takes_singles() || n != if single { 1 } else { 2 } {
            let wants = if loss.takes_singles() { "single completions" } else { "pairs" };
            return Err(Error::invalid(format!("example {i}: the loss {} takes {wants}", loss.name())));
        }
    }
    let alike = examples.windows(2).all(|pair| matches!(pair, [a, b] if a.prompt == b.prompt));
    if loss.takes_singles() && alike && !examples.is_empty() {
        return Err(Error::invalid(
            "kto compares with completions of other prompts, and all examples have the same one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_that_is_too_long_costs_no_other_its_place() {
        let example = |prompt: usize, completion: usize| Example {
            prompt: vec![1; prompt],
            completions: vec![vec![2; completion]],
            feedback: Feedback::Single(true),
        };
        let kept = |lens: &[(usize, usize)], max_tokens: usize| -> Vec<usize> {
            let params = TrainParams { loss: Loss::by_name("kto").unwrap(), max_tokens, ..TrainParams::default() };
            let examples = lens.iter().map(|&(prompt, completion)| example(prompt, completion)).collect();
            fitting(examples, &params, 100).iter().map(|example| example.prompt.len()).collect()
        };
        assert_eq!(kept(&[(10, 20), (20, 30), (5, 99), (6, 900)], 1024), [10, 20]);
        assert_eq!(kept(&[(10, 20), (20, 30), (5, 90)], 50), [10, 20]);
        // Its own completion fits behind it, and that of another one does not.
        assert_eq!(kept(&[(10, 20), (80, 10), (20, 30)], 1024), [10, 20]);
    }
}
