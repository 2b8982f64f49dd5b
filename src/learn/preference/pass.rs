//! What a step computes: passes up and down over examples, and what they come to.

use std::ops::Range;

use super::measured::Totals;
use super::trainer::{Trainer, check_examples};
use super::{Example, Feedback, Loss, Measured, Scored};
use crate::error::{Error, ErrorKind, Result};
use crate::learn::backprop::{Buffer, Forest, Logprobs};
use crate::model::Adapter;
use crate::observe::Interrupt;

impl Trainer<'_> {
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
        let above = self.trunk.forward(forest, below, self.lowest..n_layer, Some(self.adapter()), interrupt)?;
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

    /// Measures these examples and adds the gradient of the sum of their losses to `grads`.
    pub(super) fn pass_over(
        &mut self,
        batch: &[usize],
        grads: &mut Adapter,
        interrupt: &Interrupt,
    ) -> Result<Measured> {
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
        let tape = self.trunk.forward_taped(&forest, x, self.lowest, self.adapter(), interrupt)?;
        let policy = tape.logprobs();
        total.tokens += forest.n_rows();
        let mut judged = Vec::new();
        for (&i, sequences) in these.iter().zip(&sequences) {
            judged.push((nth(&self.examples, i)?, scored(policy, &reference, sequences.clone())));
        }
        let weights: Vec<f64> = self.judge(&judged, kl, total).into_iter().flatten().collect();
        self.trunk.backward(&forest, tape, &weights, self.adapter(), grads, interrupt)
    }

    /// The states before the lowest trained layer, from the last time where they were kept.
    fn below(&mut self, these: &[usize], forest: &Forest, interrupt: &Interrupt) -> Result<Buffer> {
        if self.lowest == 0 {
            return self.trunk.embed(forest);
        }
        let kept: Option<Vec<&[f32]>> = these.iter().map(|&i| self.boundaries.get(i)?.as_deref()).collect();
        if let Some(kept) = kept {
            return Ok(self.trunk.buffers().concat(&kept));
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
                *place = Some(self.trunk.buffers().copy(states));
            }
            row += rows;
        }
        Ok(x)
    }

    /// Log-probabilities of all sequences of the forest under the base.
    fn references_of(
        &mut self,
        these: &[usize],
        sequences: &[Range<usize>],
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
        let x = self.trunk.forward(forest, self.trunk.buffers().copy(below), self.lowest..n_layer, None, interrupt)?;
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

fn scored(policy: &Logprobs, reference: &[f64], sequences: Range<usize>) -> Vec<Scored> {
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
