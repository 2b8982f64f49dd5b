//! `include/ruminate.h` is what cbindgen makes of the sources.
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::path::Path;
use std::{env, fs};

fn generated() -> String {
    let ffi = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(ffi.join("cbindgen.toml")).unwrap();
    let mut text = Vec::new();
    // The files in the order of the header; their modules are one flat list.
    let sources = [
        "status",
        "text",
        "version",
        "call",
        "host",
        "log",
        "cancel",
        "runtime",
        "pressure",
        "backend",
        "model_open",
        "model",
        "tokens",
        "session",
        "session_file",
        "estimate",
        "judge",
        "judge_file",
        "judge_host",
        "tool",
        "tool_function",
        "method",
        "prompt",
        "algo",
        "search",
        "generation",
        "event",
        "watch",
        "outcome",
        "power",
        "run_start",
        "run",
        "run_result",
        "trace",
        "adapter",
        "pairing",
        "preferences",
        "collection",
        "training",
        "fitting",
    ];
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources {
        builder = builder.with_src(ffi.join("src").join(source).with_extension("rs"));
    }
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/ruminate.h");
    let generated = generated();
    if env::var_os("RUM_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "include/ruminate.h is stale: RUM_WRITE_HEADER=1 cargo test -p ruminate-ffi --test header"
    );
}

#[test]
fn every_enumeration_is_in_the_header() {
    let header = generated();
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let text: String = sources.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub enum ")?.strip_suffix(" {"))
        .filter(|name| name.starts_with("rum_"))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(header.contains(&format!("enum {name}")), "cbindgen.toml has to include {name}");
    }
}
