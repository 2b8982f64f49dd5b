//! The training loop: one step at a time, so that whoever runs it can stop, save and go on.

use std::time::Instant;

use super::adamw::{self, AdamW};
use super::measured::Totals;
use super::{Example, Feedback, Loss, Measured, Scored, StepReport, TrainParams};
use crate::engine::Stream;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::learn::backprop::{Forest, Logprobs, Trunk};
use crate::model::{Adapter, Model};
use crate::observe::Interrupt;
use crate::simd::Isa;

/// Trains an adapter on examples.
pub struct Trainer<'a> {
    pub(super) params: TrainParams,
    pub(super) model: &'a Model,
    trunk: Trunk<'a>,
    examples: Vec<Example>,
    pub(super) adapter: Adapter,
    pub(super) adamw: AdamW,
    /// Log-probabilities under the base, one for each completion, once they were needed.
    references: Vec<Option<Vec<f64>>>,
    /// States below the lowest trained layer, `[row][n_embd]`, as far as they are kept.
    boundaries: Vec<Option<Vec<f32>>>,
    /// Bytes left for more of them.
    boundary_bytes: usize,
    /// The lowest layer with factors; nothing below it changes.
    lowest: usize,
    /// Names the adapter that the run began with.
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
        let mut examples = examples;
        let other = if params.loss.takes_singles() { longest(&examples) } else { 0 };
        let fits = |example: &Example| example.prompt.len() + example.longest().max(other) <= n_ctx;
        examples.retain(|example| example.n_tokens() <= params.max_tokens && fits(example));
        if examples.is_empty() {
            return Err(Error::invalid("there is no example to train on; those longer than the cap are left out"));
        }
        check_examples(&examples, params.loss)?;
        let mut adapter = match adapter {
            Some(adapter) => adapter,
            None => params.first_adapter(model.config())?,
        };
        adapter.check_base(model)?;
        model.fingerprint().clone_into(&mut adapter.base_fingerprint);
        let n = examples.len();
        Ok(Self {
            trunk: Trunk::new(model, team, isa, n_ctx, params.keep_bytes / 2),
            adamw: AdamW::new(&adapter),
            references: vec![None; n],
            boundaries: vec![None; n],
            boundary_bytes: params.keep_bytes / 2,
            lowest: adapter.iter().map(|(layer, _, _)| layer).min().unwrap_or(model.config().n_layer),
            first_digest: adapter.digest(),
            adapter,
            examples,
            model,
            params,
        })
    }

    /// The adapter as it is.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
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
        let mut grads = self.adapter.zeros_like();
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
        let (mut adapter, mut adamw) = (self.adapter.clone(), self.adamw.clone());
        adamw.step(&mut adapter, &grads, factor * cut, lr, self.params.weight_decay);
        // A run that diverges keeps its last sound adapter.
        adapter.validate()?;
        (self.adapter, self.adamw) = (adapter, adamw);
        let seconds = start.elapsed().as_secs_f64();
        Ok(Some(StepReport { step: step + 1, steps, measured, grad_norm, lr, seconds }))
    }

    /// Loss and rewards on other examples, under the adapter as it is. Singles share a reference point in batches, as in a step.
    pub fn measure(&self, examples: &[Example], interrupt: &Interrupt) -> Result<Measured> {
        check_examples(examples, self.params.loss)?;
        let mut total = Totals::default();
        for batch in 0..examples.len().div_ceil(self.params.batch) {
            let batch: Vec<usize> = (batch * self.params.batch..examples.len()).take(self.params.batch).collect();
            let kl = self.reference_point(examples, &batch, &mut total, interrupt)?;
            for &i in &batch {
                let example = nth(examples, i)?;
                let mut forest = Forest::default();
                let sequences = forest.add(&example.prompt, &example.slices())?;
                let scored = self.score(&forest, &mut total, interrupt)?;
                let scored = scored.get(sequences).unwrap_or_default().to_vec();
                self.judge(&[(example, scored)], kl, &mut total);
            }
        }
        Ok(total.mean())
    }

    /// What the sequences of a forest score under the base and under the adapter as it is.
    fn score(&self, forest: &Forest, total: &mut Totals, interrupt: &Interrupt) -> Result<Vec<Scored>> {
        let n_layer = self.model.config().n_layer;
        let below = self.trunk.forward(forest, self.trunk.embed(forest)?, 0..self.lowest, None, interrupt)?;
        let reference = self.reference_of(forest, &below, interrupt)?;
        let above = self.trunk.forward(forest, below, self.lowest..n_layer, Some(&self.adapter), interrupt)?;
        total.tokens += forest.n_rows();
        Ok(scored(&self.trunk.logprobs(forest, &above, interrupt)?, &reference, 0..forest.n_sequences()))
    }

    /// KTO's reference point for these examples: how far the adapted model is from the base on completions that belong to other
    /// prompts, times beta, at least 0. Nothing flows back through it, so that it takes passes of its own; a loss over pairs has none.
    fn reference_point(
        &self,
        examples: &[Example],
        batch: &[usize],
        total: &mut Totals,
        interrupt: &Interrupt,
    ) -> Result<f64> {
        if !self.params.loss.takes_singles() {
            return Ok(0.0);
        }
        let mismatched = batch.iter().map(|&i| with_mismatch(examples, i)).collect::<Result<Vec<_>>>()?;
        let rows = |(example, other): &(&Example, &Example)| example.prompt.len() + other.longest();
        let (mut rest, mut sum) = (mismatched.as_slice(), 0.0);
        while !rest.is_empty() {
            let (these, later) = rest.split_at(self.fit_together(rest.iter().map(rows)));
            rest = later;
            let mut forest = Forest::default();
            for (example, other) in these {
                forest.add(&example.prompt, &other.slices())?;
            }
            let scored = self.score(&forest, total, interrupt)?;
            sum += scored.iter().map(|s| s.logprob - s.reference).sum::<f64>();
        }
        Ok((self.params.beta * sum / batch.len().max(1) as f64).max(0.0))
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

    /// Measures these examples and adds the gradient of the sum of their losses to `grads`.
    fn pass_over(&mut self, batch: &[usize], grads: &mut Adapter, interrupt: &Interrupt) -> Result<Measured> {
        let mut total = Totals::default();
        let kl = self.reference_point(&self.examples, batch, &mut total, interrupt)?;
        let mut rest = batch;
        while !rest.is_empty() {
            let rows = rest.iter().map(|&i| self.examples.get(i).map_or(0, Example::n_tokens));
            let (these, later) = rest.split_at(self.fit_together(rows));
            rest = later;
            self.pass(these, kl, grads, &mut total, interrupt)?;
        }
        Ok(total.mean())
    }

    /// How many examples of so many rows one pass takes, from the first on.
    fn fit_together(&self, rows: impl Iterator<Item = usize>) -> usize {
        let sums = rows.scan(0, |sum, rows| {
            *sum += rows;
            Some(*sum)
        });
        sums.take_while(|&sum| sum <= self.params.micro_batch_tokens).count().max(1)
    }

    fn pass(
        &mut self,
        these: &[usize],
        kl: f64,
        grads: &mut Adapter,
        total: &mut Totals,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let mut forest = Forest::default();
        let mut sequences = Vec::new();
        for &i in these {
            let example = nth(&self.examples, i)?;
            sequences.push(forest.add(&example.prompt, &example.slices())?);
        }
        let x = self.below(these, &forest, interrupt)?;
        let reference = self.references_of(these, &sequences, &forest, &x, interrupt)?;
        let tape = self.trunk.forward_taped(&forest, x, self.lowest, &self.adapter, interrupt)?;
        let policy = tape.logprobs();
        total.tokens += forest.n_rows();
        let mut judged = Vec::new();
        for (&i, sequences) in these.iter().zip(&sequences) {
            judged.push((nth(&self.examples, i)?, scored(policy, &reference, sequences.clone())));
        }
        let weights: Vec<f64> = self.judge(&judged, kl, total).into_iter().flatten().collect();
        self.trunk.backward(&forest, tape, &weights, &self.adapter, grads, interrupt)
    }

    /// The states before the lowest trained layer, from the last time where they were kept.
    fn below(&mut self, these: &[usize], forest: &Forest, interrupt: &Interrupt) -> Result<Vec<f32>> {
        if self.lowest == 0 {
            return self.trunk.embed(forest);
        }
        let kept: Option<Vec<&Vec<f32>>> = these.iter().map(|&i| self.boundaries.get(i)?.as_ref()).collect();
        if let Some(kept) = kept {
            return Ok(kept.into_iter().flatten().copied().collect());
        }
        let x = self.trunk.forward(forest, self.trunk.embed(forest)?, 0..self.lowest, None, interrupt)?;
        let n_embd = self.model.config().n_embd;
        let mut row = 0;
        for &i in these {
            let example = nth(&self.examples, i)?;
            let rows = Forest::rows_of(&example.prompt, &example.slices());
            let bytes = rows * n_embd * size_of::<f32>();
            let states = x.get(row * n_embd..(row + rows) * n_embd);
            if let (Some(place @ None), Some(states), true) =
                (self.boundaries.get_mut(i), states, bytes <= self.boundary_bytes)
            {
                self.boundary_bytes -= bytes;
                *place = Some(states.to_vec());
            }
            row += rows;
        }
        Ok(x)
    }

    /// Log-probabilities of all sequences of the forest under the base.
    fn references_of(
        &mut self,
        these: &[usize],
        sequences: &[std::ops::Range<usize>],
        forest: &Forest,
        below: &[f32],
        interrupt: &Interrupt,
    ) -> Result<Vec<f64>> {
        let known: Option<Vec<&Vec<f64>>> = these.iter().map(|&i| self.references.get(i)?.as_ref()).collect();
        if let Some(known) = known {
            return Ok(known.into_iter().flatten().copied().collect());
        }
        let reference = self.reference_of(forest, below, interrupt)?;
        for (&i, sequences) in these.iter().zip(sequences) {
            if let (Some(place), Some(mine)) = (self.references.get_mut(i), reference.get(sequences.clone())) {
                *place = Some(mine.to_vec());
            }
        }
        Ok(reference)
    }

    fn reference_of(&self, forest: &Forest, below: &[f32], interrupt: &Interrupt) -> Result<Vec<f64>> {
        if !self.params.loss.has_reference() {
            return Ok(vec![0.0; forest.n_sequences()]);
        }
        let n_layer = self.model.config().n_layer;
        let x = self.trunk.forward(forest, below.to_vec(), self.lowest..n_layer, None, interrupt)?;
        Ok(self.trunk.logprobs(forest, &x, interrupt)?.sequences)
    }

    /// The gradients at every example's log-probabilities, singles held against the reference point `kl`; what they come to is added
    /// to `total`.
    fn judge(&self, examples: &[(&Example, Vec<Scored>)], kl: f64, total: &mut Totals) -> Vec<Vec<f64>> {
        let (loss, beta) = (self.params.loss, self.params.beta);
        let mut grads = Vec::new();
        for (example, scored) in examples {
            match (example.feedback, scored.as_slice()) {
                (Feedback::Pair(smoothing), &[chosen, rejected]) => {
                    let loss = match (loss, smoothing) {
                        (Loss::Dpo { .. }, Some(label_smoothing)) => Loss::Dpo { label_smoothing },
                        _ => loss,
                    };
                    let pair = loss.of(beta, chosen, rejected).with_sft(self.params.sft, chosen);
                    total.add_pair(&pair, chosen, rejected);
                    grads.push(pair.grads.to_vec());
                }
                (Feedback::Single(good), &[own]) => {
                    let single = loss.of_single(beta, own, good, kl);
                    total.add_single(&single, own, good);
                    grads.push(vec![single.grad]);
                }
                _ => grads.push(vec![0.0; scored.len()]),
            }
        }
        grads
    }
}

fn scored(policy: &Logprobs, reference: &[f64], sequences: std::ops::Range<usize>) -> Vec<Scored> {
    let policy = policy.sequences.iter().zip(&policy.lengths);
    let all = policy.zip(reference).map(|((&logprob, &tokens), &reference)| Scored { logprob, reference, tokens });
    all.skip(sequences.start).take(sequences.len()).collect()
}

/// An example, and the next one with another prompt: its completion stands for a text that does not belong to the first's.
fn with_mismatch(examples: &[Example], i: usize) -> Result<(&Example, &Example)> {
    let example = nth(examples, i)?;
    let others = examples.iter().cycle().skip(i + 1).take(examples.len());
    let other = others.into_iter().find(|other| other.prompt != example.prompt);
    Ok((example, other.unwrap_or(example)))
}

fn nth(examples: &[Example], i: usize) -> Result<&Example> {
    examples.get(i).ok_or_else(|| Error::new(ErrorKind::Internal, format!("there is no example {i}")))
}

/// Tokens of the longest completion.
fn longest(examples: &[Example]) -> usize {
    examples.iter().map(Example::longest).max().unwrap_or(0)
}

fn check_examples(examples: &[Example], loss: Loss) -> Result<()> {
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
