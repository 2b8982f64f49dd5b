//! A search that can be stopped and gone on with later, in another process.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ruminate::engine::Engine;
use ruminate::observe::{CancelToken, Observer};
use ruminate::reason::Inquiry;
use ruminate::reward::Judge;
use ruminate::search::{Outcome, StopReason};
use ruminate::storage;
use ruminate::{Error, ErrorKind, Result};

#[derive(clap::Args)]
pub struct CheckpointArgs {
    /// Where an interrupted search is kept, with its keys and values: the same command goes on with it. The file is removed
    /// when the search ends of itself.
    #[arg(long, env = "RUMINATE_CHECKPOINT", value_name = "FILE", conflicts_with = "trace")]
    pub checkpoint: Option<PathBuf>,
}

impl CheckpointArgs {
    /// Searches, from where the file says if there is one. The second value tells whether the file could be written or removed: what
    /// the search found does not depend on it.
    pub fn search(
        &self,
        inquiry: &Inquiry<'_>,
        engine: &mut dyn Engine,
        judge: Option<&mut (dyn Judge + '_)>,
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<(Outcome, Result<()>)> {
        let saved = self.checkpoint.as_ref().filter(|path| path.is_file());
        let mut search = inquiry.search(engine, judge)?;
        if let Some(path) = saved {
            let file = File::open(path).map_err(|e| failed(path, &e))?;
            search = search.load(&mut BufReader::new(file)).map_err(|e| e.context(path.display()))?;
        }
        let stopped = search.advance(u64::MAX, observer, cancel)?;
        let kept = match &self.checkpoint {
            Some(path) if stopped == Some(StopReason::Cancelled) => storage::save_atomic(path, |out| search.save(out)),
            Some(path) if path.is_file() => std::fs::remove_file(path).map_err(|e| failed(path, &e)),
            _ => Ok(()),
        };
        Ok((search.finish(observer), kept))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}
