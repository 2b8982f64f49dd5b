//! `learn collect`: labelled steps of samples of questions with known answers.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use ruminate::ErrorKind;
use ruminate::engine::{Engine, SamplerParams, Tap};
use ruminate::learn::preference::Preference;
use ruminate::learn::{self, Block, Origin, PairParams, Recorder, RowWriter};
use ruminate::observe::{CancelToken, Silent};
use ruminate::reason::{self, Strategy};
use ruminate::search::SearchParams;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::pair_writer::PairWriter;
use crate::dataset::{self, Dataset, Format, Question};
use crate::exit::{Code, Failure};
use crate::model::{Loaded, ModelArgs};
use crate::output::{Output, Style};
use crate::strategy_args::StrategyArgs;
use crate::{input, signal, size, width};

/// Sample solutions of a question set and keep every step's hidden states, labelled with the solution's outcome.
///
/// The file grows question by question; a run that was stopped goes on where it left off. Files of one model can be fitted on
/// together.
#[derive(clap::Args)]
pub struct CollectArgs {
    /// The question set, as `eval` reads it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its format; without it, what its first row shows.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum)]
    format: Option<Format>,
    /// Rows from A on, B left out, counted from 0; all without it.
    #[arg(long, env = "RUMINATE_ROWS", value_name = "A..B", value_parser = dataset::rows)]
    rows: Option<Range<usize>>,
    /// The i-th of n parts of the rows, i from 0: parts can be collected on several machines.
    #[arg(long, env = "RUMINATE_SHARD", value_name = "I/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// The file of labelled steps.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: PathBuf,
    /// Also write preference pairs for `learn dpo`: of every question right solutions against wrong ones.
    #[arg(long, env = "RUMINATE_PAIRS", value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Pairs of one question, at most.
    #[arg(long, env = "RUMINATE_PAIRS_PER_QUESTION", value_name = "N", default_value_t = 4, requires = "pairs")]
    pairs_per_question: usize,
    /// Where hidden states are read: layers counted from 0, and `final` for the state after the final norm. Without it, a layer
    /// two thirds up and `final`.
    #[arg(long, env = "RUMINATE_TAPS", value_name = "LAYER,…", value_delimiter = ',', value_parser = tap)]
    taps: Vec<Tap>,
    /// Samples of every question.
    #[arg(long, env = "RUMINATE_N", value_name = "N", default_value_t = 16)]
    n: usize,
    #[command(flatten)]
    strategy: StrategyArgs,
    /// Samples decoded at once, at most; measured without it.
    #[arg(long, env = "RUMINATE_WIDTH", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    width: Option<usize>,
    /// Tokens of one sample, at most.
    #[arg(long, env = "RUMINATE_MAX_TOKENS", value_name = "N", default_value_t = 512)]
    max_tokens: u64,
    /// Temperature.
    #[arg(long, env = "RUMINATE_TEMP", value_name = "T", default_value_t = 0.8)]
    temp: f32,
    /// Draw among the fewest tokens whose probabilities add up to P.
    #[arg(long, env = "RUMINATE_TOP_P", value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the random numbers.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    model: ModelArgs,
}

/// What came of a run.
#[derive(Default)]
struct Collected {
    questions: usize,
    rows: usize,
    samples: usize,
    right: usize,
    too_long: usize,
    pairs: usize,
}

pub fn run(args: &CollectArgs, output: &Output) -> Result<(), Failure> {
    if args.out == args.file {
        return Err(Failure::usage("--out names the question set itself"));
    }
    let text = input::file(&args.file)?;
    let data = Dataset::parse(&text, args.format);
    let data = data.map_err(|e| Failure::data(format!("{}: {e}", args.file.display())))?;
    let numbers = args.numbers(data.questions.len())?;
    let strategy = args.strategy.choose(args.model.source.model.is_some() && !data.format.is_puzzle())?;
    let params = args.params(&*strategy);
    params.validate()?;
    let mut model = args.model.load()?;
    let origin = args.origin(&text, &*strategy, &params, &model)?;
    let mut recorder = Recorder::new(origin.taps.clone())?;
    let mut out = RowWriter::open(&args.out, &origin)?;
    let mut pairs = args.pairs.as_deref().map(|path| PairWriter::open(path, &origin, &out)).transpose()?;
    let todo: Vec<usize> = numbers.into_iter().filter(|&number| !out.contains(number as u64)).collect();
    let cancel = signal::token();
    let lanes = width::Lanes { width: args.width, branches: args.n, wall: None };
    width::settle(&mut model, &lanes, &cancel, output);
    let bar = output.count_progress("questions", todo.len() as u64);
    let mut collected = Collected::default();
    let start = Instant::now();
    let mut finished = true;
    for number in todo {
        let question = data.questions.get(number).ok_or_else(|| Failure::usage("a row is out of range"))?;
        let block = if cancel.is_cancelled() {
            None
        } else {
            sample(&mut model, &*strategy, question, number, &params, &mut recorder, &cancel)?
        };
        let Some(block) = block else {
            finished = false;
            break;
        };
        if let Some(pairs) = &mut pairs {
            let found = of_question(&recorder, &*strategy, question, &model, args.pairs_per_question)?;
            collected.pairs += found.len();
            pairs.push(number, found)?;
        }
        out.push(&block)?;
        collected.count(&block);
        bar.set_message(format!("{} of {} samples right,", collected.right, collected.samples));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    show(args, &origin, &out, &collected, (seconds, finished), &model, output)?;
    if finished { Ok(()) } else { Err(Failure::quiet(Code::Interrupted)) }
}

/// One question's block; `None` when it was interrupted. A question that is too long gets an empty one.
pub fn sample(
    model: &mut Loaded,
    strategy: &dyn Strategy,
    question: &Question,
    number: usize,
    params: &SearchParams,
    recorder: &mut Recorder,
    cancel: &CancelToken,
) -> Result<Option<Block>, Failure> {
    let number = number as u64;
    let block =
        reason::prompt(strategy, &question.text, &model.tokenizer, model.template.as_ref()).and_then(|prompt| {
            let verifier = question.gold.verifier();
            let question = learn::Question { number, text: &question.text, prompt: &prompt, verifier };
            learn::collect(&mut model.engine, &model.tokenizer, &question, params, recorder, &mut Silent, cancel)
        });
    match block {
        Err(error) if error.kind() == ErrorKind::ContextLength => {
            Ok(Some(Block { question: number, rows: Vec::new() }))
        }
        block => block.map_err(|e| Failure::from(e).context(format!("row {number}"))),
    }
}

/// The pairs of the question that `recorder` was told of last.
pub fn of_question(
    recorder: &Recorder,
    strategy: &dyn Strategy,
    question: &Question,
    model: &Loaded,
    most: usize,
) -> Result<Vec<Preference>, Failure> {
    let prompt = reason::prompt(strategy, &question.text, &model.tokenizer, model.template.as_ref());
    let prompt = match prompt {
        Ok(tokens) => String::from_utf8_lossy(&model.tokenizer.decode(&tokens, true)).into_owned(),
        Err(error) if error.kind() == ErrorKind::ContextLength => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(learn::pairs(recorder, &prompt, question.gold.verifier(), &PairParams { most, ..PairParams::default() }))
}

fn show(
    args: &CollectArgs,
    origin: &Origin,
    out: &RowWriter,
    collected: &Collected,
    (seconds, finished): (f64, bool),
    model: &Loaded,
    output: &Output,
) -> Result<(), Failure> {
    let Collected { questions, rows, samples, right, too_long, pairs } = *collected;
    if output.json {
        return output.document(&json!({
            "file": args.out.display().to_string(),
            "finished": finished,
            "questions": questions,
            "questions_in_file": out.questions(),
            "questions_too_long": too_long,
            "rows": rows,
            "samples": samples,
            "right": right,
            "pairs": pairs,
            "seconds": seconds,
            "taps": origin.taps.iter().map(tap_name).collect::<Vec<_>>(),
            "model": model.document(&args.model.source.name()),
        }));
    }
    let share = 100.0 * right as f64 / samples.max(1) as f64;
    output.line(&format!("{questions} questions, {samples} samples ({share:.1} % right), {rows} steps"))?;
    if let Some(path) = &args.pairs {
        output.line(&format!("{}: {pairs} pairs", path.display()))?;
    }
    let bytes = std::fs::metadata(&args.out).map_or(0, |file| file.len());
    output.line(&format!("{}: {} questions, {}", args.out.display(), out.questions(), size::show(bytes)))?;
    output.note(Style::Dim, &format!("{:.2} questions per second", questions as f64 / seconds.max(1e-9)));
    Ok(())
}

impl CollectArgs {
    /// The chosen rows of a set of `n`.
    fn numbers(&self, n: usize) -> Result<Vec<usize>, Failure> {
        let chosen = dataset::within(self.rows.clone().unwrap_or(0..n), n)?;
        let (part, parts) = self.shard.unwrap_or((0, 1));
        Ok(chosen.filter(|number| number % parts == part).collect())
    }

    fn params(&self, strategy: &dyn Strategy) -> SearchParams {
        let sampler = SamplerParams { temperature: self.temp, top_p: self.top_p, ..SamplerParams::default() };
        let params = learn::sampling(self.n, sampler, self.max_tokens, self.seed);
        SearchParams { stop_at_answer: strategy.stop_at_answer(), ..params }
    }

    fn origin(
        &self,
        text: &str,
        strategy: &dyn Strategy,
        params: &SearchParams,
        model: &Loaded,
    ) -> Result<Origin, Failure> {
        let info = model.engine.info();
        let taps = if self.taps.is_empty() { learn::default_taps(info.n_layer) } else { self.taps.clone() };
        if let Some(Tap::Layer(layer)) = taps.iter().find(|tap| matches!(tap, Tap::Layer(i) if *i >= info.n_layer)) {
            let n = info.n_layer;
            return Err(Failure::usage(format!("--taps {layer}: the model's layers are 0 to {}", n.saturating_sub(1))));
        }
        let digest = |text: &str| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // The words around a question, with one that stands for all.
        let words: Vec<_> = strategy.messages("?").into_iter().map(|m| [m.role, m.content]).collect();
        let settings = json!({
            "n": params.n,
            "temp": self.temp.to_string(),
            "top_p": self.top_p.to_string(),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "step": params.step,
            "prompt": digest(&format!("{words:?} {}", strategy.plain("?"))),
            "n_ctx": info.n_ctx,
            "kv": model.options.kv_type.name(),
        });
        Ok(Origin {
            architecture: info.architecture.clone(),
            fingerprint: info.fingerprint.clone(),
            data: digest(text),
            settings: settings.to_string(),
            n_embd: info.n_embd,
            n_layer: info.n_layer,
            taps,
        })
    }
}

impl Collected {
    fn count(&mut self, block: &Block) {
        self.questions += 1;
        self.rows += block.rows.len();
        self.too_long += usize::from(block.rows.is_empty());
        let firsts = block.rows.chunk_by(|a, b| a.sample == b.sample).filter_map(|rows| rows.first());
        for first in firsts {
            self.samples += 1;
            self.right += usize::from(first.right);
        }
    }
}

fn tap(text: &str) -> Result<Tap, String> {
    match text.trim() {
        "final" => Ok(Tap::Final),
        layer => layer.parse().map(Tap::Layer).map_err(|_| format!("{layer:?} is no layer; or write `final`")),
    }
}

fn tap_name(tap: &Tap) -> String {
    match tap {
        Tap::Layer(i) => i.to_string(),
        Tap::Final => "final".to_owned(),
    }
}

/// `I/N`, I below N.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
    parts.filter(|(i, n): &(usize, usize)| i < n).ok_or_else(|| "write I/N with I below N, such as 0/4".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_taps_are_read() {
        assert_eq!((shard("0/4"), shard("3 / 4")), (Ok((0, 4)), Ok((3, 4))));
        assert!(["", "4/4", "1", "0/0", "-1/2", "a/b"].iter().all(|bad| shard(bad).is_err()));
        assert_eq!((tap("final"), tap(" 3")), (Ok(Tap::Final), Ok(Tap::Layer(3))));
        assert!(tap("-1").is_err() && tap("last").is_err());
        assert_eq!([Tap::Layer(3), Tap::Final].iter().map(tap_name).collect::<Vec<_>>(), ["3", "final"]);
    }
}
