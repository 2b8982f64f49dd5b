//! `rm`: GGUF models out of the cache.

use serde_json::json;

use crate::exit::Failure;
use crate::output::Output;
use crate::pull::cache::Cache;
use crate::pull::{self, Wanted};
use crate::size;

/// Remove GGUF files of a repository from the shared cache; files of other kinds stay.
#[derive(clap::Args)]
pub struct Args {
    /// The repository, and after a colon a quantization or a file's name; all its GGUF files without one.
    #[arg(value_name = "ORG/REPO[:QUANT]")]
    model: Wanted,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = Cache::from_environment()?.repo(&args.model.repo);
    let (mut removed, mut freed) = (Vec::new(), 0);
    for revision in store.revisions()? {
        let held = store.files(&revision)?;
        let names = match args.model.tag {
            None => held.into_iter().map(|f| f.name).collect(),
            Some(_) => pull::choose(&args.model, held.iter().map(|f| f.name.as_str())).unwrap_or_default(),
        };
        if !names.is_empty() {
            freed += store.remove(&revision, &names)?;
            removed.extend(names);
        }
    }
    if removed.is_empty() {
        return Err(Failure::data(format!("{} is not in the cache", args.model)));
    }
    if output.json {
        let names = removed.iter().map(|n| n.as_str()).collect::<Vec<_>>();
        return output.document(&json!({"removed": names, "freed_bytes": freed}));
    }
    output.line(&format!("removed {} files, freed {}", removed.len(), size::show(freed)))
}
