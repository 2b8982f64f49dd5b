//! `solve`: search for an answer.

use ruminate::engine::Engine;
use ruminate::reason::{Inquiry, Strategy};
use ruminate::search::{Outcome, StopReason};
use ruminate::trace::JudgeRecord;
use serde_json::json;

use crate::checkpoint::CheckpointArgs;
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style, escape};
use crate::record::{self, RecordArgs};
use crate::search_args::SearchArgs;
use crate::watch::Watch;
use crate::{input, signal, spent, width};

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
    record: RecordArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let question = input::text(Some(args.question.as_str()), "the question")?;
    if question.trim().is_empty() {
        return Err(Failure::usage("the question is empty"));
    }
    let strategy = args.search.strategy().choose(args.model.source.model.is_some())?;
    let setting = args.search.setting(&*strategy)?;
    let resources = args.search.strategy().resources()?;
    let mut model = args.model.load()?;
    let cancel = signal::token();
    let source = width::settle(&mut model, &args.search.lanes(&[setting]), &cancel, output);
    let params = args.search.params(&setting, strategy.stop_at_answer(), args.search.seed());
    model.judge = args.search.judge.load(&model)?;
    let mut watch = Watch::new(output, &params.budget);
    let (words, template) = (&model.tokenizer, model.template.as_ref());
    let inquiry = Inquiry::new(&*strategy, &question, words, template, &params, &resources)?;
    let mut header = record::header(&model, &args.model, question.trim(), strategy.name(), inquiry.prompt(), &params);
    header.judge = args.search.judge.record().map(|name| JudgeRecord { name });
    if strategy.steps().is_some() {
        header.prompts = resources.prompts.changed().clone();
        header.tools = args.search.strategy().tools().to_vec();
    }
    let (engine, judge) = (&mut model.engine, model.judge.as_deref_mut());
    let (outcome, recorded) = args.record.around(&header, &mut watch, |observer| {
        args.checkpoint.search(&inquiry, &mut **engine, judge, observer, &cancel)
    })?;
    let printed = watch.finish();
    let outcome = outcome?;
    printed?;
    if output.json {
        output.document(&document(args, &*strategy, &outcome, &model, source))?;
    } else if !outcome.is_empty() {
        show(output, &outcome)?;
    }
    recorded?;
    match outcome.stop_reason {
        StopReason::Cancelled => Err(Failure::quiet(Code::Interrupted)),
        reason if outcome.is_empty() => {
            Err(Failure::new(Code::Nothing, format!("nothing could be produced within the budget ({reason})")))
        }
        _ => Ok(()),
    }
}

fn show(output: &Output, outcome: &Outcome) -> Result<(), Failure> {
    let answer = outcome.answer.as_deref().unwrap_or("none");
    if output.quiet {
        return output.line(&escape(answer));
    }
    output.line("")?;
    output.line(escape(&outcome.text).trim_end())?;
    output.line("")?;
    for candidate in &outcome.candidates {
        let votes = format!("{:>3} {}", candidate.votes, if candidate.votes == 1 { "vote " } else { "votes" });
        let bar = "#".repeat(candidate.votes.min(60));
        output.line(&format!("{votes}  {:<12} {}", escape(&candidate.answer), output.paint(Style::Dim, &bar)))?;
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
) -> serde_json::Value {
    let candidates = outcome
        .candidates
        .iter()
        .map(|c| json!({"answer": c.answer, "votes": c.votes, "weight": c.weight, "score": c.score}));
    json!({
        "answer": outcome.answer,
        "text": outcome.text,
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
