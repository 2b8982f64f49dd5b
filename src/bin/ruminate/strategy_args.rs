//! How a question is put: the flags that commands share.

use std::ops::Deref;
use std::path::PathBuf;

use ruminate::reason::{self, FewShot, Strategy};

use crate::dataset;
use crate::exit::Failure;

#[derive(clap::Args)]
pub struct StrategyArgs {
    /// How the question is put: `direct` gives it as it is, `cot` asks for steps, `few-shot` puts examples before it. Without
    /// it, `few-shot` if there are --shots, else `direct` for the built-in model, which knows nothing else, and `cot` for
    /// others.
    #[arg(long, env = "RUMINATE_STRATEGY", value_name = "NAME")]
    strategy: Option<String>,
    /// Examples to put before the question, as turns of the conversation: a question set, as `eval` reads it, with worked
    /// answers.
    #[arg(long, env = "RUMINATE_SHOTS", value_name = "FILE")]
    shots: Option<PathBuf>,
    /// Examples to take from the top of the --shots file.
    #[arg(long, env = "RUMINATE_N_SHOTS", value_name = "N", default_value_t = 4, requires = "shots")]
    n_shots: usize,
}

/// A strategy that needs nothing, or one made of examples.
pub enum Chosen {
    Named(&'static dyn Strategy),
    FewShot(FewShot),
}

impl StrategyArgs {
    /// As the flags say, else with an instruction to go step by step if the model `needs_one`.
    pub fn choose(&self, needs_one: bool) -> Result<Chosen, Failure> {
        match (self.strategy.as_deref(), &self.shots) {
            (None | Some(FewShot::NAME), Some(path)) => {
                Ok(Chosen::FewShot(FewShot::new(dataset::shots(path, self.n_shots)?)))
            }
            (Some(FewShot::NAME), None) => {
                Err(Failure::usage("--strategy few-shot takes its examples from --shots FILE"))
            }
            (Some(name), Some(_)) => Err(Failure::usage(format!("--strategy {name} uses no --shots"))),
            (name, None) => {
                Ok(Chosen::Named(reason::by_name(name.unwrap_or(if needs_one { "cot" } else { "direct" }))?))
            }
        }
    }
}

impl Deref for Chosen {
    type Target = dyn Strategy;

    fn deref(&self) -> &(dyn Strategy + 'static) {
        match self {
            Self::Named(strategy) => *strategy,
            Self::FewShot(strategy) => strategy,
        }
    }
}
