//! The flags of a search, shared by every command that searches.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use ruminate::engine::SamplerParams;
use ruminate::reason::Strategy;
use ruminate::search::{Aggregation, Algo, EarlyStop, SearchParams, StepRule, Vote};

use crate::budget_args::BudgetArgs;
use crate::exit::Failure;
use crate::judge_args::JudgeArgs;
use crate::strategy_args::StrategyArgs;
use crate::thinking_args::ThinkingArgs;
use crate::width;

#[derive(clap::Args)]
pub struct SearchArgs {
    /// How to search.
    #[arg(long, env = "RUMINATE_ALGO", value_name = "NAME", default_value = "best-of-n", value_delimiter = ',', value_parser = algo)]
    algo: Vec<Algo>,
    #[command(flatten)]
    strategy: StrategyArgs,
    /// Samples, at most.
    #[arg(long, env = "RUMINATE_N", value_name = "N", default_value = "8", value_delimiter = ',')]
    n: Vec<usize>,
    /// Samples decoded at once, at most. Without it, as many as this machine decodes well together: measured once per model
    /// and kept in the user's cache folder.
    #[arg(long, env = "RUMINATE_WIDTH", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    width: Option<usize>,
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// How answers become one: `majority`, `weighted` by value, or `best` value. Without it `majority`, and with a judge
    /// `weighted`.
    #[arg(long, env = "RUMINATE_VOTE", value_name = "NAME", value_parser = vote)]
    vote: Option<Vote>,
    /// How the values of a text's steps become one: `last`, `min`, `product`, `mean`, `window:N`. Without it, as suits the
    /// judge: a head by what was chosen when it was fitted, the sum checker by the least.
    #[arg(long, env = "RUMINATE_AGGREGATION", value_name = "NAME", value_parser = aggregation)]
    aggregation: Option<Aggregation>,
    /// Steps that compete for one place in beam search, DVTS and lookahead.
    #[arg(long, env = "RUMINATE_BEAM_WIDTH", value_name = "M", default_value_t = 4)]
    beam_width: usize,
    /// What ends a step; `\n` is a line end.
    #[arg(long, env = "RUMINATE_SEPARATOR", value_name = "TEXT", default_value = "\\n")]
    separator: String,
    /// Tokens of one step, at most.
    #[arg(long, env = "RUMINATE_STEP_TOKENS", value_name = "N", default_value_t = 128)]
    step_tokens: u64,
    #[command(flatten)]
    thinking: ThinkingArgs,
    /// When fewer samples are enough.
    #[arg(long, env = "RUMINATE_EARLY_STOP", value_enum, default_value_t = Stop::Beta)]
    early_stop: Stop,
    /// Tokens of one sample, at most.
    #[arg(long, env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    max_tokens: u64,
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Temperature.
    #[arg(long, env = "RUMINATE_TEMP", value_name = "T", default_value_t = 0.8)]
    temp: f32,
    /// Draw among the fewest tokens whose probabilities add up to P.
    #[arg(long, env = "RUMINATE_TOP_P", value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the random numbers.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    seed: u64,
}

/// When fewer than --n samples are enough.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stop {
    /// Never: draw all of them.
    Never,
    /// When the leading answer is ahead with a probability of 95 %.
    Beta,
    /// When five samples in a row agree.
    Window,
}

/// One of the searches that lists of values ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub algo: Algo,
    /// The method that takes its place.
    pub method: Option<&'static str>,
    pub n: usize,
    pub budget_tokens: Option<u64>,
    pub budget_ms: Option<u64>,
}

impl SearchArgs {
    /// Every combination of the values of --algo, --n, --budget-tokens and --budget-ms once, the last one changing fastest.
    pub fn settings(&self) -> Vec<Setting> {
        let optional = |values: &[u64]| match values {
            [] => vec![None],
            values => values.iter().copied().map(Some).collect(),
        };
        let mut settings = Vec::new();
        for &algo in &self.algo {
            // A single text has no number of samples to vary.
            let n = if algo == Algo::Greedy { self.n.get(..1).unwrap_or_default() } else { &self.n };
            for &n in n {
                for &budget_tokens in &optional(&self.budget.budget_tokens) {
                    for &budget_ms in &optional(&self.budget.budget_ms) {
                        let setting = Setting { algo, method: None, n, budget_tokens, budget_ms };
                        if !settings.contains(&setting) {
                            settings.push(setting);
                        }
                    }
                }
            }
        }
        settings
    }

    /// The only setting, for a command that searches once.
    pub fn setting(&self, strategy: &dyn Strategy) -> Result<Setting, Failure> {
        only(&self.settings_of(strategy)?)
    }

    /// The same before a strategy is chosen.
    pub fn only_setting(&self) -> Result<Setting, Failure> {
        only(&self.settings())
    }

    /// How the question is put.
    pub fn strategy(&self) -> &StrategyArgs {
        &self.strategy
    }

    /// The searches that are asked for with this strategy. A method decides by itself what is drawn, so that no algorithm is
    /// chosen beside it.
    pub fn settings_of(&self, strategy: &dyn Strategy) -> Result<Vec<Setting>, Failure> {
        let settings = self.settings();
        let Some(_) = strategy.steps() else { return Ok(settings) };
        if self.algo != [Algo::BestOfN] {
            return Err(Failure::usage(format!(
                "--strategy {} is a method, which takes the place of a search algorithm: leave --algo out",
                strategy.name()
            )));
        }
        Ok(settings.into_iter().map(|setting| Setting { method: Some(strategy.name()), ..setting }).collect())
    }

    pub fn params(&self, setting: &Setting, stop_at_answer: bool, seed: u64) -> SearchParams {
        SearchParams {
            algo: setting.algo,
            n: setting.n,
            early_stop: match self.early_stop {
                Stop::Never => EarlyStop::Never,
                Stop::Beta => EarlyStop::Beta(0.95),
                Stop::Window => EarlyStop::Window(5),
            },
            sampler: SamplerParams { temperature: self.temp, top_p: self.top_p, ..SamplerParams::default() },
            max_tokens: self.max_tokens,
            stop_at_answer,
            seed,
            budget: self.budget.of(setting),
            vote: self.vote,
            aggregation: self.aggregation,
            beam_width: self.beam_width,
            step: StepRule {
                separator: self.separator.replace("\\n", "\n"),
                max_tokens: self.step_tokens,
                ..StepRule::default()
            },
            budget_forcing: self.thinking.budget_forcing(),
            deep_conf: self.thinking.deep_conf(),
            ..SearchParams::default()
        }
    }

    /// What `settings` ask of the engine's width, all of them together.
    pub fn lanes(&self, settings: &[Setting]) -> width::Lanes {
        let branches = settings.iter().map(|s| if s.algo == Algo::Greedy { 1 } else { s.n }).max();
        let wall =
            settings.iter().map(|s| s.budget_ms.map(Duration::from_millis)).min_by_key(|w| w.unwrap_or(Duration::MAX));
        width::Lanes { width: self.width, branches: branches.unwrap_or(1), wall: wall.flatten() }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What changes a search's result by `judge` and is the same for all settings, by flag, for a file that must not mix results.
    pub fn common(&self, judge: &JudgeArgs) -> serde_json::Value {
        let early_stop = clap::ValueEnum::to_possible_value(&self.early_stop);
        let Self { thinking, budget, .. } = self;
        let forcing = thinking.forcing();
        let mut common = serde_json::json!({
            "judge": judge.record(),
            "vote": self.vote.map(Vote::name),
            "aggregation": self.aggregation.map(|aggregation| aggregation.name()),
            "beam_width": self.beam_width,
            "separator": self.separator,
            "step_tokens": self.step_tokens,
            "max_thinking": thinking.max_thinking,
            "end_of_thinking": thinking.end_of_thinking,
            "warm_up": thinking.warm_up,
            "window": thinking.window,
            "budget_total_mem": budget.budget_total_mem,
            "budget_joules": budget.budget_joules.map(|joules| joules.to_string()),
            "watts_per_core": budget.watts_per_core.map(|watts| watts.to_string()),
            "early_stop": early_stop.as_ref().map(|value| value.get_name()),
            "max_tokens": self.max_tokens,
            "budget_mem": budget.budget_mem,
            "temp": self.temp.to_string(),
            "top_p": self.top_p.to_string(),
            "seed": self.seed,
        });
        // Files that know nothing of these stand for their defaults.
        if forcing != (None, 1, "Wait", None) {
            common["forcing"] = serde_json::json!(forcing);
        }
        common
    }

    /// Whether every sample is drawn: only then do samples say how often a search of fewer would have been right.
    pub fn draws_all(&self) -> bool {
        self.early_stop == Stop::Never
    }
}

fn only(settings: &[Setting]) -> Result<Setting, Failure> {
    match settings {
        [setting] => Ok(*setting),
        _ => {
            Err(Failure::usage("one search takes one --algo, --n, --budget-tokens and --budget-ms; `eval` takes lists"))
        }
    }
}

impl Setting {
    /// Its name in tables and files: the values that tell it from others.
    pub fn name(&self) -> String {
        let mut name = self.method.unwrap_or(self.algo.name()).to_owned();
        if self.algo != Algo::Greedy {
            name += &format!(" n={}", self.n);
        }
        if let Some(tokens) = self.budget_tokens {
            name += &format!(" tokens={tokens}");
        }
        if let Some(ms) = self.budget_ms {
            name += &format!(" ms={ms}");
        }
        name
    }
}

fn vote(name: &str) -> Result<Vote, String> {
    Vote::by_name(name).map_err(|e| e.to_string())
}

fn aggregation(name: &str) -> Result<Aggregation, String> {
    Aggregation::by_name(name).map_err(|e| e.to_string())
}

fn algo(name: &str) -> Result<Algo, String> {
    Algo::by_name(name).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        search: SearchArgs,
    }

    fn names(flags: &[&str]) -> Vec<String> {
        let only = Only::try_parse_from([&["x"], flags].concat()).unwrap();
        only.search.settings().iter().map(Setting::name).collect()
    }

    #[test]
    fn lists_make_every_combination_once() {
        assert_eq!(names(&[]), ["best-of-n n=8"]);
        assert_eq!(
            names(&["--algo", "greedy,best-of-n", "--n", "4,16", "--budget-tokens", "256,1024"]),
            [
                "greedy tokens=256",
                "greedy tokens=1024",
                "best-of-n n=4 tokens=256",
                "best-of-n n=4 tokens=1024",
                "best-of-n n=16 tokens=256",
                "best-of-n n=16 tokens=1024",
            ]
        );
        assert_eq!(names(&["--n", "4", "--n", "2,4"]), ["best-of-n n=4", "best-of-n n=2"]);
        assert_eq!(names(&["--budget-ms", "50", "--n", "2"]), ["best-of-n n=2 ms=50"]);
    }

    #[test]
    fn the_widest_setting_and_the_shortest_time_decide_how_lanes_are_settled() {
        let parse = |flags: &[&str]| Only::try_parse_from([&["x"], flags].concat()).unwrap().search;
        let args = parse(&["--algo", "greedy,best-of-n", "--n", "4,16", "--budget-ms", "900,70"]);
        let lanes = args.lanes(&args.settings());
        assert_eq!((lanes.branches, lanes.wall, lanes.width), (16, Some(Duration::from_millis(70)), None));
        let args = parse(&["--algo", "greedy", "--n", "4"]);
        assert_eq!((args.lanes(&args.settings()).branches, args.lanes(&args.settings()).wall), (1, None));
    }
}
