//! What a search may spend: the flags that commands share.

use std::time::Duration;

use ruminate::search::{Budget, PowerModel};

use crate::search_args::Setting;
use crate::size;

#[derive(clap::Args)]
pub struct BudgetArgs {
    /// Tokens of all samples together.
    #[arg(long, env = "RUMINATE_BUDGET_TOKENS", value_name = "N", value_delimiter = ',')]
    pub budget_tokens: Vec<u64>,
    /// Milliseconds until the answer.
    #[arg(long, env = "RUMINATE_BUDGET_MS", value_name = "MS", value_delimiter = ',')]
    pub budget_ms: Vec<u64>,
    /// Memory for the keys and values of all branches; weights do not count.
    #[arg(long, env = "RUMINATE_BUDGET_MEM", value_name = "SIZE", value_parser = size::parse)]
    pub budget_mem: Option<u64>,
    /// Memory for weights, keys and values and scratch together.
    #[arg(long, env = "RUMINATE_BUDGET_TOTAL_MEM", value_name = "SIZE", value_parser = size::parse)]
    pub budget_total_mem: Option<u64>,
    /// Joules until the answer: measured where the system tells, else estimated.
    #[arg(long, env = "RUMINATE_BUDGET_JOULES", value_name = "J", value_parser = above_zero)]
    pub budget_joules: Option<f64>,
    /// Watts of one busy core, for estimates of energy where nothing counts it.
    #[arg(long, env = "RUMINATE_WATTS_PER_CORE", value_name = "W", value_parser = above_zero)]
    pub watts_per_core: Option<f64>,
}

impl BudgetArgs {
    /// The budget of one of the searches that are asked for.
    pub fn of(&self, setting: &Setting) -> Budget {
        Budget {
            tokens: setting.budget_tokens,
            wall: setting.budget_ms.map(Duration::from_millis),
            kv_bytes: self.budget_mem,
            bytes: self.budget_total_mem,
            joules: self.budget_joules,
            power: self.watts_per_core.map(|watts| PowerModel::of_this_machine().with_busy_watts(watts)),
        }
    }

    /// Whether any is in something else than tokens.
    pub fn limits_more_than_tokens(&self) -> bool {
        let memory = self.budget_mem.or(self.budget_total_mem).is_some();
        memory || self.budget_joules.is_some() || !self.budget_ms.is_empty()
    }
}

/// A number above 0.
pub fn above_zero(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0).ok_or_else(|| "give a number above 0".to_owned())
}
