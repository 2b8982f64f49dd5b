//! Ways to put a question: one prompt, or several calls of the model that build on each other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ruminate::Limits;
use ruminate::reason::tools::{Tool as Callable, ToolLimits, Toolbox};
use ruminate::reason::{
    ALL, AnyStrategy, Ensemble, FewShot, Graph, GraphOfThoughts, Inquiry, Memory, Prompts, Resources, Shot, Strategy,
};
use ruminate::search::SearchParams;
use ruminate::storage::read_capped;
use serde_json::{Value, json};

use crate::call::{Call, clear, entry, free, hand_out, not_null};
use crate::handle::Kind;
use crate::model::Model;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_str, rum_text};
use crate::tool::{Tool, rum_tool};

/// How a question is put: in one prompt, which any search algorithm goes on from, or by a method of several calls, which takes the
/// algorithm's place. Never changes, so that any number of runs may use it at once.
pub struct rum_method(());

/// What a method works with. Fill it with `rum_method_options_init`. Everything in it is copied, read or kept alive.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_method_options {
    pub struct_size: usize,
    /// One of the names that `rum_methods_json` lists.
    pub name: rum_str,
    /// Worked examples for `few-shot`, `memory` and, if it is to have some, `ensemble`: JSON lines, each an object with `question` and
    /// `answer`, whose last line should be `#### answer`; or no text.
    pub shots: rum_str,
    /// A file of such lines, whose examples come behind those in `shots`; or no text.
    pub shots_path: rum_str,
    /// A folder of prompts that stand in the place of the built-in ones that `rum_methods_json` names, in files `NAME.txt`; or no text.
    /// A file of another name is an error.
    pub prompts: rum_str,
    /// What `react` may call: `n_tools` tools of different names.
    pub tools: *const *const rum_tool,
    /// How many tools.
    pub n_tools: usize,
    /// Examples that stand before a question: the first, of `memory` those that resemble it most. Default: 4.
    pub n_shots: u64,
    /// Milliseconds that one call of a tool may take, from 1 to an hour; then it is left alone. Default: 2,000.
    pub tool_ms: u64,
    /// Bytes of what a tool says that the model reads, from 100 to 65,536; the rest is cut. Default: 2,000.
    pub tool_bytes: u64,
    /// The operations of `graph-of-thoughts`: a JSON list of `generate`, `score`, `keep_best`, `aggregate` and `refine`, each with the
    /// places of those that it follows, such as `[{"operation": "generate", "n": 4}, {"operation": "score", "samples": 2, "after":
    /// [0]}, {"operation": "keep_best", "n": 1, "after": [1]}]`; or no text for the usual ones.
    pub graph: rum_str,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_method_options {
    const FIRST: usize = 24 + 13 * size_of::<usize>();

    fn initial() -> Self {
        let limits = ToolLimits::default();
        Self {
            struct_size: size_of::<Self>(),
            name: rum_str::NONE,
            shots: rum_str::NONE,
            shots_path: rum_str::NONE,
            prompts: rum_str::NONE,
            tools: std::ptr::null(),
            n_tools: 0,
            n_shots: 4,
            tool_ms: limits.wall.as_millis() as u64,
            tool_bytes: limits.output_bytes as u64,
            graph: rum_str::NONE,
        }
    }
}

/// A way to put questions with all that it works with.
pub struct Method {
    strategy: AnyStrategy,
    resources: Resources,
    /// The tools as a trace names them.
    tools: Vec<String>,
}

impl Kind for Method {
    type Opaque = rum_method;
    const NAME: &'static str = "method";
}

impl Method {
    pub fn strategy(&self) -> &dyn Strategy {
        &*self.strategy
    }

    /// What stands in the place of built-in prompts.
    pub fn prompts(&self) -> &Prompts {
        &self.resources.prompts
    }

    /// The tools as a trace names them.
    pub fn tools(&self) -> &[String] {
        &self.tools
    }

    /// `question` as the method puts it to `model`.
    pub fn inquiry<'a>(
        &'a self,
        question: &'a str,
        model: &'a Model,
        params: &'a SearchParams,
    ) -> ruminate::Result<Inquiry<'a>> {
        let (words, template) = (&model.tokenizer, model.template.as_ref());
        Inquiry::new(self.strategy(), question, words, template, params, &self.resources)
    }
}

/// Fills `options` with the defaults, without a name. `struct_size` is `sizeof *options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_method_options_init(options: *mut rum_method_options, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_method_options_init", |_| unsafe { sized::init(options, struct_size) })
}

/// The way to put questions that `options` describe; a `rum_prompt` names it. The caller frees `out`.
///
/// `RUM_ERR_INVALID_ARGUMENT` for a name that there is not, for examples where none are used and none where they are, and for
/// `react` without a tool; `RUM_ERR_FORMAT` for lines that are no examples; `RUM_ERR_IO` for files that cannot be read.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_method_new(options: *const rum_method_options, out: *mut *mut rum_method) -> rum_status {
    entry("rum_method_new", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read(options, "the options") }?;
        // SAFETY: the caller's promise.
        let method = unsafe { made(call, &options) }?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(method, out) }
    })
}

/// # Safety
/// The options' pointers can be read.
unsafe fn made(call: &Call, options: &rum_method_options) -> Result<Method, Failure> {
    // SAFETY: the caller's promise.
    let (name, prompts) = unsafe { (options.name.read("the name")?, options.prompts.read("prompts")?) };
    // SAFETY: the caller's promise.
    let (shots, path) = unsafe { (options.shots.read("shots")?, options.shots_path.read("shots_path")?) };
    let mut examples = read_shots(shots).map_err(|failure| failure.context("shots"))?;
    if !path.is_empty() {
        let bytes = read_capped(Path::new(path), Limits::default().prompt_bytes)?;
        let not_text = |_| Failure::new(rum_status::RUM_ERR_FORMAT, format!("{path} is not UTF-8"));
        let text = String::from_utf8(bytes).map_err(not_text)?;
        examples.extend(read_shots(&text).map_err(|failure| failure.context(path))?);
    }
    // SAFETY: the caller's promise.
    let graph = unsafe { options.graph.read("graph") }?;
    let strategy = match (graph, name) {
        ("", _) => choose(name, examples, usize::try_from(options.n_shots).unwrap_or(usize::MAX))?,
        (_, GraphOfThoughts::NAME) if examples.is_empty() => {
            AnyStrategy::made(GraphOfThoughts::with(Graph::from_json(graph)?))
        }
        _ => return Err(Failure::invalid(format!("a graph goes with {} alone", GraphOfThoughts::NAME))),
    };
    let prompts = if prompts.is_empty() { Prompts::default() } else { Prompts::from_folder(Path::new(prompts))? };
    // SAFETY: the caller's promise.
    let tools = unsafe { read_tools(call, options.tools, options.n_tools) }?;
    if name == "react" && tools.is_empty() {
        return Err(Failure::invalid("react needs a tool"));
    }
    let callable: Vec<Arc<dyn Callable>> = tools.iter().map(|tool| tool.tool.clone()).collect();
    let resources = Resources { prompts, tools: Toolbox::new(callable, limits(options)?)?, ..Resources::default() };
    Ok(Method { strategy, resources, tools: tools.into_iter().map(|tool| tool.record).collect() })
}

fn choose(name: &str, shots: Vec<Shot>, n_shots: usize) -> Result<AnyStrategy, Failure> {
    let first = |shots: Vec<Shot>| shots.into_iter().take(n_shots).collect();
    match (name, shots.is_empty() || n_shots == 0) {
        (FewShot::NAME | Memory::NAME, true) => {
            Err(Failure::invalid(format!("{name} takes examples: set shots or shots_path, and n_shots")))
        }
        (Memory::NAME, false) => Ok(AnyStrategy::made(Memory::new(shots, n_shots))),
        (FewShot::NAME, false) => Ok(AnyStrategy::made(FewShot::new(first(shots)))),
        (Ensemble::NAME, false) => Ok(AnyStrategy::made(Ensemble::with(first(shots)))),
        _ if !shots.is_empty() && name != Ensemble::NAME => Err(Failure::invalid(format!("{name} uses no shots"))),
        _ => Ok(AnyStrategy::by_name(name)?),
    }
}

fn limits(options: &rum_method_options) -> Result<ToolLimits, Failure> {
    if !(1..=3_600_000).contains(&options.tool_ms) {
        return Err(Failure::invalid(format!("tool_ms is {}: give 1 to 3,600,000", options.tool_ms)));
    }
    let bytes = usize::try_from(options.tool_bytes).ok().filter(|bytes| (100..=65_536).contains(bytes));
    let output_bytes =
        bytes.ok_or_else(|| Failure::invalid(format!("tool_bytes is {}: give 100 to 65,536", options.tool_bytes)))?;
    Ok(ToolLimits { output_bytes, wall: Duration::from_millis(options.tool_ms) })
}

/// # Safety
/// `tools` is NULL or holds `n` handles.
unsafe fn read_tools(call: &Call, tools: *const *const rum_tool, n: usize) -> Result<Vec<Tool>, Failure> {
    if n == 0 {
        return Ok(Vec::new());
    }
    not_null(tools, "the tools")?;
    if n > 64 {
        return Err(Failure::invalid(format!("{n} tools: give at most 64")));
    }
    // SAFETY: the caller's promise: `n` handles can be read; not NULL.
    let handles = unsafe { std::slice::from_raw_parts(tools, n) };
    handles.iter().map(|&tool| Ok(call.object::<Tool>(tool)?.value.clone())).collect()
}

/// The examples of JSON lines; empty lines are left out.
fn read_shots(lines: &str) -> Result<Vec<Shot>, Failure> {
    let shot = |(line, text): (usize, &str)| {
        let wrong = |what: String| Failure::new(rum_status::RUM_ERR_FORMAT, format!("line {line}: {what}"));
        let row: Value = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let field =
            |name: &str| row[name].as_str().map(str::to_owned).ok_or_else(|| wrong(format!("no text {name:?}")));
        Ok(Shot { question: field("question")?, answer: field("answer")? })
    };
    (1..).zip(lines.lines()).filter(|(_, text)| !text.trim().is_empty()).map(shot).collect()
}

/// What there is to choose from, as one JSON object. `methods`: each with its `name`, what it is `about` with its paper, its `cost` in
/// calls of the model, and its `kind`: `prompt`, or `method` for several calls. `tools`: the built-in ones, each with its `name`,
/// `about` and `schema`. `prompts`: the words of all methods by name, as a folder may replace them. The caller frees `out`. From any
/// thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_methods_json(out: *mut *mut rum_text) -> rum_status {
    entry("rum_methods_json", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let (few_shot, memory) = (FewShot::new(Vec::new()), Memory::new(Vec::new(), 0));
        let made_of_examples: [&dyn Strategy; 2] = [&few_shot, &memory];
        let method = |strategy: &dyn Strategy| {
            json!({
                "name": strategy.name(),
                "about": strategy.about(),
                "cost": strategy.cost(),
                "kind": if strategy.steps().is_some() { "method" } else { "prompt" },
            })
        };
        let named = ALL.into_iter().map(&method);
        let methods: Vec<Value> = named.chain(made_of_examples.into_iter().map(&method)).collect();
        let tool =
            |tool: Arc<dyn Callable>| json!({"name": tool.name(), "about": tool.about(), "schema": tool.schema()});
        let tools: Vec<Value> = Toolbox::all_built_in().map(tool).collect();
        let listed = json!({"methods": methods, "tools": tools, "prompts": Prompts::default().all()});
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(listed.to_string(), out) }
    })
}

/// Frees a method; NULL is fine. Runs that use it go on.
#[unsafe(no_mangle)]
pub extern "C" fn rum_method_free(method: *mut rum_method) -> rum_status {
    free::<Method>("rum_method_free", method)
}
