//! Steps that somebody else wrote and labelled, as a tree of solutions of one question.

use super::recorder::Recorded;
use super::rows::{Block, Label, Row};
use crate::engine::{Batch, Branch, Engine, Rows, Tap, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::{Draw, Features, StepId};
use crate::text::{TokenId, Tokenizer};

/// Tokens of one pass: between passes it can be cancelled, and each token of a step takes a row of logits.
const PASS_TOKENS: usize = 64;
/// Steps of one question, at most.
const MOST_STEPS: usize = 1 << 16;

/// One step of a solution.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledStep {
    /// The step that it goes on from, by its place among the question's steps; `None` for the prompt.
    pub parent: Option<usize>,
    /// Its text, without what separates it from the next step.
    pub text: String,
    /// How right it is, from 0 for an error to 1; `None` for a step that others go on from and nobody has rated.
    pub value: Option<f32>,
    /// Whether the solution ends with it.
    pub complete: bool,
}

/// A step as the model reads it.
struct Written<'a> {
    step: &'a LabelledStep,
    tokens: Vec<TokenId>,
    /// Which solution it is counted to: its parent's, if no step before it goes on from the same parent.
    sample: usize,
    /// Steps before it in its solution.
    depth: usize,
    /// Steps that go on from it.
    children: usize,
}

/// The rows that the engine's model makes of these steps: as if it had drawn them itself behind `prompt`, each with its label.
///
/// A step's tokens are those of its text and of `separator`, or of the end of the turn behind the last one. Errors:
/// [`Format`](ErrorKind::Format) for steps before those that they go on from, without text or with a label out of range;
/// [`ContextLength`](ErrorKind::ContextLength), [`Cancelled`](ErrorKind::Cancelled) and others of the engine's, which gets all
/// branches back.
pub fn read_steps<E: Engine + ?Sized>(
    engine: &mut E,
    tokenizer: &Tokenizer,
    (question, prompt): (u64, &[TokenId]),
    (steps, separator): (&[LabelledStep], &str),
    taps: &[Tap],
    interrupt: &Interrupt,
) -> Result<Block> {
    let written = write(steps, separator, tokenizer)?;
    let mut branches: Vec<Option<Branch>> = Vec::new();
    let mut reader = Reader { engine: &mut *engine, taps, interrupt, rows: Rows::new() };
    let rows = reader.read(prompt, &written, &mut branches);
    branches.into_iter().flatten().for_each(|branch| engine.release(branch));
    Ok(Block { question, rows: rows? })
}

/// All steps in tokens, with their places in their solutions.
fn write<'a>(steps: &'a [LabelledStep], separator: &str, tokenizer: &Tokenizer) -> Result<Vec<Written<'a>>> {
    if steps.len() > MOST_STEPS {
        return Err(Error::format(format!("{} steps of one question are more than {MOST_STEPS}", steps.len())));
    }
    let end = tokenizer.eot().or(tokenizer.eos());
    let (mut written, mut samples, mut begun) = (Vec::<Written<'a>>::new(), 0, false);
    for (i, step) in steps.iter().enumerate() {
        let wrong = |what: &str| Err(Error::format(format!("step {}: {what}", i + 1)));
        if step.text.trim().is_empty() {
            return wrong("it has no text");
        }
        if step.value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return wrong("its label is not from 0 to 1");
        }
        let mut tokens = tokenizer.encode_more(&step.text, false)?;
        match end {
            Some(end) if step.complete => tokens.push(end),
            _ => tokens.extend(tokenizer.encode_more(separator, false)?),
        }
        let mut first = |is_first: bool, sample: usize| {
            if is_first {
                return sample;
            }
            samples += 1;
            samples
        };
        let (sample, depth) = match step.parent {
            None => (first(!std::mem::replace(&mut begun, true), 0), 0),
            Some(parent) => {
                let Some(above) = written.get_mut(parent) else {
                    return wrong("it stands before what it goes on from");
                };
                above.children += 1;
                (first(above.children == 1, above.sample), above.depth + 1)
            }
        };
        written.push(Written { step, tokens, sample, depth, children: 0 });
    }
    Ok(written)
}

struct Reader<'a, E: ?Sized> {
    engine: &'a mut E,
    taps: &'a [Tap],
    interrupt: &'a Interrupt,
    rows: Rows,
}

impl<E: Engine + ?Sized> Reader<'_, E> {
    /// The rows of all steps; `branches` are those that still hold tokens, the prompt's first.
    fn read(
        &mut self,
        prompt: &[TokenId],
        written: &[Written<'_>],
        branches: &mut Vec<Option<Branch>>,
    ) -> Result<Vec<Row>> {
        let (last, before) = prompt.split_last().ok_or_else(|| Error::invalid("the prompt is empty"))?;
        let root = self.engine.root()?;
        for part in before.chunks(PASS_TOKENS) {
            let mut batch = Batch::new(self.interrupt);
            batch.extend(&root, part, Want::None);
            if let Err(error) = self.engine.forward(&batch, &mut self.rows) {
                branches.push(Some(root));
                return Err(error);
            }
        }
        branches.push(Some(root));
        let mut left: Vec<usize> = written.iter().map(|step| step.children).collect();
        let mut rows = Vec::new();
        for step in written {
            let parent = step.step.parent.and_then(|parent| Some((parent, written.get(parent)?)));
            // A branch lacks its last token, which is computed with what follows it.
            let before = parent.and_then(|(_, above)| above.tokens.last()).unwrap_or(last);
            let place = parent.map_or(0, |(parent, _)| parent + 1);
            let from = branches.get(place).and_then(Option::as_ref);
            let from =
                from.ok_or_else(|| Error::new(ErrorKind::Internal, "a step's branch was given back too early"))?;
            let branch = self.engine.fork(from)?;
            let read = self.step(&branch, *before, step);
            branches.push(Some(branch));
            let recorded = read?;
            if let Some(value) = step.step.value {
                rows.push(Row::new(step.sample, step.depth, Label::soft(f64::from(value)), &recorded));
            }
            if step.children == 0 {
                let last = branches.len() - 1;
                self.release(branches, last);
            }
            if let Some((parent, _)) = parent
                && let Some(left) = left.get_mut(parent)
            {
                *left -= 1;
                if *left == 0 {
                    self.release(branches, place);
                }
            }
        }
        rows.sort_by_key(|row| (row.sample, row.step));
        Ok(rows)
    }

    fn release(&mut self, branches: &mut [Option<Branch>], place: usize) {
        if let Some(branch) = branches.get_mut(place).and_then(Option::take) {
            self.engine.release(branch);
        }
    }

    /// Appends a step behind the token `before`: all of its tokens but the last one, each computed by the row that would have drawn
    /// the next.
    fn step(&mut self, branch: &Branch, before: TokenId, step: &Written<'_>) -> Result<Recorded> {
        let (mut features, mut draws) = (Features::default(), Vec::new());
        let mut next = before;
        for part in step.tokens.chunks(PASS_TOKENS) {
            self.interrupt.check()?;
            let mut batch = Batch::new(self.interrupt).with_taps(self.taps);
            for token in std::iter::once(&next).chain(part).take(part.len()) {
                batch.push(branch, *token, Want::Both);
            }
            self.engine.forward(&batch, &mut self.rows)?;
            for (i, &token) in part.iter().enumerate() {
                let row = self.rows.logits(i).zip(self.rows.hidden(i));
                let (logits, hidden) = row.ok_or_else(|| Error::new(ErrorKind::Internal, "a pass gave no rows"))?;
                features.push(hidden);
                draws.push(Draw { logprob: logprob(logits, token), entropy: f32::NAN, confidence: f32::NAN });
            }
            next = part.last().copied().unwrap_or(next);
        }
        let &Written { step: LabelledStep { text, complete, .. }, ref tokens, .. } = step;
        let (text, tokens, complete) = (text.clone(), tokens.clone(), *complete);
        Ok(Recorded { parent: StepId::ROOT, text, tokens, draws, features, complete })
    }
}

/// The natural logarithm of a token's probability.
fn logprob(logits: &[f32], token: TokenId) -> f32 {
    let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - peak).exp()).sum();
    let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    (f64::from(logit - peak) - total.ln()) as f32
}
