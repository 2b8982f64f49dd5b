//! `trace`: look at what a search did, run it again, hand it to other tools.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use ruminate::trace::{Trace, openinference, view};
use ruminate::{Limits, storage};
use serde_json::json;

use crate::cmd_replay;
use crate::exit::Failure;
use crate::output::Output;

/// Look at, repeat or export a search that `solve --trace` recorded.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    View(ViewArgs),
    Replay(cmd_replay::Args),
    Export(ExportArgs),
}

/// Draw one search, or two side by side, as one HTML page that needs no network.
#[derive(clap::Args)]
struct ViewArgs {
    /// The trace.
    file: PathBuf,
    /// A second trace to compare with.
    other: Option<PathBuf>,
    /// The page; `-` is standard output. Without it, the trace's name with the ending `.html`.
    #[arg(long, short, env = "RUMINATE_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Write a trace in a form that other tools read.
#[derive(clap::Args)]
struct ExportArgs {
    /// The trace.
    file: PathBuf,
    /// The form.
    #[arg(long, env = "RUMINATE_FORMAT", value_enum, default_value_t = Format::Openinference)]
    format: Format,
    /// Where to; standard output without it.
    #[arg(long, short, env = "RUMINATE_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// OpenTelemetry spans as JSON lines with OpenInference's attributes: one for the search, one for each node.
    Openinference,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.action {
        Action::View(args) => draw(args, output),
        Action::Replay(args) => cmd_replay::run(args, output),
        Action::Export(args) => export(args, output),
    }
}

/// Reads a trace that may be hostile.
pub fn read(path: &Path) -> Result<Trace, Failure> {
    let file = File::open(path).map_err(|e| Failure::file(path.display(), &e))?;
    let trace = Trace::read(BufReader::new(file), &Limits::default());
    trace.map_err(|e| Failure::from(e).context(path.display()))
}

fn draw(args: &ViewArgs, output: &Output) -> Result<(), Failure> {
    let paths = [Some(&args.file), args.other.as_ref()];
    let traces = paths.into_iter().flatten().map(|path| Ok((name(path), read(path)?)));
    let traces = traces.collect::<Result<Vec<_>, Failure>>()?;
    let runs: Vec<(&str, &Trace)> = traces.iter().map(|(name, trace)| (name.as_str(), trace)).collect();
    let page = view::page(&runs)?;
    let target = args.output.clone().unwrap_or_else(|| args.file.with_extension("html"));
    let nodes: Vec<usize> = traces.iter().map(|(_, trace)| trace.nodes.len()).collect();
    save(&target, output, &json!({ "nodes": nodes }), |out| {
        out.write_all(page.as_bytes()).map_err(|e| write_error(&target, e))
    })
}

fn export(args: &ExportArgs, output: &Output) -> Result<(), Failure> {
    let trace = read(&args.file)?;
    let Format::Openinference = args.format;
    let target = args.output.clone().unwrap_or_else(|| PathBuf::from("-"));
    let spans = json!({ "spans": trace.nodes.len() + 1 });
    save(&target, output, &spans, |out| openinference::export(&trace, out))
}

/// Writes a file at once or not at all and says so, or writes to standard output.
fn save(
    target: &Path,
    output: &Output,
    what: &serde_json::Value,
    write: impl FnOnce(&mut dyn Write) -> ruminate::Result<()>,
) -> Result<(), Failure> {
    if target.as_os_str() == "-" {
        return write(&mut io::stdout().lock()).map_err(|error| {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
            cause.map_or_else(|| Failure::from(ruminate::Error::new(error.kind(), error.to_string())), Failure::stdout)
        });
    }
    storage::save_atomic(target, write)?;
    if output.json {
        let mut document = json!({ "file": target.display().to_string() });
        if let (Some(document), Some(what)) = (document.as_object_mut(), what.as_object()) {
            document.extend(what.clone());
        }
        return output.document(&document);
    }
    output.line(&crate::output::escape_line(&target.display().to_string()))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn write_error(target: &Path, error: io::Error) -> ruminate::Error {
    ruminate::Error::new(ruminate::ErrorKind::Io, format!("{}: {error}", target.display())).with_source(error)
}
