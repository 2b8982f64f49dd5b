//! How an adapter is trained.

use serde::{Deserialize, Serialize};

use super::Loss;
use crate::engine::Stream;
use crate::error::{Error, Result};
use crate::exec::Team;
use crate::limits::Limits;
use crate::model::{Adapter, Config, Lora, Projection};

/// How an adapter is trained. A state file keeps it, so that a run goes on only as it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainParams {
    /// The loss.
    pub loss: Loss,
    /// How strongly the policy is held to the reference.
    pub beta: f64,
    /// Weight of the chosen completion's mean negative log-probability beside a pair's loss. Pairs that differ in a few tokens lower
    /// both log-probabilities without it (Pal et al., arXiv 2402.13228); Pang et al. (arXiv 2404.19733) train reasoning with 1.
    pub sft: f64,
    /// Inner width of the factors.
    pub rank: usize,
    /// The factors' product counts `alpha / rank` times.
    pub alpha: f32,
    /// The matrices that get factors, by their names in tensor names ([`Projection::name`]).
    pub projections: Vec<String>,
    /// Layers from the top that get factors; 0 for all.
    pub layers: usize,
    /// Passes over the examples.
    pub epochs: usize,
    /// Examples of one step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// Share of the steps during which the learning rate rises; after it, it falls to 0 along a line.
    pub warmup_ratio: f64,
    /// AdamW's pull towards 0.
    pub weight_decay: f64,
    /// Gradients longer than this are cut to it.
    pub max_grad_norm: f64,
    /// Tokens of one example's prompt and completions, at most; longer ones are left out.
    pub max_tokens: usize,
    /// Tokens of one pass, where an example is not longer.
    pub micro_batch_tokens: usize,
    /// Bytes for what would else be computed twice: activations of the upper layers, and states below the lowest trained layer. A run
    /// may go on with another number.
    #[serde(skip)]
    pub keep_bytes: usize,
    /// Decides the first factors and the order of the examples.
    pub seed: u64,
}

impl Default for TrainParams {
    /// DPO at beta 0.1, rank 8 on all matrices of all layers, one pass in steps of 8 examples at a learning rate of 1e-4.
    fn default() -> Self {
        Self {
            loss: Loss::default(),
            beta: 0.1,
            sft: 0.0,
            rank: 8,
            alpha: 16.0,
            projections: Projection::ALL.iter().map(|p| p.name().to_owned()).collect(),
            layers: 0,
            epochs: 1,
            batch: 8,
            lr: 1e-4,
            warmup_ratio: 0.1,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            max_tokens: 1024,
            micro_batch_tokens: 512,
            keep_bytes: 256 << 20,
            seed: 0,
        }
    }
}

impl TrainParams {
    /// Refuses what cannot be trained with.
    pub fn validate(&self) -> Result<()> {
        self.loss.validate()?;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let wrong = |what: &str| Err(Error::invalid(format!("{what} is out of range")));
        match () {
            () if !positive(self.beta) => wrong("beta"),
            () if !(self.sft.is_finite() && self.sft >= 0.0) => wrong("the weight of the chosen completion"),
            () if self.rank == 0 || self.rank > Limits::default().lora_rank as usize => wrong("the rank"),
            () if !positive(f64::from(self.alpha)) => wrong("alpha"),
            () if !positive(self.lr) => wrong("the learning rate"),
            () if !(0.0..1.0).contains(&self.warmup_ratio) => wrong("the warm-up"),
            () if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) => wrong("the weight decay"),
            () if !positive(self.max_grad_norm) => wrong("the largest gradient"),
            () if self.batch == 0 || self.epochs == 0 => wrong("the number of examples or passes"),
            () if self.max_tokens < 2 || self.micro_batch_tokens == 0 => wrong("the number of tokens"),
            () => self.targets().map(|_| ()),
        }
    }

    /// The matrices that get factors.
    pub(super) fn targets(&self) -> Result<Vec<Projection>> {
        let by_name = |name: &String| {
            Projection::by_name(name).ok_or_else(|| Error::invalid(format!("a layer has no matrix {name:?}")))
        };
        let targets = self.projections.iter().map(by_name).collect::<Result<Vec<_>>>()?;
        if targets.is_empty() { Err(Error::invalid("no matrix is to be trained")) } else { Ok(targets) }
    }

    /// The first adapter: A uniform within `1 / sqrt(n_in)` as peft draws it (Kaiming's rule at slope `sqrt(5)`), B zero, so
    /// that nothing changes yet.
    pub(super) fn first_adapter(&self, config: &Config, team: &Team) -> Result<Adapter> {
        let (targets, mut adapter) = (self.targets()?, Adapter::new(config, self.alpha));
        let (stream, mut drawn) = (Stream::new(self.seed), 0);
        let lowest = if self.layers == 0 { 0 } else { config.n_layer.saturating_sub(self.layers) };
        for layer in lowest..config.n_layer {
            for &projection in &targets {
                let (n_in, n_out) = projection.shape(config);
                let bound = 1.0 / (n_in as f64).sqrt();
                let mut a = vec![0.0; self.rank * n_in];
                team.for_each_chunk_mut(&mut a, n_in, |row, a| {
                    for (a, draw) in a.iter_mut().zip(drawn + (row * n_in) as u64..) {
                        *a = (bound * (2.0 * stream.uniform(draw) - 1.0)) as f32;
                    }
                });
                drawn += a.len() as u64;
                let lora = Lora { rank: self.rank, a, b: vec![0.0; n_out * self.rank] };
                adapter.set(config, layer, projection, lora)?;
            }
        }
        Ok(adapter)
    }

    /// The learning rate of step `step` of `steps`, counted from 0.
    pub(super) fn lr_at(&self, step: u64, steps: u64) -> f64 {
        let (step, steps) = (step as f64, steps.max(1) as f64);
        let rise = (self.warmup_ratio * steps).ceil();
        let share = if step < rise { (step + 1.0) / rise } else { (steps - step) / (steps - rise).max(1.0) };
        self.lr * share.clamp(0.0, 1.0)
    }
}
