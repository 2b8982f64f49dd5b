//! How `budget-forcing` and `deep-conf` deal with long thinking: the flags that commands share.

use ruminate::search::{BudgetForcingParams, DeepConfParams};

#[derive(clap::Args)]
pub struct ThinkingArgs {
    /// Tokens of thinking before `budget-forcing` asks for the answer.
    #[arg(long, env = "RUMINATE_MAX_THINKING", value_name = "N", default_value_t = 32_000)]
    pub max_thinking: u64,
    /// Tokens of thinking before `budget-forcing` lets it end; without it, each end is put off as long as there are waits.
    #[arg(long, env = "RUMINATE_MIN_THINKING", value_name = "N")]
    pub min_thinking: Option<u64>,
    /// How often `budget-forcing` puts the end of thinking off.
    #[arg(long, env = "RUMINATE_WAITS", value_name = "N", default_value_t = 1)]
    pub waits: usize,
    /// What it writes instead of the end.
    #[arg(long, env = "RUMINATE_WAIT", value_name = "TEXT", default_value = "Wait")]
    pub wait: String,
    /// Lets `budget-forcing` ask for a tentative answer now and then, and stop thinking when it is at least this likely; published:
    /// 0.95.
    #[arg(long, env = "RUMINATE_EARLY_EXIT", value_name = "P")]
    pub early_exit: Option<f64>,
    /// Text that ends thinking, for `budget-forcing` and models whose chat template does not say.
    #[arg(long, env = "RUMINATE_END_OF_THINKING", value_name = "TEXT", default_value = "")]
    pub end_of_thinking: String,
    /// Samples that set the bar of `deep-conf`.
    #[arg(long, env = "RUMINATE_WARM_UP", value_name = "N", default_value_t = 16)]
    pub warm_up: usize,
    /// Tokens over which `deep-conf` takes the model's confidence.
    #[arg(long, env = "RUMINATE_WINDOW", value_name = "N", default_value_t = 2048)]
    pub window: usize,
}

impl ThinkingArgs {
    pub fn budget_forcing(&self) -> BudgetForcingParams {
        BudgetForcingParams {
            max_thinking: self.max_thinking,
            min_thinking: self.min_thinking.unwrap_or(u64::MAX),
            waits: self.waits,
            wait: self.wait.clone(),
            early_exit: self.early_exit,
            end_of_thinking: self.end_of_thinking.clone(),
            ..BudgetForcingParams::default()
        }
    }

    pub fn deep_conf(&self) -> DeepConfParams {
        DeepConfParams { warm_up: self.warm_up, window: self.window, ..DeepConfParams::default() }
    }

    /// How the end of thinking is put off and brought forward, for a file that must not mix results.
    pub fn forcing(&self) -> (Option<u64>, usize, &str, Option<String>) {
        (self.min_thinking, self.waits, self.wait.as_str(), self.early_exit.map(|p| p.to_string()))
    }
}
