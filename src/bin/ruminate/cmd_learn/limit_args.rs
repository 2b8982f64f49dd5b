//! What a training run may spend: the flags.

use std::time::Duration;

use ruminate::search::PowerModel;

use super::training::Limit;
use crate::budget_args::above_zero;

#[derive(clap::Args)]
pub struct LimitArgs {
    /// Stop after this many milliseconds, saved.
    #[arg(long, env = "RUMINATE_BUDGET_MS", value_name = "MS")]
    budget_ms: Option<u64>,
    /// Stop after passes over this many tokens, saved.
    #[arg(long, env = "RUMINATE_BUDGET_TOKENS", value_name = "N")]
    budget_tokens: Option<u64>,
    /// Stop after this many joules, saved: measured where the system tells, else estimated.
    #[arg(long, env = "RUMINATE_BUDGET_JOULES", value_name = "J", value_parser = above_zero)]
    budget_joules: Option<f64>,
    /// Watts of one busy core, for estimates of energy where nothing counts it.
    #[arg(long, env = "RUMINATE_WATTS_PER_CORE", value_name = "W", value_parser = above_zero)]
    watts_per_core: Option<f64>,
}

impl LimitArgs {
    pub fn limit(&self) -> Limit {
        let machine = PowerModel::of_this_machine();
        Limit {
            wall: self.budget_ms.map(Duration::from_millis),
            tokens: self.budget_tokens,
            joules: self.budget_joules,
            power: self.watts_per_core.map_or(machine, |watts| machine.with_busy_watts(watts)),
        }
    }
}
