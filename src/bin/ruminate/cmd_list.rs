//! `list`: the GGUF models in the cache.

use serde_json::json;

use crate::exit::Failure;
use crate::output::{Output, escape_line};
use crate::pull::cache::Cache;
use crate::size;

/// List the GGUF models in the shared cache.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, output: &Output) -> Result<(), Failure> {
    let cache = Cache::from_environment()?;
    let mut documents = Vec::new();
    for repo in cache.repos()? {
        let store = cache.repo(&repo);
        for revision in store.revisions()? {
            for file in store.files(&revision)? {
                if output.json {
                    let (repo, revision) = (repo.to_string(), revision.as_str());
                    let (name, path) = (file.name.as_str(), &file.path);
                    documents.push(
                        json!({"repo": repo, "revision": revision, "name": name, "path": path, "bytes": file.bytes}),
                    );
                } else {
                    let path = escape_line(&file.path.display().to_string());
                    output.line(&format!("{:>10}  {repo}:{}  {path}", size::show(file.bytes), file.name))?;
                }
            }
        }
    }
    if output.json { output.document(&documents.into()) } else { Ok(()) }
}
