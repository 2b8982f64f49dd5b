//! The one error type: opaque, with a [`kind`](Error::kind) to act on and a message for a person.

use std::fmt;

/// The result of every fallible call of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, coarse enough to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused a file operation.
    Io,
    /// A file's bytes break its format, or disagree with themselves.
    Format,
    /// The file is sound but needs something that this library does not have.
    Unsupported,
    /// The caller's argument is out of its documented range.
    InvalidArgument,
    /// More tokens than the context holds.
    ContextLength,
    /// A memory budget would have been exceeded; nothing was allocated.
    Memory,
    /// Weights, logits or scores held NaN or infinity.
    NonFinite,
    /// The caller's cancel token or deadline ended the work.
    Cancelled,
    /// A mapped file changed while it was in use; its results were thrown away.
    FileChanged,
    /// The library broke its own rule; please report it.
    Internal,
}

/// An error with its kind, a message that says what to do next, and the chain of what was being done.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message for a person.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, message: message.into(), source: None }) }
    }

    /// The same error with the lower-level error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error, its message led by what was being done: `"reading model.gguf: …"`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.inner.message = format!("{doing}: {}", self.inner.message);
        self
    }

    /// What went wrong, to act on.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    pub(crate) fn format(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Format, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn io(doing: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing}: {source}")).with_source(source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.inner.kind, self.inner.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_leads_the_message_and_keeps_the_kind() {
        let e = Error::format("bad magic").context("reading a.gguf");
        assert_eq!(e.to_string(), "reading a.gguf: bad magic");
        assert_eq!(e.kind(), ErrorKind::Format);
    }

    #[test]
    fn an_io_error_keeps_its_source() {
        let e = Error::io("opening x", std::io::Error::from(std::io::ErrorKind::NotFound));
        assert!(std::error::Error::source(&e).is_some());
    }
}
