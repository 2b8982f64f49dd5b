//! Status codes, and the failures that become one.

use std::ffi::c_char;

use ruminate::{Error, ErrorKind};

/// What became of a call: 0 for success, negative for a failure. Numbers are never given another meaning; a later version
/// may add some, so treat an unknown negative number as a failure.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_status {
    /// Done. Out-parameters are written in this case only.
    RUM_OK = 0,
    /// An argument is out of its documented range: NULL where that is not allowed, text that is not UTF-8, an unknown
    /// number of an enumeration, a `struct_size` that does not fit.
    RUM_ERR_INVALID_ARGUMENT = -1,
    /// A handle is NULL, was freed, is of another type, or was never given out.
    RUM_ERR_MISUSE = -2,
    /// The object is in use: by a run, by another thread, or by the callback that this call comes from.
    RUM_ERR_BUSY = -3,
    /// An earlier call on this object ended in `RUM_ERR_INTERNAL`. Only freeing it is possible.
    RUM_ERR_POISONED = -4,
    /// The library broke its own rule; please report it.
    RUM_ERR_INTERNAL = -5,
    /// The operating system refused a file operation, or to start a thread.
    RUM_ERR_IO = -6,
    /// A file's bytes break its format, or disagree with themselves.
    RUM_ERR_FORMAT = -7,
    /// The file or request is sound but needs something that this library does not have.
    RUM_ERR_UNSUPPORTED = -8,
    /// More tokens than the context holds.
    RUM_ERR_CONTEXT_LENGTH = -9,
    /// A memory budget would have been exceeded.
    RUM_ERR_MEMORY = -10,
    /// Weights, logits or scores held NaN or infinity.
    RUM_ERR_NON_FINITE = -11,
    /// A cancel token or a deadline ended a call that is no run. (A run that is cancelled has a result.)
    RUM_ERR_CANCELLED = -12,
    /// A mapped file changed while it was in use; what was computed from it was thrown away.
    RUM_ERR_FILE_CHANGED = -13,
    /// The caller's buffer is too small; the length that it needs was written.
    RUM_ERR_BUFFER_TOO_SMALL = -14,
    /// There is nothing of that name or index.
    RUM_ERR_NOT_FOUND = -15,
    /// The run has not ended yet.
    RUM_ERR_NOT_DONE = -16,
    /// A callback of the host reported a failure.
    RUM_ERR_CALLBACK = -17,
    /// The header that the program was compiled with does not fit this library.
    RUM_ERR_ABI = -18,
}

const NAMES: [(rum_status, &str); 19] = {
    use rum_status::*;
    [
        (RUM_OK, "ok\0"),
        (RUM_ERR_INVALID_ARGUMENT, "invalid argument\0"),
        (RUM_ERR_MISUSE, "misuse\0"),
        (RUM_ERR_BUSY, "busy\0"),
        (RUM_ERR_POISONED, "poisoned\0"),
        (RUM_ERR_INTERNAL, "internal\0"),
        (RUM_ERR_IO, "io\0"),
        (RUM_ERR_FORMAT, "format\0"),
        (RUM_ERR_UNSUPPORTED, "unsupported\0"),
        (RUM_ERR_CONTEXT_LENGTH, "context length\0"),
        (RUM_ERR_MEMORY, "memory\0"),
        (RUM_ERR_NON_FINITE, "non-finite\0"),
        (RUM_ERR_CANCELLED, "cancelled\0"),
        (RUM_ERR_FILE_CHANGED, "file changed\0"),
        (RUM_ERR_BUFFER_TOO_SMALL, "buffer too small\0"),
        (RUM_ERR_NOT_FOUND, "not found\0"),
        (RUM_ERR_NOT_DONE, "not done\0"),
        (RUM_ERR_CALLBACK, "callback\0"),
        (RUM_ERR_ABI, "abi\0"),
    ]
};

/// A short name of a status, such as `busy`; `unknown` for a number that this library never gives. Valid for the life of
/// the process. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn rum_status_name(status: i32) -> *const c_char {
    let name = NAMES.iter().find(|(known, _)| *known as i32 == status).map_or("unknown\0", |(_, name)| name);
    name.as_ptr().cast()
}

/// A status with a message for a person.
#[derive(Debug, Clone)]
pub struct Failure {
    pub status: rum_status,
    pub message: String,
}

impl Failure {
    pub fn new(status: rum_status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(rum_status::RUM_ERR_INVALID_ARGUMENT, message)
    }

    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(rum_status::RUM_ERR_BUSY, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(rum_status::RUM_ERR_INTERNAL, message)
    }

    /// The same failure, its message led by what was being done.
    pub fn context(self, doing: &str) -> Self {
        Self { message: format!("{doing}: {}", self.message), ..self }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Io => rum_status::RUM_ERR_IO,
            ErrorKind::Format => rum_status::RUM_ERR_FORMAT,
            ErrorKind::Unsupported => rum_status::RUM_ERR_UNSUPPORTED,
            ErrorKind::InvalidArgument => rum_status::RUM_ERR_INVALID_ARGUMENT,
            ErrorKind::ContextLength => rum_status::RUM_ERR_CONTEXT_LENGTH,
            ErrorKind::Memory => rum_status::RUM_ERR_MEMORY,
            ErrorKind::NonFinite => rum_status::RUM_ERR_NON_FINITE,
            ErrorKind::Cancelled => rum_status::RUM_ERR_CANCELLED,
            ErrorKind::FileChanged => rum_status::RUM_ERR_FILE_CHANGED,
            // The library's kinds may grow; a kind that this file does not know is at least no success.
            _ => rum_status::RUM_ERR_INTERNAL,
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_own_number_and_name() {
        for (place, (status, name)) in NAMES.iter().enumerate() {
            assert_eq!(*status as i32, -(place as i32), "{name}");
            assert!(name.ends_with('\0') && name.matches('\0').count() == 1);
            assert_eq!(NAMES.iter().filter(|(_, other)| other == name).count(), 1);
        }
    }

    #[test]
    fn every_kind_of_error_keeps_its_meaning() {
        for (kind, status) in [
            (ErrorKind::Io, -6),
            (ErrorKind::Format, -7),
            (ErrorKind::Unsupported, -8),
            (ErrorKind::InvalidArgument, -1),
            (ErrorKind::ContextLength, -9),
            (ErrorKind::Memory, -10),
            (ErrorKind::NonFinite, -11),
            (ErrorKind::Cancelled, -12),
            (ErrorKind::FileChanged, -13),
            (ErrorKind::Internal, -5),
        ] {
            assert_eq!(Failure::from(Error::new(kind, "x")).status as i32, status, "{kind:?}");
        }
    }
}
