//! Text in and out: pointer and length, UTF-8.

use std::ffi::{CStr, c_char};

use crate::call::{self, entry, free, not_null};
use crate::handle::Kind;
use crate::status::{Failure, rum_status};

/// Text as a pointer and its length in bytes.
///
/// Out of the library it is UTF-8 and also ends with a NUL that `len` does not count; `ptr` is NULL for a text that does
/// not exist. Into the library it is UTF-8; a `len` of `SIZE_MAX` means that the text ends with a NUL, and NULL with length 0
/// is the empty text.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_str {
    pub ptr: *const c_char,
    pub len: usize,
}

impl rum_str {
    /// A text that does not exist.
    pub const NONE: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// The text, to be read in this call.
    ///
    /// # Safety
    /// As [`read`].
    pub unsafe fn read<'a>(self, what: &str) -> Result<&'a str, Failure> {
        // SAFETY: the caller's promise.
        unsafe { read(self.ptr, self.len, what) }
    }
}

/// A text of the host, to be read in this call.
///
/// # Safety
/// As [`bytes`].
pub unsafe fn read<'a>(ptr: *const c_char, len: usize, what: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    std::str::from_utf8(unsafe { bytes(ptr, len, what) }?)
        .map_err(|e| Failure::invalid(format!("{what} is not UTF-8 from byte {} on", e.valid_up_to())))
}

/// A text of the host that need not be UTF-8.
///
/// # Safety
/// `ptr` is NULL or valid for reading `len` bytes, up to the first NUL for `usize::MAX`, as long as the result is used.
pub unsafe fn bytes<'a>(ptr: *const c_char, len: usize, what: &str) -> Result<&'a [u8], Failure> {
    match (ptr.is_null(), len) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(Failure::invalid(format!("{what} is NULL"))),
        // SAFETY: the caller's promise.
        (false, usize::MAX) => Ok(unsafe { CStr::from_ptr(ptr) }.to_bytes()),
        (false, len) if len > isize::MAX as usize => {
            Err(Failure::invalid(format!("{what} has a length of {len} bytes")))
        }
        // SAFETY: the caller's promise.
        (false, len) => Ok(unsafe { std::slice::from_raw_parts(ptr.cast::<u8>(), len) }),
    }
}

/// A text of ours with a NUL behind it.
#[derive(Debug, Clone, Default)]
pub struct Text(Vec<u8>);

impl Text {
    pub fn new(text: impl Into<String>) -> Self {
        let mut bytes = text.into().into_bytes();
        bytes.push(0);
        Self(bytes)
    }

    /// Appends `more`.
    pub fn push(&mut self, more: &str) {
        // The NUL goes to the new end.
        self.0.pop();
        self.0.extend_from_slice(more.as_bytes());
        self.0.push(0);
    }

    pub fn as_str(&self) -> &str {
        // Made from a `String`, so this is its text.
        self.0.split_last().and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// As the host sees it, for as long as this value stays where it is.
    pub fn lend(&self) -> rum_str {
        match self.0.len() {
            0 => rum_str { ptr: c"".as_ptr(), len: 0 },
            bytes => rum_str { ptr: self.0.as_ptr().cast(), len: bytes - 1 },
        }
    }

    /// What [`lend`](Self::lend) gives, [`rum_str::NONE`] for none.
    pub fn lend_optional(text: Option<&Self>) -> rum_str {
        text.map_or(rum_str::NONE, Self::lend)
    }
}

/// A text that belongs to the caller. Free it with `rum_text_free`.
pub struct rum_text(());

impl Kind for Text {
    type Opaque = rum_text;
    const NAME: &'static str = "text";
}

/// Hands `text` out as a new handle.
///
/// # Safety
/// `out` is valid for writing one pointer.
pub unsafe fn hand_out(text: impl Into<String>, out: *mut *mut rum_text) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    unsafe { call::hand_out(Text::new(text), out) }
}

/// The text: borrowed from `text`, valid until that is freed. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_text_get(text: *const rum_text, out: *mut rum_str) -> rum_status {
    entry("rum_text_get", |call| {
        let text = call.receiver::<Text>(text)?;
        not_null(out, "the out-parameter")?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(text.value.lend()) };
        Ok(())
    })
}

/// Frees a text; NULL is fine. `RUM_ERR_MISUSE` for one that was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn rum_text_free(text: *mut rum_text) -> rum_status {
    free::<Text>("rum_text_free", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_in_by_length_or_by_its_nul() {
        let bytes = b"h\xc3\xa9\0tail\0";
        let ptr = bytes.as_ptr().cast::<c_char>();
        // SAFETY: all lengths lie within `bytes`.
        unsafe {
            assert_eq!(read(ptr, 3, "x").unwrap(), "hé");
            assert_eq!(read(ptr, usize::MAX, "x").unwrap(), "hé");
            assert_eq!(read(ptr, 8, "x").unwrap(), "hé\0tail");
            assert!(read(ptr, 2, "x").unwrap_err().message.contains("from byte 1 on"));
            assert_eq!(read(std::ptr::null(), 0, "x").unwrap(), "");
            assert!(read(std::ptr::null(), 1, "x").is_err());
            assert!(read(std::ptr::null(), usize::MAX, "x").is_err());
            assert!(read(ptr, usize::MAX - 1, "x").is_err());
        }
    }

    #[test]
    fn text_goes_out_with_a_nul_that_its_length_does_not_count() {
        for text in ["", "a", "é\0b"] {
            let own = Text::new(text);
            let lent = own.lend();
            // SAFETY: the length and its NUL belong to `own`.
            let bytes = unsafe { std::slice::from_raw_parts(lent.ptr.cast::<u8>(), lent.len + 1) };
            assert_eq!((bytes, own.as_str()), ([text.as_bytes(), b"\0"].concat().as_slice(), text));
        }
        assert_eq!(Text::default().lend().len, 0);
        let mut grown = Text::default();
        ["a", "", "bc"].into_iter().for_each(|more| grown.push(more));
        assert_eq!((grown.as_str(), grown.lend().len), ("abc", 3));
    }
}
