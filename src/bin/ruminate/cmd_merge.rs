//! `merge`: a base and its adapters as one model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use ruminate::Limits;
use ruminate::model::{Config, MergeFormat, merge};
use ruminate::storage::LoadMode;
use serde_json::json;

use crate::adapter_args::{self, AdapterArg};
use crate::exit::Failure;
use crate::output::{Output, Style};
use crate::{size, source};

/// Write a model and its LoRA adapters as one file that needs no adapter.
///
/// Matrices that no adapter stands beside are copied as they are. The file replaces an older one only when it is complete.
#[derive(clap::Args)]
pub struct Args {
    /// The model file.
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// An adapter, counted SCALE times, once without it; several add up.
    #[arg(long = "adapter", env = "RUMINATE_ADAPTER", value_name = "FILE[=SCALE]", required = true, value_parser = adapter_args::adapter)]
    adapters: Vec<AdapterArg>,
    /// The new model file.
    #[arg(long, env = "RUMINATE_OUT", value_name = "FILE")]
    out: PathBuf,
    /// What changed matrices become: half precision, or the base's own format again, in whose steps a small change can be
    /// lost; half precision, too, where that format is only read.
    #[arg(long = "type", env = "RUMINATE_TYPE", value_enum, default_value_t = Type::F16)]
    ty: Type,
}

/// Formats of changed matrices.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    F16,
    Same,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    if args.out == args.base || args.adapters.iter().any(|adapter| adapter.file == args.out) {
        return Err(Failure::usage("--out names a file that is merged"));
    }
    let limits = Limits::default();
    let gguf = source::open(&args.base, LoadMode::Mmap)?;
    let config = Config::from_gguf(&gguf, &limits).map_err(|e| e.context(args.base.display()))?;
    let adapters = adapter_args::open(&args.adapters, &config)?;
    let format = match args.ty {
        Type::F16 => MergeFormat::F16,
        Type::Same => MergeFormat::Same,
    };
    let merged = merge(&gguf, &adapters, format, &limits, &args.out)?;
    let bytes = std::fs::metadata(&args.out).map_err(|e| Failure::file(args.out.display(), &e))?.len();
    let mut changed: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    merged.iter().for_each(|m| *changed.entry((m.from.name(), m.to.name())).or_default() += 1);
    if output.json {
        let changed = changed.iter().map(|((from, to), n)| json!({"from": from, "to": to, "tensors": n}));
        return output.document(&json!({
            "file": args.out.display().to_string(),
            "bytes": bytes,
            "base": args.base.display().to_string(),
            "adapters": adapter_args::document(&args.adapters),
            "changed": changed.collect::<Vec<_>>(),
        }));
    }
    output.line(&format!("{}: {}", args.out.display(), size::show(bytes)))?;
    for ((from, to), n) in changed {
        output.note(Style::Dim, &format!("{n} matrices changed, from {from} to {to}"));
    }
    Ok(())
}
