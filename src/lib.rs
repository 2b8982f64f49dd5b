//! ruminate: an embedded, on-device reasoning runtime.
//!
//! It memory-maps a quantized GGUF model, decodes many branches of thought at once over a shared prefix, searches within
//! a hard budget of tokens, time and memory, and always hands back the best answer found so far.
//!
//! The rooms, lowest first; a room uses only those above it in this list (`ARCHITECTURE.md` has the whole map).

pub mod error;
pub mod limits;
pub mod observe;

pub mod quant;
pub mod simd;
pub mod storage;

pub mod exec;
pub mod gguf;
pub mod kernels;

pub mod model;
pub mod text;

pub mod engine;

pub mod reward;

pub mod search;

pub mod learn;

pub mod reason;
pub mod trace;

pub use error::{Error, ErrorKind, Result};
pub use limits::Limits;
