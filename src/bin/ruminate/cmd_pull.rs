//! `pull`: a model's files from a Hugging Face hub.

use clap::builder::FalseyValueParser;
use serde_json::json;

use crate::exit::Failure;
use crate::output::Output;
use crate::pull::{self, Request, Wanted};
use crate::size;

/// Fetch a GGUF model from a Hugging Face hub into the shared cache, and print its path.
///
/// The cache is that of the hub's other tools ($HF_HUB_CACHE, $HF_HOME/hub). HF_ENDPOINT names another hub than
/// huggingface.co, HF_TOKEN opens closed repositories. A transfer that was cut goes on where it stopped; a file counts only
/// with the SHA-256 digest that the hub announced.
#[derive(clap::Args)]
pub struct Args {
    /// The repository, and after a colon its quantization (default Q4_K_M) or a file's name.
    #[arg(value_name = "ORG/REPO[:QUANT]")]
    model: Wanted,
    /// Only look into the cache (HF_HUB_OFFLINE does the same).
    #[arg(long, env = "RUMINATE_OFFLINE", value_parser = FalseyValueParser::new())]
    offline: bool,
    /// Refuse a file larger than this.
    #[arg(long, env = "RUMINATE_MAX_FILE_SIZE", value_name = "SIZE", value_parser = size::parse, default_value = "64GiB")]
    max_file_size: u64,
}

pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let asked = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
    let offline = args.offline || matches!(asked.as_str(), "1" | "on" | "yes" | "true");
    let request = Request { wanted: &args.model, offline, max_file_bytes: args.max_file_size };
    let model = pull::pull(&request, &|name, bytes| output.byte_progress(name, bytes))?;
    let Some(first) = model.files.first() else { return Err(Failure::data("the model has no files")) };
    if !output.json {
        return output.line(&first.path.display().to_string());
    }
    let files = model.files.iter().map(|f| json!({"name": f.name.as_str(), "path": f.path, "bytes": f.bytes}));
    output.document(&json!({
        "model": args.model.to_string(),
        "revision": model.revision.as_str(),
        "path": first.path,
        "files": files.collect::<Vec<_>>(),
    }))
}
