//! `trace replay`: the recorded search once more, compared node by node.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{FalseyValueParser, RangedU64ValueParser};
use indicatif::ProgressBar;
use ruminate::engine::Engine;
use ruminate::observe::{CancelToken, Event, Observer};
use ruminate::reason::{AnyStrategy, Inquiry, Prompts, Resources};
use ruminate::search::{Outcome, Search, SearchParams, StopReason};
use ruminate::simd::Isa;
use ruminate::trace::{AdapterRecord, Header, Replay, Trace, Verdict};
use serde_json::json;

use crate::adapter_args::AdapterArg;
use crate::backend::BackendArgs;
use crate::cmd_trace;
use crate::exit::{Code, Failure};
use crate::judge_args::JudgeArgs;
use crate::model::{Kv, Loaded, ModelArgs};
use crate::output::{Output, Style, escape_line};
use crate::signal;
use crate::source::SourceArgs;
use crate::strategy_args::toolbox;

/// Run a recorded search again and compare every node with the trace. Threads, width and instruction set may differ: the
/// tokens do not.
#[derive(clap::Args)]
pub struct Args {
    /// The trace.
    file: PathBuf,
    /// The model file; the one that the trace names without it.
    #[arg(long, short, env = "RUMINATE_MODEL", value_name = "PATH")]
    model: Option<PathBuf>,
    /// Read the model into memory instead of mapping the file.
    #[arg(long, env = "RUMINATE_NO_MMAP", value_parser = FalseyValueParser::new())]
    no_mmap: bool,
    /// Threads; all processors without it.
    #[arg(long, short, env = "RUMINATE_THREADS", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// Samples decoded at once, at most; as many as were then without it.
    #[arg(long, env = "RUMINATE_WIDTH", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    width: Option<usize>,
    /// Instruction set of the kernels; the best of this machine without it.
    #[arg(long, env = "RUMINATE_ISA", value_name = "NAME", value_parser = crate::model::isa)]
    isa: Option<Isa>,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let trace = cmd_trace::read(&args.file)?;
    let header = &trace.header;
    let mut model = load(args, header)?;
    if header.version != env!("CARGO_PKG_VERSION") {
        let version = escape_line(&header.version);
        output.note(Style::Dim, &format!("the trace was written by version {version}; another may search differently"));
    }
    let width = args.width.unwrap_or(header.free_width).clamp(1, 1024);
    model.engine.set_free_width(width);
    let params = Replay::params(&trace);
    let cancel = signal::token();
    let mut bar = Bar(output.count_progress("nodes", trace.nodes.len() as u64));
    let mut replay = Replay::new(&trace, width, &cancel, &mut bar);
    if let Some(judge) = &header.judge {
        model.judge = JudgeArgs::recorded(&judge.name).load(&model)?;
    }
    let outcome = search_again(&mut model, &trace, &params, &mut replay, &cancel)?;
    if outcome.stop_reason == StopReason::Cancelled && !replay.is_settled() {
        return Err(Failure::quiet(Code::Interrupted));
    }
    let verdict = replay.finish(&outcome);
    bar.0.finish_and_clear();
    report(&verdict, output)
}

/// The recorded search once more: by its method, if one made it.
fn search_again(
    model: &mut Loaded,
    Trace { header, journal, .. }: &Trace,
    params: &SearchParams,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Outcome, Failure> {
    let (engine, judge) = (&mut model.engine, model.judge.as_deref_mut());
    let (words, prompt) = (&model.tokenizer, &header.prompt.tokens);
    let strategy = match (header.strategy.as_deref(), header.strategy_detail.as_str()) {
        // A prompt stands in the trace as it is, and its examples with it.
        (Some(name), "") => AnyStrategy::by_name(name).ok(),
        (Some(name), detail) => Some(AnyStrategy::recorded(name, detail)?),
        (None, _) => None,
    };
    let Some(strategy) = strategy.as_deref().filter(|strategy| strategy.steps().is_some()) else {
        let search = Search::new(engine, words, prompt, params, judge, &header.question)?;
        let mut search = search.with_journal(journal)?;
        search.advance(u64::MAX, observer, cancel)?;
        return Ok(search.finish(observer));
    };
    let resources = Resources {
        prompts: Prompts::with(header.prompts.clone())?,
        tools: toolbox(&header.tools)?,
        journal: journal.clone(),
        replayed: true,
    };
    let inquiry = Inquiry::new(strategy, &header.question, words, model.template.as_ref(), params, &resources)?;
    if inquiry.prompt() != prompt {
        return Err(Failure::data("the trace's prompt is not the one that its method begins with here"));
    }
    Ok(inquiry.solve(engine, judge, observer, cancel)?)
}

/// The recorded model, made to run as it did.
fn load(args: &Args, header: &Header) -> Result<Loaded, Failure> {
    let recorded = &header.model;
    let kv = match &recorded.kv_type {
        Some(name) => Kv::from_str(name, false).map_err(|_| Failure::data(format!("no keys are kept as {name:?}")))?,
        None => Kv::F16,
    };
    let named = recorded.path.as_ref().map(PathBuf::from);
    let source = SourceArgs { model: args.model.clone().or(named), no_mmap: args.no_mmap };
    let name = source.name();
    let (threads, isa, ctx) = (args.threads, args.isa, Some(recorded.n_ctx));
    let backend = BackendArgs::recorded(recorded.backend.as_deref())?;
    let adapter = |a: &AdapterRecord| AdapterArg { file: PathBuf::from(&a.path), scale: a.scale };
    let adapters = recorded.adapters.iter().map(adapter).collect();
    let args = ModelArgs { source, threads, ctx, adapters, backend, kv, isa, packed_cache: None };
    let model = args.load()?;
    let fingerprint = &model.engine.info().fingerprint;
    if *fingerprint != recorded.fingerprint {
        let (then, now) = (&recorded.fingerprint, fingerprint);
        return Err(Failure::data(format!(
            "{name} has the fingerprint {now} and the trace was made with {then}: give that model with --model, and have the \
             adapters that the trace names where they were"
        )));
    }
    Ok(model)
}

fn report(verdict: &Verdict, output: &Output) -> Result<(), Failure> {
    if output.json {
        let difference = verdict.difference.as_ref();
        let difference = difference
            .map(|d| json!({ "node": d.node, "field": d.field, "recorded": d.recorded, "replayed": d.replayed }));
        output.document(&json!({
            "identical": verdict.difference.is_none(),
            "nodes": verdict.nodes,
            "tokens": verdict.tokens,
            "beside": verdict.beside,
            "difference": difference,
        }))?;
    }
    match &verdict.difference {
        Some(_) if output.json => Err(Failure::quiet(Code::Failure)),
        Some(difference) => Err(Failure::new(Code::Failure, format!("the replay differs: {difference}"))),
        None if output.json => Ok(()),
        None => output.line(&verdict.to_string()),
    }
}

/// Counts nodes.
struct Bar(ProgressBar);

impl Observer for Bar {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { .. } = event {
            self.0.inc(1);
        }
    }
}
