//! `solve`: search for an answer.

use clap::builder::FalseyValueParser;
use ruminate::engine::Engine;
use ruminate::reason::{Inquiry, Strategy};
use ruminate::search::{Outcome, StopReason};
use ruminate::text::Thinking;
use ruminate::trace::JudgeRecord;
use serde_json::json;

use crate::checkpoint::CheckpointArgs;
use crate::exit::{Code, Failure};
use crate::grammar_args::GrammarArgs;
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style, escape};
use crate::record::{self, RecordArgs};
use crate::search_args::SearchArgs;
use crate::watch::Watch;
use crate::{calibration, input, signal, spent, width};

/// Search for an answer: many lines of thought at once, and a vote over their answers.
#[derive(clap::Args)]
pub struct Args {
    /// The question; `-` reads standard input.
    question: String,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    grammar: GrammarArgs,
    /// Show the thinking of models that mark it, too; JSON always has it.
    #[arg(long, env = "RUMINATE_SHOW_THINKING", value_parser = FalseyValueParser::new())]
    show_thinking: bool,
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let question = input::text(Some(args.question.as_str()), "the question")?;
    if question.trim().is_empty() {
        return Err(Failure::usage("the question is empty"));
    }
    let own_model = args.model.source.model.is_some();
    let (by_calibration, resources) = (args.search.strategy().is_auto(), args.search.strategy().resources()?);
    // What is wrong with the flags is said before a model is loaded.
    let chosen = if by_calibration { None } else { Some(args.search.strategy().choose(own_model)?) };
    let settled = chosen.as_deref().map(|strategy| args.search.setting(strategy)).transpose()?;
    let grammar = args.grammar.grammar("")?;
    let mut model = args.model.load()?;
    let (strategy, setting) = match (chosen, settled) {
        (Some(strategy), Some(setting)) => (strategy, setting),
        _ => calibration::choose(&args.search, &args.model, &model, output)?,
    };
    let cancel = signal::token();
    let source = width::settle(&mut model, &args.search.lanes(&[setting]), &cancel, output);
    let mut params = args.search.params(&setting, strategy.stop_at_answer(), args.search.seed());
    params.thinking = model.thinking();
    let mark = params.thinking.as_ref().map_or(strategy.answer_mark(), Thinking::mark).to_owned();
    params.grammar = if grammar.is_some() { args.grammar.grammar(&mark)? } else { None };
    let judge = args.search.judge.in_search(&args.model);
    model.judge = judge.load(&model)?;
    let mut watch = Watch::new(output, &params.budget);
    let (words, template) = (&model.tokenizer, model.template.as_ref());
    let inquiry = Inquiry::new(&*strategy, &question, words, template, &params, &resources)?;
    let mut header = record::header(&model, &args.model, question.trim(), strategy.name(), inquiry.prompt(), &params);
    header.judge = judge.record().map(|name| JudgeRecord { name });
    if strategy.steps().is_some() {
        header.prompts = resources.prompts.changed().clone();
        header.strategy_detail = strategy.detail();
        header.tools = args.search.strategy().tools().to_vec();
    }
    let (engine, judge) = (&mut model.engine, model.judge.as_deref_mut());
    let mut kept = Ok(());
    let (outcome, recorded) = args.record.around(&header, &mut watch, |observer| {
        let (outcome, file) = args.checkpoint.search(&inquiry, &mut **engine, judge, observer, &cancel)?;
        kept = file;
        Ok(outcome)
    })?;
    let printed = watch.finish();
    let outcome = outcome?;
    printed?;
    if output.json {
        output.document(&document(args, &*strategy, &outcome, &model, source, params.thinking.as_ref()))?;
    } else if !outcome.is_empty() {
        show(output, &outcome, params.thinking.as_ref(), args.show_thinking)?;
    }
    recorded?;
    kept?;
    match outcome.stop_reason {
        StopReason::Cancelled => Err(Failure::quiet(Code::Interrupted)),
        reason if outcome.is_empty() => {
            Err(Failure::new(Code::Nothing, format!("nothing could be produced within the budget ({reason})")))
        }
        _ => Ok(()),
    }
}

fn show(output: &Output, outcome: &Outcome, thinking: Option<&Thinking>, with_it: bool) -> Result<(), Failure> {
    let answer = outcome.answer.as_deref().unwrap_or("none");
    if output.quiet {
        return output.line(&escape(answer));
    }
    output.line("")?;
    if let Some(thought) = thinking.and_then(|thinking| thinking.thought(&outcome.text)).filter(|_| with_it) {
        output.line(&output.paint(Style::Dim, escape(thought).trim()))?;
        output.line("")?;
    }
    let visible = thinking.map_or(outcome.text.as_str(), |thinking| thinking.visible(&outcome.text));
    output.line(escape(visible).trim_end())?;
    output.line("")?;
    for candidate in &outcome.candidates {
        let votes = format!("{:>3} {}", candidate.votes, if candidate.votes == 1 { "vote " } else { "votes" });
        let bar = "#".repeat(candidate.votes.min(60));
        output.line(&format!("{votes}  {:<12} {}", escape(&candidate.answer), output.paint(Style::Dim, &bar)))?;
    }
    if !outcome.complete {
        output.note(Style::Dim, "the text was cut short");
    }
    output.line(&format!("answer: {}", output.paint(Style::Good, &escape(answer))))?;
    let (usage, reason) = (&outcome.usage, outcome.stop_reason);
    let seconds = usage.wall.as_secs_f64();
    let tokens = usage.policy_tokens;
    output.note(Style::Dim, &format!("{tokens} tokens in {} passes, {seconds:.2} s ({reason})", usage.forward_passes));
    Ok(())
}

fn document(
    args: &Args,
    strategy: &dyn Strategy,
    outcome: &Outcome,
    model: &Loaded,
    width: width::Source,
    thinking: Option<&Thinking>,
) -> serde_json::Value {
    let candidates = outcome
        .candidates
        .iter()
        .map(|c| json!({"answer": c.answer, "votes": c.votes, "weight": c.weight, "score": c.score}));
    json!({
        "answer": outcome.answer,
        "text": thinking.map_or(outcome.text.as_str(), |thinking| thinking.visible(&outcome.text)),
        "thinking": thinking.and_then(|thinking| thinking.thought(&outcome.text)),
        "complete": outcome.complete,
        "score": outcome.score,
        "stop_reason": outcome.stop_reason.name(),
        "algo": strategy.steps().is_none().then(|| outcome.algo.name()),
        "strategy": strategy.name(),
        "seed": outcome.seed,
        "candidates": candidates.collect::<Vec<_>>(),
        "usage": spent::document(&outcome.usage),
        "free_width": model.engine.info().free_width,
        "free_width_source": width.name(),
        "model": model.document(&args.model.source.name()),
    })
}
