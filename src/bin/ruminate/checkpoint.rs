//! A search that can be stopped and gone on with later, in another process.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ruminate::observe::{CancelToken, Observer};
use ruminate::search::{Outcome, Search, SearchParams, StopReason};
use ruminate::storage;
use ruminate::text::TokenId;
use ruminate::{Error, ErrorKind, Result};

use crate::model::Loaded;

#[derive(clap::Args)]
pub struct CheckpointArgs {
    /// Where an interrupted search is kept, with its keys and values: the same command goes on with it. The file is removed
    /// when the search ends of itself.
    #[arg(long, env = "RUMINATE_CHECKPOINT", value_name = "FILE", conflicts_with = "trace")]
    pub checkpoint: Option<PathBuf>,
}

impl CheckpointArgs {
    /// Searches, from where the file says if there is one.
    pub fn search(
        &self,
        model: &mut Loaded,
        prompt: &[TokenId],
        params: &SearchParams,
        question: &str,
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<Outcome> {
        let (engine, words, judge) = (&mut model.engine, &model.tokenizer, model.judge.as_deref_mut());
        let saved = self.checkpoint.as_ref().filter(|path| path.is_file());
        let mut search = match saved {
            Some(path) => {
                let file = File::open(path).map_err(|e| failed(path, &e))?;
                let resumed = Search::resume(engine, words, prompt, params, judge, question, &mut BufReader::new(file));
                resumed.map_err(|e| e.context(path.display()))?
            }
            None => Search::new(engine, words, prompt, params, judge, question)?,
        };
        let stopped = search.advance(u64::MAX, observer, cancel)?;
        if let Some(path) = &self.checkpoint {
            if stopped == Some(StopReason::Cancelled) {
                storage::save_atomic(path, |out| search.save(out))?;
            } else if path.is_file() {
                std::fs::remove_file(path).map_err(|e| failed(path, &e))?;
            }
        }
        Ok(search.finish(observer))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}
