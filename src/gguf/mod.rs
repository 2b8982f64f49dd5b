//! The GGUF container: parse, validate, write (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
//!
//! Everything in a file is hostile until it has passed through here: a [`Gguf`] holds only keys, names, types and
//! extents that were checked against the file and against [`Limits`](crate::Limits).
#![forbid(unsafe_code)]

mod cursor;
mod directory;
mod encode;
mod extent;
mod file;
mod fingerprint;
mod metadata;
mod quote;
mod split;
mod str_array;
mod value;
mod writer;

pub use directory::TensorInfo;
pub use file::Gguf;
pub(crate) use fingerprint::Fingerprint;
pub use metadata::Metadata;
pub use str_array::StrArray;
pub use value::{Array, Value};
pub use writer::GgufWriter;
