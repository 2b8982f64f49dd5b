//! Reading numbers and strings from the front of a byte slice, never past its end.

use super::extent::Extent;
use super::quote::Quoted;
use crate::error::{Error, Result};

/// A place in the file and what is left behind it.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next `n` bytes of `what`.
    pub(super) fn take(&mut self, n: Extent, what: &str) -> Result<&'a [u8]> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let taken = n.to_usize().and_then(|n| left.get(..n)).ok_or_else(|| {
            let (n, left, at) = (n.get(), left.len(), self.at);
            Error::format(format!("the file ends inside {what}: {n} bytes needed, {left} left at byte {at}"))
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A count of things of `what` that take at least `bytes_each`; refused when it is over `cap` or when the rest of
    /// the file cannot hold that many, so that memory reserved for them never exceeds a small multiple of the file.
    pub(super) fn count(&self, n: u64, bytes_each: u64, cap: u64, what: &str) -> Result<usize> {
        if n > cap {
            return Err(Error::format(format!("{n} {what}, more than the limit of {cap}")));
        }
        let left = self.bytes.len().saturating_sub(self.at);
        let fits = Extent::new(n).mul(bytes_each).and_then(Extent::to_usize).is_some_and(|size| size <= left);
        match usize::try_from(n) {
            Ok(n) if fits => Ok(n),
            _ => Err(Error::format(format!("{n} {what} cannot fit into the {left} bytes that are left of the file"))),
        }
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8> {
        self.array::<1>(what).map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let taken = self.take(Extent::new(N as u64), what)?;
        taken.try_into().map_err(|_| Error::format(format!("the file ends inside {what}")))
    }

    /// A string: its length in bytes, at most `cap`, then UTF-8.
    pub(super) fn str(&mut self, cap: u64, what: &str) -> Result<&'a str> {
        let len = self.u64(what)?;
        if len > cap {
            return Err(Error::format(format!("{what} has {len} bytes, more than the limit of {cap}")));
        }
        let at = self.at;
        let bytes = self.take(Extent::new(len), what)?;
        str::from_utf8(bytes).map_err(|_| {
            let shown = String::from_utf8_lossy(bytes);
            Error::format(format!("{what} at byte {at} is not valid UTF-8: {}", Quoted(&shown)))
        })
    }
}
