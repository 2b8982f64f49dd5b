//! Memory straight from the system: for weights, which are read once a token and should lie in huge pages, so that few
//! entries of the address table cover them.
//!
//! Most matrices are smaller than a huge page or end inside one, and the system would give them small pages there. So they
//! are cut one after the other from slabs that begin and end where huge pages do.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use memmap2::MmapMut;

use super::lines::CHUNK;
use crate::error::{Error, ErrorKind, Result};

/// What a slab is a multiple of: a huge page of x86-64, and of aarch64 with small pages of 4 KiB.
const HUGE: usize = 2 << 20;
/// Address space of a slab, unless one buffer needs more. What is not used of it takes no memory.
const SLAB: usize = 32 << 20;
/// Alignment of buffers inside a slab: the largest of the small pages in use, so that a buffer can be given back alone.
const PAGE: usize = 64 << 10;

/// Files from this size on are read into huge pages.
pub(super) const LARGE: u64 = HUGE as u64;

/// The slab that the next buffers are cut from; it lives as long as one of its buffers.
static CURRENT: Mutex<Weak<Slab>> = Mutex::new(Weak::new());

/// Zeros that become the buffer's owner's own: part of a slab.
pub(super) struct Arena {
    slab: Option<Arc<Slab>>,
    range: Range<usize>,
}

struct Slab {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "it only keeps the memory"))]
    map: MmapMut,
    /// Where the first huge page begins in the map.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only advice needs it"))]
    skip: usize,
    start: *mut u8,
    len: usize,
    used: Mutex<usize>,
}

// SAFETY: a slab's bytes are reached only through arenas, which own disjoint ranges of them and lend them by the rules of
// borrowing; the pointer stays valid while the map, which nobody else uses, is alive.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Arena {
    /// `len` zeros.
    pub(super) fn new(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Self { slab: None, range: 0..0 });
        }
        if len >= SLAB {
            // Nothing else is cut from its end, so that all of it goes with this buffer.
            return Arc::new(Slab::new(len)?).cut(len).ok_or_else(|| no_memory(len));
        }
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arena) = current.upgrade().and_then(|slab| slab.cut(len)) {
            return Ok(arena);
        }
        let slab = Arc::new(Slab::new(len)?);
        *current = Arc::downgrade(&slab);
        slab.cut(len).ok_or_else(|| no_memory(len))
    }

    /// The `size` bytes of a file; `told` is told after every chunk how many there are, and ends the reading with its error.
    ///
    /// Small pages of half a gigabyte take a tenth of a second to give back, which a reading that was cancelled would wait for.
    pub(super) fn read(mut file: &File, size: u64, told: &mut dyn FnMut(usize) -> Result<()>) -> Result<Self> {
        let size = usize::try_from(size).map_err(|_| no_memory(usize::MAX))?;
        let mut arena = Self::new(size).map_err(|e| e.context("map the file instead of reading it"))?;
        let mut len = 0;
        while len < size {
            let end = size.min(len.saturating_add(CHUNK));
            match file.read(arena.as_mut_slice().get_mut(len..end).unwrap_or_default()) {
                Ok(0) => return Err(Error::new(ErrorKind::FileChanged, "the file became shorter while it was read")),
                Ok(n) => {
                    len += n;
                    told(len)?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("reading the file", e)),
            }
        }
        Ok(arena)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match &self.slab {
            // SAFETY: `cut` gave this range, inside the slab, to this arena alone; it was zeroed by the system.
            Some(slab) => unsafe { std::slice::from_raw_parts(slab.start.add(self.range.start), self.range.len()) },
            None => &[],
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        match &self.slab {
            // SAFETY: as above, and this arena is borrowed mutably.
            Some(slab) => unsafe { std::slice::from_raw_parts_mut(slab.start.add(self.range.start), self.range.len()) },
            None => &mut [],
        }
    }
}

impl Slab {
    /// A slab with room for `least` bytes.
    fn new(least: usize) -> Result<Self> {
        let len = least.checked_next_multiple_of(HUGE).ok_or_else(|| no_memory(least))?.max(SLAB);
        let with_edge = len.checked_add(HUGE).ok_or_else(|| no_memory(least))?;
        let mut map = MmapMut::map_anon(with_edge).map_err(|e| no_memory(least).with_source(e))?;
        // Advice: where the system has no huge pages, small ones serve.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let start = map.as_mut_ptr();
        let skip = start.align_offset(HUGE).min(HUGE);
        Ok(Self { map, skip, start: start.wrapping_add(skip), len, used: Mutex::new(0) })
    }

    /// The next `len` bytes, if there are as many left.
    fn cut(self: Arc<Self>, len: usize) -> Option<Arena> {
        let range = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let end = used.checked_add(len).filter(|end| *end <= self.len)?;
            let range = *used..end;
            *used = end.next_multiple_of(PAGE);
            range
        };
        Some(Arena { slab: Some(self), range })
    }
}

impl Drop for Arena {
    /// Gives the memory back at once, though other buffers may keep the slab.
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(slab) = &self.slab {
            let (offset, len) = (slab.skip + self.range.start, self.range.len());
            // SAFETY: nobody uses these bytes any more: the arena that owned them is going, and no other has them.
            let _ = unsafe { slab.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len) };
        }
    }
}

fn no_memory(len: usize) -> Error {
    let message = format!("no memory for {len} bytes; use a smaller model or close other programs");
    Error::new(ErrorKind::Memory, message)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test has to stop")]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeros_of_their_own_and_neighbours_outlive_each_other() {
        let lens = [1, PAGE, PAGE + 1, 0, 3 * HUGE + 5, SLAB - 7, SLAB + HUGE, 64];
        let mut arenas: Vec<Arena> = lens.iter().map(|len| Arena::new(*len).unwrap()).collect();
        for (i, (arena, len)) in arenas.iter_mut().zip(lens).enumerate() {
            assert_eq!(arena.as_slice().len(), len);
            assert!(len == 0 || arena.as_slice().as_ptr().addr().is_multiple_of(PAGE));
            assert!(arena.as_slice().iter().all(|b| *b == 0));
            arena.as_mut_slice().fill(i as u8 + 1);
        }
        // Every other goes; what is left keeps its bytes, and new buffers are zeros again.
        let mut i = 0;
        arenas.retain(|_| (i += 1, i % 2 == 0).1);
        assert!(Arena::new(SLAB / 2).unwrap().as_slice().iter().all(|b| *b == 0));
        for (arena, i) in arenas.iter().zip([2u8, 4, 6, 8]) {
            assert!(arena.as_slice().iter().all(|b| *b == i));
        }
    }

    #[test]
    fn what_does_not_fit_any_memory_is_an_error() {
        for len in [usize::MAX, usize::MAX / 2, 1 << 60] {
            assert_eq!(Arena::new(len).err().unwrap().kind(), ErrorKind::Memory);
        }
    }
}
