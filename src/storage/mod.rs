//! Bytes of a file, mapped or read, and the atomic save. The only user of `memmap2`.

mod arena;
mod atomic;
mod bytes;
mod capped;
mod lines;
mod mapped;
pub(crate) mod wire;

pub use atomic::save_atomic;
pub use bytes::{Bytes, LoadMode};
pub use capped::read_capped;
