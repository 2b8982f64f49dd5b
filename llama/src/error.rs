//! What can go wrong.

use std::fmt;

/// An error or a value.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that llama.cpp would not survive.
    InvalidArgument,
    /// llama.cpp could not load the file.
    Load,
    /// No room in the KV cells or on the device.
    Memory,
    /// The caller's stop function said so.
    Stopped,
    /// This model, or this build, cannot do it.
    Unsupported,
    /// llama.cpp failed; the context cannot be used any more.
    Failed,
}

/// A kind with a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
