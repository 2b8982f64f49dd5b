//! Traces: what a search did, as JSON lines while it runs; read back, drawn, compared with a second run, exported.
//!
//! One record per line, each an object whose `event` names it. The first is the `header`: what was asked, of which model,
//! with every parameter, so that the search can be run again. Then come `node_started`, `node_text` (if wanted),
//! `node_done` and `node_closed`, with the numbers of [`Event`](crate::observe::Event), and at last the `outcome`, or the
//! `error`. `ms` is the time since the trace was opened. Readers skip fields and events that they do not know; a change
//! that would mislead them raises [`FORMAT`].

mod header;
pub mod openinference;
mod read;
mod record;
mod replay;
pub mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use self::header::{AdapterRecord, FORMAT, Header, JudgeRecord, ModelRecord, PromptRecord};
pub use self::read::{Done, Node, Trace};
pub use self::record::{CandidateRecord, ErrorRecord, OutcomeRecord, UsageRecord};
pub use self::replay::{Difference, Replay, Verdict};
pub use self::writer::TraceWriter;
