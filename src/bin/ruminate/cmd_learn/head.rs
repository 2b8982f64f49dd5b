//! `learn head`: a reward head from labelled steps.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use ruminate::engine::native::NativeOptions;
use ruminate::exec::Team;
use ruminate::learn::{self, Figures, FitParams, PartFigures, Picked, Report, Table, Tried};
use ruminate::observe::Interrupt;
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::output::{Bar, Output, Style};
use crate::signal;

/// Fit a reward head on labelled steps that `learn collect` wrote.
///
/// Of the questions, 70 % are fitted on, 15 % choose and calibrate, 15 % give the figures; which is which depends on the question
/// alone. With --test, 85 % are fitted on.
#[derive(clap::Args)]
pub struct HeadArgs {
    /// Files of labelled steps, all of the same model.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Labelled steps of other questions, for the figures.
    #[arg(long, env = "RUMINATE_TEST", value_name = "FILE")]
    test: Option<PathBuf>,
    /// The head's file.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: PathBuf,
    /// The network.
    #[arg(long, env = "RUMINATE_KIND", value_enum, default_value_t = Kind::Auto)]
    kind: Kind,
    /// What a label is held against: the product of a solution's steps' values, every step's value, or the other samples of its
    /// question. Without it, the product where solutions are labelled, and each step where steps are.
    #[arg(long, env = "RUMINATE_OBJECTIVE", value_enum)]
    objective: Option<Objective>,
    /// Units of the hidden layer.
    #[arg(long, env = "RUMINATE_HIDDEN", value_name = "N", default_value_t = 64)]
    hidden: usize,
    /// Penalties on the weights to choose from.
    #[arg(long, env = "RUMINATE_L2", value_name = "X,…", value_delimiter = ',', default_value = "0.001,0.01,0.1,1,10")]
    l2: Vec<f64>,
    /// Seed of a hidden layer's first weights and of its batches.
    #[arg(long, env = "RUMINATE_SEED", value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Threads; all processors without it. The head does not depend on it.
    #[arg(long, short, env = "RUMINATE_THREADS", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Logistic regression.
    Linear,
    /// One hidden layer.
    Mlp,
    /// Whichever does better on questions that neither was fitted on.
    Auto,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Objective {
    /// One bad step makes a solution wrong.
    Product,
    /// Every step's value by itself: the chance of a right answer from there on.
    Step,
    /// Right solutions above wrong ones of the same question, for votes that values weigh.
    Ranking,
}

pub fn run(args: &HeadArgs, output: &Output) -> Result<(), Failure> {
    if args.files.iter().chain(&args.test).any(|file| *file == args.out) {
        return Err(Failure::usage("--out names a file of labelled steps that this run reads"));
    }
    let params = FitParams {
        kind: match args.kind {
            Kind::Linear => Some(learn::Kind::Linear),
            Kind::Mlp => Some(learn::Kind::Mlp),
            Kind::Auto => None,
        },
        objective: args.objective.map(|objective| match objective {
            Objective::Product => learn::Objective::Product,
            Objective::Step => learn::Objective::Step,
            Objective::Ranking => learn::Objective::Ranking,
        }),
        n_hidden: args.hidden,
        l2: args.l2.clone(),
        seed: args.seed,
    };
    params.validate()?;
    let paths: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
    let table = Table::load(&paths)?;
    let test = args.test.as_deref().map(|path| Table::load(&[path])).transpose()?;
    let threads = args.threads.unwrap_or(NativeOptions::default().threads);
    let team = Team::new(threads)?;
    let interrupt = Interrupt { cancel: signal::token(), deadline: None };
    let mut bar = Bar(output.count_progress("fits", 0));
    let fitted = learn::fit(&table, test.as_ref(), &params, &team, &mut bar, &interrupt);
    bar.0.finish_and_clear();
    let (head, report) = fitted?;
    head.save(&args.out)?;
    if output.json {
        let mut document = serde_json::to_value(&report)
            .map_err(|e| Failure::new(Code::Failure, format!("writing the report: {e}")))?;
        document["file"] = args.out.display().to_string().into();
        document["aggregation"] = head.aggregation.name().into();
        document["fingerprint"] = head.fingerprint.as_str().into();
        document["calibration"] = json!({ "temperature": head.temperature, "bias": head.bias });
        return output.document(&document);
    }
    show(output, &report)?;
    let by = head.aggregation.name();
    output.note(Style::Dim, &format!("{}: a search takes the steps' values together by {by}", args.out.display()));
    Ok(())
}

fn show(output: &Output, report: &Report) -> Result<(), Failure> {
    for tried in &report.tried {
        let mark = if *tried == report.chosen { "chosen" } else { "" };
        output.line(&format!("{:<40} loss {:.4}  {mark}", tried_name(tried), tried.valid_loss))?;
    }
    let part = |name: &str, size: &learn::Size| format!("{name}: {} questions, {} steps", size.questions, size.rows);
    let parts = [("fitted on", report.train), ("chosen on", report.valid), ("measured on", report.test_figures.size)];
    output.line(&parts.map(|(name, size)| part(name, &size)).join(" · "))?;
    output.line("")?;
    output.line("                        n  right  AUROC  PR-AUC  within   Brier     ECE    loss")?;
    part_lines(output, "test", &report.test_figures)?;
    part_lines(output, "validation", &report.valid_figures)?;
    part_lines(output, "confidence", &report.test_confidence)?;
    output.line("")?;
    output.line("solutions so far        AUROC  within")?;
    for (name, part) in [("test", &report.test_figures), ("confidence", &report.test_confidence)] {
        for begun in &part.begun {
            let name = format!("{name}, {}", begun.aggregation);
            let [auroc, within] = [begun.figures.auroc, begun.figures.within].map(optional);
            output.line(&format!("{name:<22} {auroc:>6}  {within:>6}"))?;
        }
    }
    output.line("")?;
    output.line("finished solutions      AUROC  within  picked")?;
    for (name, part) in [("test", &report.test_figures), ("confidence", &report.test_confidence)] {
        for solutions in &part.solutions {
            let name = format!("{name}, {}", solutions.aggregation);
            let [auroc, within] = [solutions.figures.auroc, solutions.figures.within].map(optional);
            output.line(&format!("{name:<22} {auroc:>6}  {within:>6}  {:>5.1} %", 100.0 * solutions.picked.best))?;
        }
    }
    if let Some(solutions) = report.test_figures.solutions.first() {
        let &Picked { questions, blind, perfect, .. } = &solutions.picked;
        let (blind, perfect) = (100.0 * blind, 100.0 * perfect);
        output.line(&format!(
            "picking among {questions} questions' samples blindly {blind:.1} %, perfectly {perfect:.1} %"
        ))?;
    }
    Ok(())
}

fn optional(x: Option<f64>) -> String {
    x.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"))
}

fn tried_name(tried: &Tried) -> String {
    let kind = match tried.kind {
        learn::Kind::Mlp => "mlp",
        _ => "linear",
    };
    format!("{kind} on {}, penalty {}", tried.reading, tried.l2)
}

fn part_lines(output: &Output, name: &str, part: &PartFigures) -> Result<(), Failure> {
    for (which, figures) in [("steps", &part.steps), ("ends", &part.finals)] {
        let &Figures { n, right, auroc, pr_auc, within, brier, ece, log_loss, .. } = figures;
        output.line(&format!(
            "{:<18} {n:>7}  {right:.3}  {:>5}  {:>6}  {:>6}  {brier:.4}  {ece:.4}  {log_loss:.4}",
            format!("{name}, {which}"),
            optional(auroc),
            optional(pr_auc),
            optional(within),
        ))?;
    }
    Ok(())
}
