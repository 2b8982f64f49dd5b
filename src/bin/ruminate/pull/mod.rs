//! Model files from a Hugging Face hub into the cache folder that its other clients share.
//!
//! Conventions: <https://huggingface.co/docs/hub/api> and <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.

pub mod cache;
mod choose;
mod download;
mod hub;
mod name;

use std::path::PathBuf;

use indicatif::ProgressBar;

use crate::exit::Failure;
use cache::Cache;
pub use choose::choose;
pub use name::Wanted;
use name::{Digest, FileName, Revision};

/// What to fetch and under which conditions.
pub struct Request<'a> {
    pub wanted: &'a Wanted,
    /// Use only what the cache holds.
    pub offline: bool,
    /// No file larger than this.
    pub max_file_bytes: u64,
}

/// One file, present and checked.
pub struct Pulled {
    pub name: FileName,
    pub path: PathBuf,
    pub bytes: u64,
}

/// A revision's chosen files, in the order of their names: the first is the one to open.
pub struct PulledModel {
    pub revision: Revision,
    pub files: Vec<Pulled>,
}

/// Makes sure that the wanted files are in the cache. `progress` makes a bar for a file's name and size.
pub fn pull(request: &Request<'_>, progress: &dyn Fn(&str, u64) -> ProgressBar) -> Result<PulledModel, Failure> {
    let cache = Cache::from_environment()?;
    if request.offline { find(request, &cache) } else { fetch(request, &cache, progress) }
}

fn fetch(
    request: &Request<'_>,
    cache: &Cache,
    progress: &dyn Fn(&str, u64) -> ProgressBar,
) -> Result<PulledModel, Failure> {
    let repo = &request.wanted.repo;
    let hub = hub::Hub::from_environment()?;
    let listing = hub.listing(repo)?;
    let mut files = Vec::new();
    for chosen in choose(request.wanted, listing.names())? {
        let offer = listing.offer(&chosen)?;
        if offer.bytes > request.max_file_bytes {
            let (bytes, cap) = (offer.bytes, request.max_file_bytes);
            return Err(Failure::data(format!("{chosen} has {bytes} bytes, more than --max-file-size {cap} allows")));
        }
        files.push((chosen, offer));
    }
    let store = cache.repo(repo);
    let mut pulled = Vec::new();
    for (name, offer) in files {
        let bar = progress(name.as_str(), offer.bytes);
        let url = hub.file_url(repo, &listing.revision, &name);
        let blob = download::download(&hub, &url, &offer, &store, &bar).map_err(|f| f.context(&name))?;
        bar.finish_and_clear();
        let path = store.link(&listing.revision, &name, &blob)?;
        pulled.push(Pulled { name, path, bytes: offer.bytes });
    }
    store.set_main(&listing.revision)?;
    Ok(PulledModel { revision: listing.revision, files: pulled })
}

fn find(request: &Request<'_>, cache: &Cache) -> Result<PulledModel, Failure> {
    let store = cache.repo(&request.wanted.repo);
    let missing = |why: String| {
        Failure::data(format!("{} is not in the cache ({why}); pull it without --offline", request.wanted))
    };
    let revision = store.main()?.ok_or_else(|| missing("the repository was never pulled".to_owned()))?;
    let held = store.files(&revision)?;
    let chosen = choose(request.wanted, held.iter().map(|f| f.name.as_str())).map_err(|f| missing(f.to_string()))?;
    let files = held.into_iter().filter(|f| chosen.contains(&f.name)).collect();
    Ok(PulledModel { revision, files })
}

/// What the hub says about a file before it is fetched.
pub struct Offer {
    pub bytes: u64,
    pub digest: Digest,
}
