//! Running the program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The model that is built into the program.
pub const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/abacus-q8_0.gguf");

/// The program without the caller's environment and cache.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruminate"));
    command.env_clear().env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

pub fn ruminate(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

/// With something on standard input.
pub fn ruminate_with(args: &[&str], input: &str) -> Output {
    let mut child =
        command().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The one JSON document of a run that succeeded without a word on standard error.
#[track_caller]
pub fn document(output: &Output) -> Value {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The exit code, and one line on standard error that is free of escapes.
#[track_caller]
pub fn assert_fails(output: &Output, code: i32, says: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(says), "{stderr:?} does not say {says:?}");
    assert!(stderr.trim_end().lines().count() == 1 && !stderr.contains('\x1b'), "{stderr:?}");
    assert!(output.stdout.is_empty(), "{:?}", text(&output.stdout));
}
