//! [`ImplicitJudge`]: the log-ratio of two models as a reward.

use std::collections::HashMap;
use std::sync::Arc;

use super::Writer;
use super::grove::{Grove, Reading, Reads};
use crate::engine::{Engine, Tap, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::Aggregation;
use crate::reward::convention::{Convention, Passage, Reader, RewardMode};
use crate::reward::{Judge, JudgeUsage, Step, StepId};
use crate::text::{TokenId, Tokenizer};

/// Values steps by `log π(step) - log π_ref(step)`, both models forking in step with the search.
///
/// A step's first token is predicted by its parent's last row, which is kept for every step that is not released:
/// `4 · n_vocab` bytes a step and model, counted with the KV. A step whose path outgrows the context of one of the models has its
/// parent's reward, a first one none.
pub struct ImplicitJudge<E> {
    policy: Side<E>,
    reference: Side<E>,
    pub(super) writer: Writer,
    beta: f64,
    mode: RewardMode,
    /// The sum of log-ratios of a step's own tokens, and of its path's.
    ratios: HashMap<StepId, (f64, f64)>,
}

/// One of the two models.
struct Side<E> {
    grove: Grove<E>,
    /// Sums of log-probabilities: of each step's own tokens, and of those behind them, which count to the next step.
    sums: HashMap<StepId, (f64, f64)>,
    /// The last row of each step.
    last: HashMap<StepId, Vec<f32>>,
}

/// A step to be computed.
struct Asked {
    id: StepId,
    parent: Option<StepId>,
    tokens: Vec<TokenId>,
    /// The last token that is its own.
    read: usize,
}

impl<E: Engine> ImplicitJudge<E> {
    /// A judge by the trained model and the one that it was trained from: same tokenizer, same vocabulary. Errors:
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for vocabularies of different sizes or a convention of another kind.
    pub fn new(policy: E, reference: E, tokenizer: Arc<Tokenizer>, convention: Box<dyn Convention>) -> Result<Self> {
        let &Reader::LogRatio { beta, mode } = convention.reader() else {
            let name = convention.name();
            return Err(Error::invalid(format!("{name} is no implicit reward; use an external judge")));
        };
        let sizes = [policy.info().n_vocab, reference.info().n_vocab];
        if sizes[0] != sizes[1] || sizes[0] < tokenizer.vocab_len() {
            let n = tokenizer.vocab_len();
            return Err(Error::invalid(format!(
                "vocabularies of {sizes:?} tokens, and a tokenizer of {n}, do not match"
            )));
        }
        let [policy, reference] = [policy, reference].map(|engine| Side {
            grove: Grove::new(engine),
            sums: HashMap::new(),
            last: HashMap::new(),
        });
        let writer = Writer { tokenizer, convention };
        Ok(Self { policy, reference, writer, beta: f64::from(beta), mode, ratios: HashMap::new() })
    }

    /// The reward of a judged step, before it becomes a value between 0 and 1; `None` for an unknown one.
    pub fn reward(&self, step: StepId) -> Option<f64> {
        let &(own, path) = self.ratios.get(&step)?;
        Some(match self.mode {
            RewardMode::Single => self.beta * own,
            RewardMode::Accumulative => self.beta * path,
        })
    }

    /// Caps the KV of each of the two models at `bytes`.
    pub fn set_kv_limit(&mut self, bytes: u64) {
        self.policy.grove.engine_mut().set_kv_limit(bytes);
        self.reference.grove.engine_mut().set_kv_limit(bytes);
    }
}

impl<E: Engine> Judge for ImplicitJudge<E> {
    fn name(&self) -> &str {
        self.writer.convention.name()
    }

    fn aggregation(&self) -> Aggregation {
        self.writer.convention.aggregation()
    }

    fn begin(&mut self, question: &str) -> Result<()> {
        let n_ctx = [&self.policy, &self.reference].map(|side| side.grove.engine().info().n_ctx);
        let prompt = self.writer.prompt(question, n_ctx[0].min(n_ctx[1]))?;
        self.ratios.clear();
        for side in [&mut self.policy, &mut self.reference] {
            side.sums.clear();
            side.last.clear();
            side.grove.begin(prompt.clone());
        }
        Ok(())
    }

    /// Errors as [`ExternalJudge::judge`](super::ExternalJudge).
    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<Vec<f32>> {
        let (mut asked, mut outgrown) = (Vec::new(), Vec::new());
        for step in steps.iter().filter(|step| !self.ratios.contains_key(&step.id)) {
            let Passage { tokens, read, .. } = self.writer.passage(step)?;
            let mut fits = true;
            for side in [&mut self.policy, &mut self.reference] {
                side.grove.insert(step.id, step.parent, tokens.clone(), Vec::new())?;
                fits &= side.grove.fits(step.id)?;
            }
            match fits {
                true => asked.push(Asked { id: step.id, parent: Some(step.parent), tokens, read }),
                false => outgrown.push(step),
            }
        }
        self.policy.pass(&asked, interrupt)?;
        self.reference.pass(&asked, interrupt)?;
        for Asked { id, parent, .. } in &asked {
            let own = self.policy.sum(*id, *parent)? - self.reference.sum(*id, *parent)?;
            let before = parent.and_then(|parent| self.ratios.get(&parent)).map_or(0.0, |&(_, path)| path);
            self.ratios.insert(*id, (own, before + own));
        }
        for step in outgrown {
            let ratios = self.ratios.get(&step.parent).copied().unwrap_or_default();
            self.ratios.insert(step.id, ratios);
        }
        let value = |step: &Step<'_>| {
            let reward = self.reward(step.id);
            let reward = reward.ok_or_else(|| Error::new(ErrorKind::Internal, "a step was not judged"))?;
            Ok((1.0 / (1.0 + (-reward).exp())) as f32)
        };
        steps.iter().map(value).collect()
    }

    fn recall(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<()> {
        self.judge(steps, interrupt).map(drop)
    }

    fn release(&mut self, step: StepId) {
        // Its sums stay: a step behind it may still be judged by what stands before it.
        for side in [&mut self.policy, &mut self.reference] {
            side.last.remove(&step);
            side.grove.release(step);
        }
    }

    fn usage(&self) -> JudgeUsage {
        let [a, b] = [&self.policy, &self.reference].map(|side| {
            let rows: usize = side.last.values().map(|row| row.len() * size_of::<f32>()).sum();
            let usage = side.grove.usage();
            JudgeUsage { kv_bytes: usage.kv_bytes + rows as u64, ..usage }
        });
        JudgeUsage { tokens: a.tokens + b.tokens, passes: a.passes + b.passes, kv_bytes: a.kv_bytes + b.kv_bytes }
    }
}

#[cfg(test)]
impl<E: Engine> ImplicitJudge<E> {
    pub(super) fn engines(&self) -> [&E; 2] {
        [self.policy.grove.engine(), self.reference.grove.engine()]
    }
}

impl<E: Engine> Side<E> {
    /// Computes the log-probabilities of these steps' tokens.
    fn pass(&mut self, asked: &[Asked], interrupt: &Interrupt) -> Result<()> {
        let mut ids = Vec::with_capacity(asked.len() + 1);
        let root = Asked { id: StepId::ROOT, parent: None, tokens: Vec::new(), read: 0 };
        if !self.last.contains_key(&StepId::ROOT) && !asked.is_empty() {
            ids.push((StepId::ROOT, Reads::Last));
        }
        for Asked { id, .. } in asked {
            self.sums.insert(*id, (0.0, 0.0));
            ids.push((*id, Reads::All));
        }
        let by_id: HashMap<StepId, &Asked> = asked.iter().chain([&root]).map(|asked| (asked.id, asked)).collect();
        let (sums, last) = (&mut self.sums, &mut self.last);
        let mut take = |id: StepId, i: usize, row: &[f32]| {
            let Some(asked) = by_id.get(&id) else { return Ok(()) };
            let (own, behind) = sums.entry(id).or_default();
            if let (0, Some(parent), Some(&token)) = (i, asked.parent, asked.tokens.first()) {
                let row = last.get(&parent);
                let row = row.ok_or_else(|| Error::invalid(format!("the step before step {} was released", id.0)))?;
                *own += logprob(row, token)?;
            }
            match asked.tokens.get(i + 1) {
                Some(&token) if i < asked.read => *own += logprob(row, token)?,
                Some(&token) => *behind += logprob(row, token)?,
                None => drop(last.insert(id, row.to_vec())),
            }
            Ok(())
        };
        let mut reading = Reading { want: Want::Logits, taps: &[Tap::Final], interrupt, take: &mut take };
        self.grove.pass(&ids, &mut reading)
    }

    /// The log-probability of a step, with what stands between it and its parent.
    fn sum(&self, id: StepId, parent: Option<StepId>) -> Result<f64> {
        let sums = self.sums.get(&id);
        let &(own, _) = sums.ok_or_else(|| Error::new(ErrorKind::Internal, "a step has no log-probability"))?;
        let before = parent.and_then(|parent| self.sums.get(&parent)).map_or(0.0, |&(_, behind)| behind);
        Ok(before + own)
    }
}

/// `log softmax(row)[token]`.
fn logprob(row: &[f32], token: TokenId) -> Result<f64> {
    let logit = row.get(token as usize).copied();
    let logit = logit.ok_or_else(|| Error::invalid(format!("token {token} is not in the model's vocabulary")))?;
    let top = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - top).exp()).sum();
    let logprob = f64::from(logit) - top - sum.ln();
    if logprob.is_finite() {
        return Ok(logprob);
    }
    Err(Error::new(ErrorKind::NonFinite, "the reward model's logits hold NaN or infinity"))
}
