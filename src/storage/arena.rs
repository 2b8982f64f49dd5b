//! Memory straight from the system: for large buffers, whose pages then are zero, aligned, and given back when dropped.

use memmap2::MmapMut;

use crate::error::{Error, ErrorKind, Result};

/// A buffer of pages of its own, in huge ones where the system has them: weights are read once a token, and fewer
/// entries of the address table then cover them.
pub(super) struct Arena {
    /// `None` for no bytes at all.
    map: Option<MmapMut>,
}

impl Arena {
    /// `len` zeros.
    pub(super) fn new(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Self { map: None });
        }
        let map = MmapMut::map_anon(len).map_err(|e| {
            let message = format!("no memory for {len} bytes; use a smaller model or close other programs");
            Error::new(ErrorKind::Memory, message).with_source(e)
        })?;
        // Advice: where the system has no huge pages, small ones serve.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map: Some(map) })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

/// Bytes whose end is the end of a file's last page, mapped one page further: touching that page raises `SIGBUS`.
#[cfg(all(test, target_os = "linux"))]
pub(super) struct Guarded {
    map: memmap2::Mmap,
    start: usize,
    end: usize,
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a failed test has to stop")]
impl Guarded {
    pub(super) fn new(bytes: &[u8]) -> Self {
        use std::os::unix::fs::FileExt;
        // The largest page in use, so that the file's end is a page's end everywhere.
        const PAGE: usize = 64 << 10;
        let (end, file) = (bytes.len().next_multiple_of(PAGE), tempfile::tempfile().unwrap());
        let start = end - bytes.len();
        file.set_len(end as u64).unwrap();
        file.write_all_at(bytes, start as u64).unwrap();
        // SAFETY: nobody else has the file, which has no name.
        let map = unsafe { memmap2::MmapOptions::new().len(end + PAGE).map(&file) };
        Self { map: map.unwrap(), start, end }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.map[self.start..self.end]
    }
}
