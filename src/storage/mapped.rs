//! A mapped file and the stamp that tells whether it is still the file that was mapped.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::time::SystemTime;

use memmap2::Mmap;

use crate::error::{Error, ErrorKind, Result};

/// A whole file, mapped read-only, with the handle that keeps its identity checkable.
pub(super) struct Mapped {
    map: Mmap,
    file: File,
    stamp: Stamp,
}

impl Mapped {
    pub(super) fn new(file: File, stamp: Stamp) -> Result<Self> {
        if stamp.metadata.len() == 0 {
            return Err(Error::format("the file is empty"));
        }
        let len = usize::try_from(stamp.metadata.len())
            .map_err(|_| Error::new(ErrorKind::Memory, "the file is larger than this machine's address space"))?;
        // SAFETY: the mapping is read-only and private to this module. Another program may still change the file: every
        // byte pattern is a valid u8, all parsers validate copies, and results are thrown away when `check_unchanged`
        // reports a change, as `LoadMode::Mmap` documents.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&file) };
        let map = map.map_err(|e| Error::io("mapping the file", e))?;
        let mapped = Self { map, file, stamp };
        // The size was asked before the mapping was made; it has to be the same after.
        mapped.check_unchanged()?;
        Ok(mapped)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.map
    }

    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.stamp.check(&self.file)
    }

    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.stamp.modified
    }

    pub(super) fn advise_will_need(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            let range = self.clamp(range);
            // Failing to take advice changes nothing but speed, so the result is not needed.
            let _ = self.map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        drop(range);
    }

    pub(super) fn advise_dont_need(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            let range = self.clamp(range);
            // SAFETY: the pages of a read-only shared file mapping hold nothing of their own; a dropped page is loaded
            // from the file again. Failing to drop pages changes nothing but memory use, so the result is not needed.
            let _ = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
        #[cfg(not(unix))]
        drop(range);
    }

    #[cfg(unix)]
    fn clamp(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.map.len());
        range.start.min(end)..end
    }
}

/// What the file system said about a file when it was opened.
pub(super) struct Stamp {
    metadata: Metadata,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(super) fn of(file: &File) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| Error::io("asking for the file's size", e))?;
        let modified = metadata.modified().ok();
        Ok(Self { metadata, modified })
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// An error when `file` no longer matches.
    pub(super) fn check(&self, file: &File) -> Result<()> {
        let now = Self::of(file)?;
        let (before, after) = (self.metadata.len(), now.metadata.len());
        if before != after {
            return Err(changed(format!("its size went from {before} to {after} bytes")));
        }
        if self.modified != now.modified {
            return Err(changed("it was written to".into()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let identity = |m: &Metadata| (m.dev(), m.ino());
            if identity(&self.metadata) != identity(&now.metadata) {
                return Err(changed("another file took its place".into()));
            }
        }
        Ok(())
    }
}

fn changed(how: String) -> Error {
    Error::new(
        ErrorKind::FileChanged,
        format!("the file changed while it was in use: {how}; load it again, or use the load mode that reads it"),
    )
}
