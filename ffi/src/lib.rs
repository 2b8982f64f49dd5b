//! The C ABI of ruminate, over its public Rust API alone.
//!
//! Every handle is a number in a table ([`handle`]), never an address, so that a stale or foreign one is told apart without
//! being touched. Every function runs inside [`call::entry`], which clears and sets the thread's message and catches
//! panics. What the functions promise stands in their comments, which `tests/header.rs` turns into `include/ruminate.h`.
#![allow(non_camel_case_types, reason = "types have the names that they have in C")]
#![allow(clippy::missing_safety_doc, reason = "the header's preamble states one contract for all pointers")]

mod adapter;
mod algo;
mod backend;
mod call;
mod cancel;
mod collect;
mod collection;
mod estimate;
mod event;
mod fit;
mod fitting;
mod generate;
mod generation;
mod governor;
mod handle;
mod host;
mod judge;
mod judge_file;
mod judge_host;
mod lend;
mod log;
mod method;
mod model;
mod model_open;
mod number;
mod opening;
mod outcome;
mod pairing;
mod panic;
mod power;
mod preferences;
mod pressure;
mod prompt;
mod run;
mod run_result;
mod run_start;
mod runtime;
mod search;
mod search_params;
mod session;
mod session_file;
mod sized;
mod solve;
mod status;
mod text;
mod tokens;
mod tool;
mod tool_function;
mod trace;
mod train;
mod training;
mod version;
mod watch;
mod work;
