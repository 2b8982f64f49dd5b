//! How an adapter is trained: the flags that commands share.

use ruminate::learn::preference::{Loss, TrainParams};
use ruminate::model::Projection;

use crate::exit::Failure;

#[derive(clap::Args)]
pub struct TrainArgs {
    /// `dpo`, `ipo`, `simpo`, or `kto` for single completions with a thumb up or down.
    #[arg(long, env = "RUMINATE_LOSS", value_name = "NAME", default_value = "dpo")]
    loss: String,
    /// How strongly the policy is held to the reference; 0.1, and 2 for simpo, without it.
    #[arg(long, env = "RUMINATE_BETA", value_name = "X")]
    beta: Option<f64>,
    /// How often preferences are the wrong way round, from 0 to 0.5 (cDPO).
    #[arg(long, env = "RUMINATE_LABEL_SMOOTHING", value_name = "X", default_value_t = 0.0)]
    label_smoothing: f64,
    /// Weight of the chosen completion's own log-probability: keeps both from falling where pairs differ in a few tokens.
    #[arg(long, env = "RUMINATE_SFT", value_name = "X", default_value_t = 1.0)]
    sft: f64,
    /// Inner width of the adapter.
    #[arg(long, env = "RUMINATE_RANK", value_name = "N", default_value_t = 8)]
    rank: usize,
    /// The adapter counts alpha / rank times; twice the rank without it.
    #[arg(long, env = "RUMINATE_ALPHA", value_name = "X")]
    alpha: Option<f32>,
    /// Layers from the top that are trained; 0 for all.
    #[arg(long, env = "RUMINATE_LAYERS", value_name = "N", default_value_t = 0)]
    layers: usize,
    /// The matrices that are trained: attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down; all of them without it.
    #[arg(long, env = "RUMINATE_PROJECTIONS", value_name = "NAME,…", value_delimiter = ',')]
    projections: Vec<String>,
    /// Passes over the preferences.
    #[arg(long, env = "RUMINATE_EPOCHS", value_name = "N", default_value_t = 1)]
    epochs: usize,
    /// Preferences of one step.
    #[arg(long, env = "RUMINATE_BATCH", value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Largest learning rate: reached after a tenth of the steps, then falling to 0.
    #[arg(long, env = "RUMINATE_LR", value_name = "X", default_value_t = 1e-4)]
    lr: f64,
    /// Tokens of a prompt with its completions, at most; longer rows are left out.
    #[arg(long, env = "RUMINATE_MAX_PAIR_TOKENS", value_name = "N", default_value_t = 1024)]
    max_pair_tokens: usize,
    /// MiB for what would else be computed twice.
    #[arg(long, env = "RUMINATE_KEEP_MB", value_name = "N", default_value_t = 256)]
    keep_mb: usize,
    /// Seed of the first adapter and of the order of the preferences.
    #[arg(long, env = "RUMINATE_TRAIN_SEED", value_name = "S", default_value_t = 0)]
    train_seed: u64,
}

impl TrainArgs {
    pub fn loss(&self) -> Result<Loss, Failure> {
        match Loss::by_name(&self.loss)? {
            Loss::Dpo { .. } => Ok(Loss::Dpo { label_smoothing: self.label_smoothing }),
            _ if self.label_smoothing != 0.0 => {
                Err(Failure::usage(format!("--label-smoothing is for dpo; --loss {} has none", self.loss)))
            }
            loss => Ok(loss),
        }
    }

    pub fn params(&self, loss: Loss) -> TrainParams {
        let all = || Projection::ALL.iter().map(|projection| projection.name().to_owned()).collect();
        TrainParams {
            loss,
            beta: self.beta.unwrap_or(loss.default_beta()),
            sft: if loss.takes_singles() { 0.0 } else { self.sft },
            rank: self.rank,
            alpha: self.alpha.unwrap_or(2.0 * self.rank as f32),
            projections: if self.projections.is_empty() { all() } else { self.projections.clone() },
            layers: self.layers,
            epochs: self.epochs,
            batch: self.batch,
            lr: self.lr,
            max_tokens: self.max_pair_tokens,
            keep_bytes: self.keep_mb << 20,
            seed: self.train_seed,
            ..TrainParams::default()
        }
    }
}
