//! [`Bytes`]: an immutable, shared run of bytes, whatever holds it.

use std::fmt;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

#[cfg(all(test, target_os = "linux"))]
use super::arena::Guarded;
use super::arena::{Arena, LARGE};
use super::lines::{LINE, Lines};
use super::mapped::{Mapped, Stamp};
use crate::error::{Error, Result};
use crate::observe::{Event, Interrupt, Observer, Silent};

/// How a file comes into memory, and what happens when another program changes it afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoadMode {
    /// Map the file: pages are loaded on first use and shared with other processes.
    ///
    /// When the file changes under the mapping:
    /// - [`Bytes::check_unchanged`] reports [`FileChanged`](crate::ErrorKind::FileChanged). Whoever computes from the bytes calls it after
    ///   the computation and before using the result, so that no answer from changed bytes is ever handed out.
    /// - touching a page that lies wholly behind the new end raises `SIGBUS` (Unix): the process ends, it does not
    ///   compute on. No handler is installed, because a library must not own the host's signals.
    /// - bytes behind the new end but inside its last page read as zero, silently; only the check can tell.
    ///
    /// Replacing the file by a rename is harmless: the mapping keeps the old content.
    #[default]
    Mmap,
    /// Copy the whole file into memory; later changes to the file have no effect.
    ///
    /// A change *while* it is being copied is reported as [`FileChanged`](crate::ErrorKind::FileChanged).
    Read,
}

/// An immutable run of bytes: owned, mapped from a file, or part of the program. A clone shares, it copies nothing.
#[derive(Clone)]
pub struct Bytes {
    holder: Arc<Holder>,
}

enum Holder {
    Lines(Lines),
    Vec(Vec<u8>),
    Mapped(Mapped),
    Arena(Arena),
    #[cfg(all(test, target_os = "linux"))]
    Guarded(Guarded),
    Static(&'static [u8]),
}

impl Bytes {
    /// The content of the regular file at `path`. Folders, pipes, devices and empty files are refused.
    pub fn open(path: &Path, mode: LoadMode) -> Result<Self> {
        Self::open_watched(path, mode, &mut Silent, &Interrupt::default())
    }

    /// As [`open`](Self::open). Where the file is read, the observer is told of its size before the first byte and of every MiB then, and
    /// the interrupt is looked at each time: an error of kind [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn open_watched(
        path: &Path,
        mode: LoadMode,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let opened = Self::open_inner(path, mode, observer, interrupt);
        opened.map_err(|e| e.context(format_args!("opening {path:?}")))
    }

    /// Bytes that the caller owns, taken over without a copy.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::new(Holder::Vec(bytes))
    }

    /// `len` bytes that `fill` writes, zeros at first, or its error; they start at a page of memory of their own.
    pub fn filled<E: From<Error>>(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Self, E> {
        let mut arena = Arena::new(len)?;
        fill(arena.as_mut_slice())?;
        Ok(Self::new(Holder::Arena(arena)))
    }

    /// A copy of `bytes` that ends where memory ends: reading behind it ends the process.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn guarded(bytes: &[u8]) -> Self {
        Self::new(Holder::Guarded(Guarded::new(bytes)))
    }

    /// Bytes that are part of the program, such as an embedded model.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self::new(Holder::Static(bytes))
    }

    /// The same bytes, starting at a multiple of 64: themselves where they already do, else a copy.
    pub fn aligned(self) -> Result<Self> {
        let bytes = self.as_slice();
        if bytes.as_ptr().addr().is_multiple_of(LINE) || bytes.is_empty() {
            return Ok(self);
        }
        Ok(Self::new(Holder::Lines(Lines::copy_of(bytes)?)))
    }

    /// All bytes. For a mapped file see [`LoadMode::Mmap`] on what a change of the file does.
    pub fn as_slice(&self) -> &[u8] {
        match &*self.holder {
            Holder::Lines(lines) => lines.as_slice(),
            Holder::Vec(bytes) => bytes,
            Holder::Mapped(mapped) => mapped.as_slice(),
            Holder::Arena(arena) => arena.as_slice(),
            #[cfg(all(test, target_os = "linux"))]
            Holder::Guarded(guarded) => guarded.as_slice(),
            Holder::Static(bytes) => bytes,
        }
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the bytes are the file itself, mapped; if so, they cost no memory of their own.
    pub fn is_mapped(&self) -> bool {
        matches!(&*self.holder, Holder::Mapped(_))
    }

    /// Whether the bytes take memory of their own: no pages of a file or of the program, which the system may drop and load again.
    pub fn is_owned(&self) -> bool {
        !matches!(&*self.holder, Holder::Mapped(_) | Holder::Static(_))
    }

    /// An error of kind [`FileChanged`](crate::ErrorKind::FileChanged) when a mapped file no longer has the size, the time of modification
    /// or the identity it had when it was opened. One `fstat`, about a microsecond; nothing for bytes not mapped.
    ///
    /// It sees what the file system records: a change that leaves the recorded time as it was (two writes within one
    /// tick of the file system's clock, or a program that sets the time back) and keeps the size goes unseen.
    pub fn check_unchanged(&self) -> Result<()> {
        match &*self.holder {
            Holder::Mapped(mapped) => mapped.check_unchanged(),
            _ => Ok(()),
        }
    }

    /// When a mapped file was last written to, as far as its file system tells; `None` for bytes not mapped.
    pub fn modified(&self) -> Option<SystemTime> {
        match &*self.holder {
            Holder::Mapped(mapped) => mapped.modified(),
            _ => None,
        }
    }

    /// Ask the system to load the bytes of `range` soon. Advice only: where it is not available, nothing happens.
    pub fn advise_will_need(&self, range: Range<usize>) {
        if let Holder::Mapped(mapped) = &*self.holder {
            mapped.advise_will_need(range);
        }
    }

    /// Tell the system that the bytes of `range` will not be needed soon, so that their pages may leave this process.
    /// Advice only; reading them again loads them from the file again.
    pub fn advise_dont_need(&self, range: Range<usize>) {
        if let Holder::Mapped(mapped) = &*self.holder {
            mapped.advise_dont_need(range);
        }
    }

    fn new(holder: Holder) -> Self {
        Self { holder: Arc::new(holder) }
    }

    fn open_inner(path: &Path, mode: LoadMode, observer: &mut dyn Observer, interrupt: &Interrupt) -> Result<Self> {
        // Asked before opening, because opening a pipe would wait for its writer.
        regular(&std::fs::metadata(path).map_err(|e| Error::io("finding the file", e))?)?;
        let file = File::open(path).map_err(|e| Error::io("opening the file", e))?;
        let stamp = Stamp::of(&file)?;
        regular(stamp.metadata())?;
        match mode {
            LoadMode::Mmap => Ok(Self::new(Holder::Mapped(Mapped::new(file, stamp)?))),
            LoadMode::Read => {
                let total = stamp.metadata().len();
                let mut told = |done| {
                    observer.event(&Event::Progress { what: "reading", done: done as u64, total });
                    interrupt.check()
                };
                told(0)?;
                let read = match total {
                    LARGE.. => Holder::Arena(Arena::read(&file, total, &mut told)?),
                    _ => Holder::Lines(Lines::read(&file, total, &mut told)?),
                };
                stamp.check(&file)?;
                Ok(Self::new(read))
            }
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = match &*self.holder {
            Holder::Lines(_) | Holder::Vec(_) | Holder::Arena(_) => "owned",
            #[cfg(all(test, target_os = "linux"))]
            Holder::Guarded(_) => "owned",
            Holder::Mapped(_) => "mapped",
            Holder::Static(_) => "static",
        };
        write!(f, "Bytes({held}, {} bytes)", self.len())
    }
}

fn regular(metadata: &Metadata) -> Result<()> {
    if metadata.is_dir() {
        return Err(Error::invalid("this is a folder; give the path of a file"));
    }
    if !metadata.is_file() {
        return Err(Error::invalid("this is a pipe, socket or device; give the path of a regular file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::lines::CHUNK;
    use super::*;
    use crate::error::ErrorKind;

    const BOTH: [LoadMode; 2] = [LoadMode::Mmap, LoadMode::Read];

    fn kind_and_message(path: &Path, mode: LoadMode) -> (ErrorKind, String) {
        let e = Bytes::open(path, mode).unwrap_err();
        (e.kind(), e.to_string())
    }

    #[test]
    fn both_modes_give_the_file_aligned_to_a_line() {
        let dir = tempfile::tempdir().unwrap();
        for len in [1, 63, 64, 65, CHUNK - 1, CHUNK, 2 * CHUNK + 7] {
            let content: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let path = dir.path().join("f");
            std::fs::write(&path, &content).unwrap();
            for mode in BOTH {
                let bytes = Bytes::open(&path, mode).unwrap();
                assert!(bytes.as_slice() == content, "{mode:?} {len}");
                assert!(bytes.as_slice().as_ptr().addr().is_multiple_of(LINE));
                assert_eq!((bytes.is_mapped(), bytes.is_owned()), (mode == LoadMode::Mmap, mode == LoadMode::Read));
                bytes.check_unchanged().unwrap();
            }
        }
    }

    #[test]
    fn folders_missing_and_empty_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        std::fs::write(&empty, b"").unwrap();
        for mode in BOTH {
            let (kind, message) = kind_and_message(dir.path(), mode);
            assert!(kind == ErrorKind::InvalidArgument && message.contains("folder"), "{message}");
            let (kind, message) = kind_and_message(&empty, mode);
            assert!(kind == ErrorKind::Format && message.contains("empty"), "{message}");
            let (kind, message) = kind_and_message(&dir.path().join("missing"), mode);
            assert!(kind == ErrorKind::Io && message.contains("missing"), "{message}");
        }
    }

    #[test]
    fn reading_tells_every_chunk_and_ends_when_asked() {
        /// Cancels once so many bytes are read.
        struct Cancel(Interrupt, u64, Vec<u64>);
        impl Observer for Cancel {
            fn event(&mut self, event: &Event<'_>) {
                let Event::Progress { done, total, .. } = *event else { panic!("{event:?}") };
                assert_eq!(total, 3 * CHUNK as u64);
                self.2.push(done);
                if done >= self.1 {
                    self.0.cancel.cancel();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![7; 3 * CHUNK]).unwrap();
        let mut all = Cancel(Interrupt::default(), u64::MAX, Vec::new());
        Bytes::open_watched(&path, LoadMode::Read, &mut all, &Interrupt::default()).unwrap();
        assert!(all.2.len() >= 4 && all.2.last() == Some(&(3 * CHUNK as u64)), "{:?}", all.2);
        // Before anything is read, and after the first part.
        for (from, told) in [(0, 1), (1, 2)] {
            let interrupt = Interrupt::default();
            let mut early = Cancel(interrupt.clone(), from, Vec::new());
            let error = Bytes::open_watched(&path, LoadMode::Read, &mut early, &interrupt).unwrap_err();
            assert_eq!((error.kind(), early.2.len(), early.2[0]), (ErrorKind::Cancelled, told, 0));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_without_waiting_for_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero")] {
            for mode in BOTH {
                let (kind, message) = kind_and_message(path, mode);
                assert!(kind == ErrorKind::InvalidArgument && message.contains("pipe"), "{message}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_says_it_is_empty_is_still_read() {
        let path = Path::new("/proc/self/limits");
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
        assert!(Bytes::open(path, LoadMode::Read).unwrap().len() > 100);
        assert_eq!(kind_and_message(path, LoadMode::Mmap).0, ErrorKind::Format);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sparse_file_larger_than_memory_is_an_error_not_an_allocation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let file = File::create(&path).unwrap();
        if file.set_len(1 << 43).is_err() {
            return; // the file system of this machine has no such sparse files
        }
        let (kind, message) = kind_and_message(&path, LoadMode::Read);
        assert!(kind == ErrorKind::Memory && message.contains("map the file"), "{message}");
    }

    #[test]
    fn a_change_of_a_mapped_file_is_seen_and_of_a_read_one_has_no_effect() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let [mapped, read] = BOTH.map(|mode| Bytes::open(&path, mode).unwrap());
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(mapped.check_unchanged().unwrap_err().kind(), ErrorKind::FileChanged);
        read.check_unchanged().unwrap();
        assert_eq!(read.as_slice(), vec![7; 10_000]);
    }

    #[test]
    fn unaligned_bytes_are_copied_and_aligned_ones_are_not() {
        static TEXT: &[u8] = b"0123456789";
        let bytes = Bytes::from_static(TEXT.get(1..).unwrap());
        let aligned = bytes.aligned().unwrap();
        assert_eq!(aligned.as_slice(), b"123456789");
        assert!(aligned.as_slice().as_ptr().addr().is_multiple_of(LINE));
        let again = aligned.clone().aligned().unwrap();
        assert_eq!(aligned.as_slice().as_ptr(), again.as_slice().as_ptr());
        assert_eq!(Bytes::from_vec(vec![1, 2, 3]).aligned().unwrap().as_slice(), [1, 2, 3]);
        assert!(Bytes::from_vec(Vec::new()).aligned().unwrap().is_empty());
    }

    #[test]
    fn advice_never_fails_whatever_the_range() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        for bytes in [Bytes::open(&path, LoadMode::Mmap).unwrap(), Bytes::from_vec(vec![7; 10_000])] {
            for range in [0..10_000, 4_097..4_099, 9_999..usize::MAX, usize::MAX..usize::MAX, 5..5] {
                bytes.advise_will_need(range.clone());
                bytes.advise_dont_need(range);
            }
            assert_eq!(bytes.as_slice(), vec![7; 10_000]);
        }
    }
}
