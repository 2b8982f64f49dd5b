//! [`Lines`]: owned bytes that start on the edge of a cache line.

use std::fs::File;
use std::io::Read;

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, ErrorKind, Result};

/// Alignment of everything that this library allocates for file bytes: a cache line, and the widest vector register.
pub(super) const LINE: usize = 64;

/// Bytes read at once; also the first allocation for a file that does not tell its size.
pub(super) const CHUNK: usize = 1 << 20;

#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Some bytes in whole lines.
pub(super) struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    pub(super) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut lines = reserve(bytes.len())?;
        lines.resize(bytes.len().div_ceil(LINE), Line::zeroed());
        let (whole, _) = bytemuck::cast_slice_mut::<Line, u8>(&mut lines).split_at_mut(bytes.len());
        whole.copy_from_slice(bytes);
        Ok(Self { lines, len: bytes.len() })
    }

    /// Reads to the end. `size` is what the file system says; it decides the first allocation and nothing else, because
    /// some file systems (`/proc`) say zero for files that have content.
    /// `told` is told after every chunk how many bytes there are, and ends the reading with its error.
    pub(super) fn read(mut file: &File, size: u64, told: &mut dyn FnMut(usize) -> Result<()>) -> Result<Self> {
        let size =
            usize::try_from(size).map_err(|_| Error::new(ErrorKind::Memory, "the file is larger than memory"))?;
        // One byte more than the size, so that the end of the file shows without growing.
        let mut lines = reserve(size.saturating_add(1))?;
        let mut len = 0;
        loop {
            if len == lines.len() * LINE {
                let spare = lines.capacity() - lines.len();
                let more = if spare > 0 { spare.min(CHUNK / LINE) } else { CHUNK / LINE };
                lines.try_reserve(more).map_err(|e| no_memory(len, e))?;
                lines.resize(lines.len() + more, Line::zeroed());
            }
            let free = bytemuck::cast_slice_mut::<Line, u8>(&mut lines).get_mut(len..).unwrap_or_default();
            match file.read(free) {
                Ok(0) => break,
                Ok(n) => {
                    len += n;
                    told(len)?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("reading the file", e)),
            }
        }
        if len == 0 {
            return Err(Error::format("the file is empty"));
        }
        lines.truncate(len.div_ceil(LINE));
        Ok(Self { lines, len })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines).get(..self.len).unwrap_or_default()
    }
}

fn reserve(len: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    lines.try_reserve_exact(len.div_ceil(LINE)).map_err(|e| no_memory(len, e))?;
    Ok(lines)
}

fn no_memory(len: usize, source: std::collections::TryReserveError) -> Error {
    Error::new(ErrorKind::Memory, format!("no memory for {len} bytes; map the file instead of reading it"))
        .with_source(source)
}
