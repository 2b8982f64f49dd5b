//! One file's bytes: resumed where they stopped, never more than announced, kept only with the right digest.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use ureq::Body;
use ureq::http::{Response, header};

use crate::exit::{Code, Failure};
use crate::pull::Offer;
use crate::pull::cache::RepoCache;
use crate::pull::hub::{GetError, Hub};

/// Attempts in a row that may end without having brought [`PROGRESS_BYTES`].
const MAX_IDLE_ATTEMPTS: u32 = 4;
const PROGRESS_BYTES: u64 = 64 << 10;

/// Makes sure that the repository's cache holds the offered blob, and gives its path.
pub fn download(hub: &Hub, url: &str, offer: &Offer, store: &RepoCache, bar: &ProgressBar) -> Result<PathBuf, Failure> {
    let blob = store.blob(&offer.digest);
    // Held until the end: two programs that fetch the same blob take turns.
    let _lock = store.lock(&offer.digest)?;
    if blob.metadata().is_ok_and(|m| m.len() == offer.bytes) {
        return Ok(blob);
    }
    let partial_path = blob.with_extension("incomplete");
    let mut partial = Partial::open(&partial_path, offer, bar)?;
    let mut idle = 0;
    while partial.len < offer.bytes {
        let before = partial.len;
        let outcome = attempt(hub, url, offer, &mut partial, bar);
        if let Err(Attempt::Fatal(failure)) = outcome {
            return Err(failure);
        }
        idle = if partial.len >= before + PROGRESS_BYTES { 0 } else { idle + 1 };
        if let Err(Attempt::Cut(why)) = outcome {
            if idle >= MAX_IDLE_ATTEMPTS {
                let message =
                    format!("{why}; {} of {} bytes are kept, run it again to go on", partial.len, offer.bytes);
                return Err(Failure::new(Code::Failure, message));
            }
            thread::sleep(Duration::from_millis(200 << idle));
        }
    }
    partial.finish(offer, &blob)?;
    Ok(blob)
}

/// Why one request did not bring the file to its end.
enum Attempt {
    /// The connection ended early; the next attempt goes on from there.
    Cut(String),
    Fatal(Failure),
}

fn attempt(hub: &Hub, url: &str, offer: &Offer, partial: &mut Partial, bar: &ProgressBar) -> Result<(), Attempt> {
    let response = hub.get(url, partial.len).map_err(|e| match e {
        GetError::Connection(why) => Attempt::Cut(why),
        refused @ GetError::Refused(_) => Attempt::Fatal(refused.into_failure()),
    })?;
    let fatal = |message: String| Attempt::Fatal(Failure::new(Code::Failure, message));
    match response.status().as_u16() {
        200 => partial.restart().map_err(Attempt::Fatal)?,
        206 if starts_at(&response, partial.len) => {}
        206 => return Err(fatal("the server answered with other bytes than were asked for".to_owned())),
        416 => {
            partial.restart().map_err(Attempt::Fatal)?;
            return Err(Attempt::Cut("the server refused to resume".to_owned()));
        }
        401 | 403 => return Err(fatal("the hub refuses access: set HF_TOKEN".to_owned())),
        404 => return Err(fatal("the hub does not have this file".to_owned())),
        status @ (408 | 429 | 500..=599) => return Err(Attempt::Cut(format!("the server answered {status}"))),
        status => return Err(fatal(format!("the server answered {status}"))),
    }
    let rest = offer.bytes - partial.len;
    if response.body().content_length().is_some_and(|n| n != rest) {
        partial.discard();
        return Err(Attempt::Fatal(Failure::data(
            "the server sends another number of bytes than its listing announces",
        )));
    }
    bar.set_position(partial.len);
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 256 << 10];
    while partial.len < offer.bytes {
        let room = buffer.len().min(usize::try_from(offer.bytes - partial.len).unwrap_or(usize::MAX));
        let n = match body.read(&mut buffer[..room]) {
            Ok(0) => return Err(Attempt::Cut("the connection ended early".to_owned())),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Attempt::Cut(format!("the connection ended early ({e})"))),
        };
        partial.append(&buffer[..n]).map_err(Attempt::Fatal)?;
        bar.set_position(partial.len);
    }
    // The digest decides about a body whose end cannot be read; one that goes on is refused for its size.
    if matches!(body.read(&mut buffer[..1]), Ok(1)) {
        partial.discard();
        return Err(Attempt::Fatal(Failure::data("the server sends more bytes than its listing announces")));
    }
    Ok(())
}

/// Whether a 206 answer says that it begins at `offset` (`Content-Range: bytes 5-9/10`, RFC 9110, 14.4).
fn starts_at(response: &Response<Body>, offset: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
    let start = range.and_then(|r| r.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse::<u64>().ok());
    start == Some(offset)
}

/// The file that grows, and the digest of what it holds.
struct Partial {
    path: PathBuf,
    file: File,
    len: u64,
    hash: Sha256,
}

impl Partial {
    /// What an earlier run left, if it is not longer than the whole.
    fn open(path: &Path, offer: &Offer, bar: &ProgressBar) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(|e| writing(path, &e))?;
        let mut partial = Self { path: path.to_owned(), file, len: 0, hash: Sha256::new() };
        let mut buffer = vec![0; 256 << 10];
        loop {
            match partial.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    partial.hash.update(&buffer[..n]);
                    partial.len += n as u64;
                    bar.set_position(partial.len);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(writing(path, &e)),
            }
        }
        if partial.len > offer.bytes {
            partial.restart()?;
        }
        Ok(partial)
    }

    fn restart(&mut self) -> Result<(), Failure> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|e| writing(&self.path, &e))?;
        (self.len, self.hash) = (0, Sha256::new());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|e| writing(&self.path, &e))?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its final name if its digest is the announced one, and throws it away otherwise.
    fn finish(self, offer: &Offer, blob: &Path) -> Result<(), Failure> {
        let found = self.hash.clone().finalize().iter().map(|b| format!("{b:02x}")).collect::<String>();
        if found != offer.digest.as_str() {
            self.discard();
            let expected = offer.digest.as_str();
            return Err(Failure::data(format!("its SHA-256 is {found}, announced was {expected}; nothing was kept")));
        }
        self.file.sync_all().map_err(|e| writing(&self.path, &e))?;
        std::fs::rename(&self.path, blob).map_err(|e| writing(blob, &e))
    }

    fn discard(&self) {
        // A leftover is caught by its digest the next time.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn writing(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Failure, format!("writing {}: {error}", path.display()))
}
