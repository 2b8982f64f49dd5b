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
