//! llama.cpp behind safe types.
//!
//! llama.cpp ends the process when its C interface is misused: a token or sequence out of range, a batch too large, an adapter
//! of another model. Here every such limit is checked before the call, C++ exceptions are caught, and what remains is an
//! [`Error`]. Nothing raw leaves this crate.

mod adapter;
mod backends;
mod buffers;
mod context;
mod device;
mod error;
mod hooks;
mod layout;
mod lines;
mod log;
mod model;
mod sequence;
mod state;

pub use adapter::Adapter;
pub use buffers::{Buffers, buffers};
pub use context::{CELL_STEP, Context, ContextOptions, KvType, Token};
pub use device::{Device, devices};
pub use error::{Error, ErrorKind, Result};
pub use hooks::Tap;
pub use lines::LogLevel;
pub use log::{LogSink, set_log};
pub use model::{Model, ModelOptions};
pub use sequence::MAX_SEQUENCES;
