//! The cache folder: `models--org--repo/{blobs,refs,snapshots}`, as the hub's own tools lay it out.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{Code, Failure};
use crate::pull::Pulled;
use crate::pull::name::{Digest, FileName, Repo, Revision};

/// The folder that holds every repository.
pub struct Cache {
    root: PathBuf,
}

/// One repository's part of the cache.
pub struct RepoCache {
    root: PathBuf,
    locks: PathBuf,
}

/// `$HF_HOME`, else the folder that the hub's tools use by default.
pub fn home() -> Option<PathBuf> {
    set("HF_HOME").or_else(|| user_cache().map(|c| c.join("huggingface")))
}

/// `$XDG_CACHE_HOME`, else `.cache` in the user's home folder.
pub fn user_cache() -> Option<PathBuf> {
    set("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|h| h.join(".cache")))
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

impl Cache {
    pub fn from_environment() -> Result<Self, Failure> {
        let given = env::var_os("HF_HUB_CACHE").filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = given.or_else(|| home().map(|h| h.join("hub")));
        root.map(|root| Self { root }).ok_or_else(|| Failure::usage("there is no home folder: set HF_HOME"))
    }

    pub fn repo(&self, repo: &Repo) -> RepoCache {
        let folder = repo.folder();
        RepoCache { root: self.root.join(&folder), locks: self.root.join(".locks").join(&folder) }
    }

    /// Every repository in the cache, by name.
    pub fn repos(&self) -> Result<Vec<Repo>, Failure> {
        let names = entries(&self.root)?;
        let mut repos: Vec<Repo> = names.iter().filter_map(|n| Repo::of_folder(n)).collect();
        repos.sort_by_key(Repo::to_string);
        Ok(repos)
    }
}

impl RepoCache {
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.as_str())
    }

    /// Waits until no other program fetches the same blob. The lock ends with the value.
    pub fn lock(&self, digest: &Digest) -> Result<File, Failure> {
        for folder in [&self.root.join("blobs"), &self.locks] {
            fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        }
        let path = self.locks.join(format!("{}.lock", digest.as_str()));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| failed(&path, &e))?;
        file.lock().map_err(|e| failed(&path, &e))?;
        Ok(file)
    }

    /// Makes the blob appear under its file name in the revision's snapshot, and gives that path.
    pub fn link(&self, revision: &Revision, name: &FileName, blob: &Path) -> Result<PathBuf, Failure> {
        let path = self.snapshot(revision).join(name.as_str());
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let up = "../".repeat(name.parts().count() + 1);
        let digest = blob.file_name().unwrap_or_default();
        let target = Path::new(&up).join("blobs").join(digest);
        let temporary = folder.join(format!(".{}.{}", digest.to_string_lossy(), std::process::id()));
        let placed = place(&target, blob, &temporary).and_then(|()| fs::rename(&temporary, &path));
        placed.map_err(|e| failed(&path, &e))?;
        Ok(path)
    }

    /// Records `revision` as the newest one known.
    pub fn set_main(&self, revision: &Revision) -> Result<(), Failure> {
        let folder = self.root.join("refs");
        let temporary = folder.join(format!(".main.{}", std::process::id()));
        let path = folder.join("main");
        let written = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&temporary, revision.as_str()))
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|e| failed(&path, &e))
    }

    /// The newest revision known; `None` when the repository is not in the cache.
    pub fn main(&self) -> Result<Option<Revision>, Failure> {
        let path = self.root.join("refs").join("main");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Revision::parse(text.trim())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&path, &e)),
        }
    }

    pub fn revisions(&self) -> Result<Vec<Revision>, Failure> {
        let names = entries(&self.root.join("snapshots"))?;
        Ok(names.iter().filter_map(|n| Revision::parse(n)).collect())
    }

    /// The GGUF files of a snapshot whose blobs are there, by name.
    pub fn files(&self, revision: &Revision) -> Result<Vec<Pulled>, Failure> {
        let (snapshot, mut folders, mut files) = (self.snapshot(revision), vec![String::new()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in entries(&snapshot.join(&folder))? {
                let name = if folder.is_empty() { entry } else { format!("{folder}/{entry}") };
                let path = snapshot.join(&name);
                let Ok(metadata) = fs::metadata(&path) else { continue };
                // A snapshot's own folders are real ones; a link to a folder is not followed.
                if metadata.is_dir() && !path.is_symlink() {
                    folders.push(name);
                } else if metadata.is_file() && name.to_ascii_lowercase().ends_with(".gguf") {
                    let Ok(name) = FileName::parse(&name) else { continue };
                    files.push(Pulled { name, path, bytes: metadata.len() });
                }
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Removes the named files of a revision, their blobs where nothing else refers to them, and folders left empty.
    /// Gives the bytes that became free.
    pub fn remove(&self, revision: &Revision, names: &[FileName]) -> Result<u64, Failure> {
        let snapshot = self.snapshot(revision);
        let mut blobs = BTreeSet::new();
        for name in names {
            let path = snapshot.join(name.as_str());
            blobs.extend(fs::canonicalize(&path).ok());
            fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
            remove_empty(path.parent(), &self.root);
        }
        let mut used = BTreeSet::new();
        for revision in self.revisions()? {
            used.extend(self.files(&revision)?.into_iter().filter_map(|f| fs::canonicalize(f.path).ok()));
        }
        let mut freed = 0;
        for blob in blobs.difference(&used).filter(|b| b.is_file()) {
            freed += blob.metadata().map_or(0, |m| m.len());
            fs::remove_file(blob).map_err(|e| failed(blob, &e))?;
        }
        if self.revisions()?.is_empty() {
            let main = self.root.join("refs").join("main");
            if main.exists() {
                fs::remove_file(&main).map_err(|e| failed(&main, &e))?;
            }
            ["refs", "blobs"].iter().for_each(|f| remove_empty(Some(&self.root.join(f)), &self.root));
        }
        remove_empty(Some(&self.root), self.root.parent().unwrap_or(&self.root));
        Ok(freed)
    }

    fn snapshot(&self, revision: &Revision) -> PathBuf {
        self.root.join("snapshots").join(revision.as_str())
    }
}

/// Removes `folder` and those above it, up to but without `end`, as long as they are empty.
fn remove_empty(folder: Option<&Path>, end: &Path) {
    let mut folder = folder;
    // remove_dir refuses a folder that holds anything.
    while let Some(f) = folder.filter(|f| *f != end && fs::remove_dir(f).is_ok()) {
        folder = f.parent();
    }
}

/// A link where the system has them, else the blob's own bytes under a second name.
fn place(target: &Path, blob: &Path, at: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let _ = blob;
        std::os::unix::fs::symlink(target, at)
    }
    #[cfg(not(unix))]
    {
        let _ = target;
        fs::hard_link(blob, at).or_else(|_| fs::copy(blob, at).map(drop))
    }
}

/// The names in a folder that can be names of ours; none when the folder does not exist.
fn entries(folder: &Path) -> Result<Vec<String>, Failure> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(folder, &e)),
    };
    let names = listed.map(|entry| Ok(entry?.file_name().into_string().ok())).collect::<io::Result<Vec<_>>>();
    Ok(names.map_err(|e| failed(folder, &e))?.into_iter().flatten().collect())
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Failure, format!("{}: {error}", path.display()))
}
