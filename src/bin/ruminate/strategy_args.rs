//! How a question is put: the flags that commands share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruminate::reason::tools::{Folder, HostTool, Tool, ToolLimits, Toolbox};
use ruminate::reason::{AnyStrategy, Ensemble, FewShot, Graph, GraphOfThoughts, Memory, Prompts, Resources, Shot};

use crate::exit::Failure;
use crate::{dataset, input};

#[derive(clap::Args)]
pub struct StrategyArgs {
    /// How the question is put: `direct` gives it as it is, `cot` asks for steps, `few-shot` puts examples before it; `reason
    /// list` shows these and the methods of several calls; `auto` takes what `reason calibrate` found best for the model. Without it, `few-shot` if there are --shots, else `direct` for the
    /// built-in model, which knows nothing else, and `cot` for others.
    #[arg(long, env = "RUMINATE_STRATEGY", value_name = "NAME")]
    strategy: Option<String>,
    /// Examples to put before the question, as turns of the conversation: a question set, as `eval` reads it, with worked
    /// answers.
    #[arg(long, env = "RUMINATE_SHOTS", value_name = "FILE")]
    shots: Option<PathBuf>,
    /// Examples to take: the first of the --shots file; `memory` takes those that resemble the question most, `ensemble`
    /// puts them before its solutions in words.
    #[arg(long, env = "RUMINATE_N_SHOTS", value_name = "N", default_value_t = 4, requires = "shots")]
    n_shots: usize,
    /// A folder of prompts that stand in the place of those of the same name that methods say to the model.
    #[arg(long, env = "RUMINATE_PROMPTS", value_name = "FOLDER")]
    prompts: Option<PathBuf>,
    /// The graph of operations of `graph-of-thoughts`: a JSON list, as docs/reasoning.md describes it; the usual one without it.
    #[arg(long, env = "RUMINATE_GRAPH", value_name = "FILE")]
    graph: Option<PathBuf>,
    /// Tools that `react` may use: `calculator`, `dates`, `units`, `notes`, and `search=FOLDER`, which finds passages in the text
    /// files of a folder.
    #[arg(long, env = "RUMINATE_TOOLS", value_name = "NAMES", default_value = "calculator", value_delimiter = ',')]
    tools: Vec<String>,
}

impl StrategyArgs {
    /// As the flags say, else with an instruction to go step by step if the model `needs_one`. A method of several calls is an
    /// error.
    pub fn choose_prompt(&self, needs_one: bool) -> Result<AnyStrategy, Failure> {
        let chosen = self.choose(needs_one)?;
        if chosen.steps().is_some() {
            let name = chosen.name();
            return Err(Failure::usage(format!(
                "--strategy {name} is a method of several calls, and this command works with one prompt: give cot or direct"
            )));
        }
        Ok(chosen)
    }

    /// Whether what was measured is to choose.
    pub fn is_auto(&self) -> bool {
        self.strategy.as_deref() == Some("auto")
    }

    /// Whether one is asked for.
    pub fn is_given(&self) -> bool {
        self.strategy.is_some()
    }

    /// Whether there are examples.
    pub fn has_shots(&self) -> bool {
        self.shots.is_some()
    }

    /// The strategy of that name, or what is chosen without one.
    pub fn choose_named(&self, name: Option<&str>, needs_one: bool) -> Result<AnyStrategy, Failure> {
        let with_shots = matches!(name, None | Some(FewShot::NAME | Memory::NAME | Ensemble::NAME));
        let shots = self.shots.clone().filter(|_| with_shots);
        let graph = self.graph.clone().filter(|_| name == Some(GraphOfThoughts::NAME));
        let strategy = name.map(str::to_owned);
        let (prompts, tools) = (self.prompts.clone(), self.tools.clone());
        Self { strategy, shots, n_shots: self.n_shots, prompts, graph, tools }.choose(needs_one)
    }

    /// What strategies may use beside the model.
    pub fn resources(&self) -> Result<Resources, Failure> {
        let prompts = self.prompts.as_deref().map(Prompts::from_folder).transpose()?.unwrap_or_default();
        Ok(Resources { prompts, tools: toolbox(&self.tools)?, ..Resources::default() })
    }

    /// The tools, as a trace names them.
    pub fn tools(&self) -> &[String] {
        &self.tools
    }

    /// As [`choose_prompt`](Self::choose_prompt), methods of several calls included.
    pub fn choose(&self, needs_one: bool) -> Result<AnyStrategy, Failure> {
        if let Some(path) = &self.graph {
            if self.strategy.as_deref() != Some(GraphOfThoughts::NAME) || self.shots.is_some() {
                return Err(Failure::usage(format!("--graph goes with --strategy {}", GraphOfThoughts::NAME)));
            }
            let graph = Graph::from_json(&input::file(path)?);
            return Ok(AnyStrategy::made(GraphOfThoughts::with(graph.map_err(|e| e.context(path.display()))?)));
        }
        match (self.strategy.as_deref(), &self.shots) {
            (None | Some(FewShot::NAME), Some(path)) => Ok(AnyStrategy::made(FewShot::new(self.first_shots(path)?))),
            (Some(Ensemble::NAME), Some(path)) => Ok(AnyStrategy::made(Ensemble::with(self.first_shots(path)?))),
            (Some(Memory::NAME), Some(path)) => {
                Ok(AnyStrategy::made(Memory::new(dataset::shots(path, self.n_shots)?, self.n_shots)))
            }
            (Some(name @ (FewShot::NAME | Memory::NAME)), None) => {
                Err(Failure::usage(format!("--strategy {name} takes its examples from --shots FILE")))
            }
            (Some(name), Some(_)) => Err(Failure::usage(format!("--strategy {name} uses no --shots"))),
            (name, None) => Ok(AnyStrategy::by_name(name.unwrap_or(if needs_one { "cot" } else { "direct" }))?),
        }
    }

    fn first_shots(&self, path: &Path) -> Result<Vec<Shot>, Failure> {
        let mut shots = dataset::shots(path, self.n_shots)?;
        shots.truncate(self.n_shots);
        Ok(shots)
    }
}

/// The tools of these names; also as a trace has them, whose functions of a host are only told of.
pub fn toolbox(names: &[String]) -> Result<Toolbox, Failure> {
    let tool = |name: &String| -> Result<Arc<dyn Tool>, Failure> {
        match (name.strip_prefix("search="), HostTool::recorded(name)) {
            (Some(folder), _) => Ok(Arc::new(Folder::open(Path::new(folder))?)),
            (None, Some(host)) => Ok(Arc::new(host?)),
            (None, None) => Ok(Toolbox::built_in(name)?),
        }
    };
    let tools = names.iter().filter(|name| !name.is_empty()).map(tool).collect::<Result<Vec<_>, _>>()?;
    Ok(Toolbox::new(tools, ToolLimits::default())?)
}
