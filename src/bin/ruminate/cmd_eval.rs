//! `eval`: accuracy over a question set.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ruminate::engine::Engine;
use ruminate::observe::CancelToken;
use ruminate::reason::{Resources, Strategy};
use ruminate::reward::verify::{Countdown, VerifierJudge};
use ruminate::text::Thinking;
use serde_json::{Value, json};

use crate::ask::{Asked, ParallelArgs, Respondent, side_by_side};
use crate::dataset::{self, Dataset, Format, Question};
use crate::eval::{self, Key, Log, Record, Samples, Summary};
use crate::exit::{Code, Failure};
use crate::grammar_args::GrammarArgs;
use crate::judge_args::JudgeArgs;
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style, write_file};
use crate::provenance::{digest, prompt_digest};
use crate::search_args::{SearchArgs, Setting};
use crate::{input, signal, width};

/// Measure accuracy over a question set, for one search or for several side by side.
///
/// --algo, --n, --budget-tokens and --budget-ms take lists with commas; every combination is measured, row by row. The first one
/// is what the others are compared with. Intervals are Wilson's at 95 %, p is McNemar's exact two-sided one.
///
/// A game24 set is the CSV of the Tree-of-Thoughts paper, whose test is --rows 900..1000.
#[derive(clap::Args)]
pub struct Args {
    /// The question set: JSON lines, or CSV for game24; `-` reads standard input.
    #[arg(value_name = "FILE", required_unless_present = "data")]
    file: Option<PathBuf>,
    /// The question set, as a flag.
    #[arg(long, env = "RUMINATE_DATA", value_name = "FILE", conflicts_with = "file")]
    data: Option<PathBuf>,
    /// Its format; without it, what its first row shows.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum)]
    format: Option<Format>,
    /// Rows from A on, B left out, counted from 0; all without it.
    #[arg(long, env = "RUMINATE_ROWS", value_name = "A..B", value_parser = dataset::rows)]
    rows: Option<Range<usize>>,
    /// Rows to leave out at the start.
    #[arg(long, env = "RUMINATE_OFFSET", value_name = "N", default_value_t = 0, conflicts_with = "rows")]
    offset: usize,
    /// Rows, at most.
    #[arg(long, env = "RUMINATE_LIMIT", value_name = "N", conflicts_with = "rows")]
    limit: Option<usize>,
    /// Runs of every row, with the seeds S, S+1, ….
    #[arg(long, env = "RUMINATE_REPEAT", value_name = "N", default_value_t = 1)]
    repeat: usize,
    #[command(flatten)]
    parallel: ParallelArgs,
    /// Append every result to this file of JSON lines, and go on where a run that was stopped left off.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a page with curves, table and answers, which needs no network.
    #[arg(long, env = "RUMINATE_REPORT", value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    grammar: GrammarArgs,
}

/// Everything that the searches of one run share.
struct Run<'a> {
    args: &'a Args,
    strategy: &'a dyn Strategy,
    resources: &'a Resources,
    settings: Vec<Setting>,
    judge: JudgeArgs,
    thinking: Option<Thinking>,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let path =
        args.data.as_ref().or(args.file.as_ref()).ok_or_else(|| Failure::usage("the question set is missing"))?;
    if args.report.as_ref().is_some_and(|report| report == path || args.out.as_ref() == Some(report)) {
        return Err(Failure::usage("--report names a file that this run reads or goes on with"));
    }
    let text = input::file(path)?;
    let named = |e: String| Failure::data(format!("{}: {e}", path.display()));
    let data = Dataset::parse(&text, args.format).map_err(named)?;
    let rows = args.chosen(data.questions.len())?;
    let own_model = args.model.source.model.is_some();
    if args.search.strategy().is_auto() {
        return Err(Failure::usage(
            "`eval` measures strategies by their names; `reason calibrate` measures all of them for `auto`",
        ));
    }
    let strategy = args.search.strategy().choose(own_model && !data.format.is_puzzle())?;
    args.grammar.grammar("")?;
    let resources = args.search.strategy().resources()?;
    let settings = args.search.settings_of(&*strategy)?;
    let judge = args.search.judge.in_search(&args.model);
    let mut run = Run { args, strategy: &*strategy, resources: &resources, settings, judge, thinking: None };
    args.parallel.check(&args.search)?;
    for setting in &run.settings {
        args.search.params(setting, true, 0).validate()?;
    }
    let mut model = args.model.load()?;
    run.thinking = model.thinking();
    let about =
        json!({ "file": path.display().to_string(), "format": data.format.name(), "rows": data.questions.len() });
    let mut log = match &args.out {
        Some(out) => Log::open(out, &run.fixed(&text, &data, &model), &about)?,
        None => Log::in_memory(),
    };
    let cancel = signal::token();
    width::settle(&mut model, &args.search.lanes(&run.settings), &cancel, output);
    run.search_all(&mut model, &data.questions, &rows, &mut log, &cancel, output)?;
    let finished = !cancel.is_cancelled();
    let mut records: Vec<Record> = log.records().iter().filter(|r| run.covers(&rows, &r.key)).cloned().collect();
    records.sort_by_key(|record| (record.key.row, record.key.repeat));
    let summaries = eval::summarise(&run.settings, args.search.draws_all(), &records);
    let document = json!({ "finished": finished, "data": about, "strategy": run.strategy.name(), "model": model.document(&args.model.source.name()) });
    if let Some(path) = &args.report {
        let page = eval::page(&document, &summaries, &data.questions, &records);
        write_file(path, &page)?;
        output.note(Style::Dim, &format!("report: {}", path.display()));
    }
    if output.json {
        output.document(&whole(document, &summaries, &data.questions, &records)?)?;
    } else {
        eval::show(output, &summaries)?;
    }
    if finished { Ok(()) } else { Err(Failure::quiet(Code::Interrupted)) }
}

impl Args {
    /// The rows that are wanted of a set of `n`.
    fn chosen(&self, n: usize) -> Result<Range<usize>, Failure> {
        if self.repeat == 0 {
            return Err(Failure::usage("--repeat counts from 1"));
        }
        let rows = match &self.rows {
            Some(rows) => rows.clone(),
            None => self.offset..self.limit.map_or(n, |limit| self.offset.saturating_add(limit).min(n)),
        };
        dataset::within(rows, n)
    }
}

impl Run<'_> {
    /// What all results of one file have in common.
    fn fixed(&self, text: &str, data: &Dataset, model: &Loaded) -> Value {
        let mut fixed = self.args.search.common(&self.judge);
        fixed["data"] = digest(text).into();
        fixed["format"] = data.format.name().into();
        fixed["prompt"] = prompt_digest(self.strategy).into();
        if self.strategy.steps().is_some() {
            fixed["prompts"] = digest(&format!("{:?}", self.resources.prompts.all())).into();
            fixed["tools"] = self.args.search.strategy().tools().into();
        }
        if let Ok(Some(grammar)) = self.args.grammar.grammar("") {
            fixed["grammar"] = json!(grammar);
        }
        fixed["model"] = model.engine.info().fingerprint.as_str().into();
        fixed["n_ctx"] = model.engine.info().n_ctx.into();
        fixed["kv"] = model.options.kv_type.name().into();
        if let Some(backend) = model.other_backend() {
            fixed["backend"] = backend.into();
        }
        // Times of searches that waited for each other are not those of searches alone.
        if self.args.parallel.parallel > 1 {
            fixed["parallel"] = self.args.parallel.parallel.into();
        }
        fixed
    }

    /// What is not done yet. Settings change fastest, so that a run that is stopped has put the same rows to all of them.
    fn todo(&self, rows: &Range<usize>, log: &Log) -> Vec<(Setting, Key)> {
        let mut todo = Vec::new();
        for row in rows.clone() {
            for repeat in 0..self.args.repeat {
                for &setting in &self.settings {
                    let key = Key { row, repeat, config: setting.name() };
                    if !log.contains(&key) {
                        todo.push((setting, key));
                    }
                }
            }
        }
        todo
    }

    /// Whether this run asks for that search, which a result file may hold beside others.
    fn covers(&self, rows: &Range<usize>, key: &Key) -> bool {
        rows.contains(&key.row)
            && key.repeat < self.args.repeat
            && self.settings.iter().any(|setting| setting.name() == key.config)
    }

    /// Every search that is not done yet, as many side by side as the user says, until all are done or `cancel` is.
    fn search_all(
        &self,
        model: &mut Loaded,
        questions: &[Question],
        rows: &Range<usize>,
        log: &mut Log,
        cancel: &CancelToken,
        output: &Output,
    ) -> Result<(), Failure> {
        let todo = self.todo(rows, log);
        let bar = output.count_progress("searches", todo.len() as u64);
        let (n, right) = (self.args.parallel.parallel.min(todo.len()).max(1), &mut 0usize);
        let (todo, done) = (Mutex::new(todo.into_iter()), Mutex::new((log, right)));
        let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
        side_by_side(model, n, &self.judge.of_the_model(), cancel, |respondent| {
            while let Some((setting, key)) = next().filter(|_| !cancel.is_cancelled()) {
                let question = questions.get(key.row).ok_or_else(|| Failure::usage("a row is out of range"))?;
                let Some(record) = self.search(respondent, question, &setting, key, cancel)? else { break };
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                let (log, right) = &mut *done;
                **right += usize::from(record.correct);
                log.push(record)?;
                bar.inc(1);
                bar.set_message(format!("{right} of {} right,", bar.position()));
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    /// One search; `None` when it was interrupted.
    fn search(
        &self,
        respondent: &mut Respondent<'_>,
        question: &Question,
        setting: &Setting,
        key: Key,
        cancel: &CancelToken,
    ) -> Result<Option<Record>, Failure> {
        let seed = self.args.search.seed().wrapping_add(key.repeat as u64);
        let mut params = self.args.search.params(setting, self.strategy.stop_at_answer(), seed);
        params.thinking = self.thinking.clone();
        let mark = params.thinking.as_ref().map_or(self.strategy.answer_mark(), Thinking::mark).to_owned();
        params.grammar = self.args.grammar.grammar(&mark)?;
        let mut samples = Samples::default();
        let how = (self.strategy, self.resources);
        let asked = match self.puzzle_judge(question)? {
            Some(mut judge) => respondent.judged_by(&mut judge).ask(&question.text, how, &params, &mut samples, cancel),
            None => respondent.ask(&question.text, how, &params, &mut samples, cancel),
        };
        match asked {
            Ok(Asked::Interrupted) => Ok(None),
            Ok(Asked::Answered(outcome)) => Ok(Some(Record::new(key, &question.gold, &outcome, samples))),
            Ok(Asked::TooLong(error)) => Ok(Some(Record::failed(key, error.to_string()))),
            Err(failure) => Err(failure.context(format!("row {}", key.row))),
        }
    }
}

impl Run<'_> {
    /// The judge of this question alone, if the user wants one.
    fn puzzle_judge(&self, question: &Question) -> Result<Option<VerifierJudge<Countdown>>, Failure> {
        if !self.judge.is_own_puzzle() {
            return Ok(None);
        }
        let judge = question.gold.puzzle_judge();
        judge.map(Some).ok_or_else(|| Failure::usage("--judge puzzle goes with sets of puzzles: game24 and countdown"))
    }
}

/// The document: the first setting's figures, and those of all settings.
fn whole(about: Value, summaries: &[Summary], questions: &[Question], records: &[Record]) -> Result<Value, Failure> {
    let failed = |e: serde_json::Error| Failure::new(Code::Failure, format!("writing the summary: {e}"));
    let mut configs = Vec::new();
    for summary in summaries {
        let mut config = serde_json::to_value(summary).map_err(failed)?;
        let rows = records.iter().filter(|record| record.key.config == summary.config).map(|record| {
            json!({
                "row": record.key.row,
                "repeat": record.key.repeat,
                "correct": record.correct,
                "answer": record.answer,
                "gold": questions.get(record.key.row).map(|question| question.gold.to_string()),
                "stop_reason": record.stop_reason,
                "error": record.error,
                "policy_tokens": record.cost.policy_tokens,
                "wall_ms": record.cost.wall_ms,
            })
        });
        config["by_row"] = rows.collect();
        configs.push(config);
    }
    let mut document = configs.first().cloned().unwrap_or_default();
    for (name, value) in about.as_object().into_iter().flatten() {
        document[name] = value.clone();
    }
    document["configs"] = configs.into();
    Ok(document)
}
