//! Models that think first, by control tokens and by channels (tests/fixtures/make_thinkers.py).

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{document, ruminate, text};

const MODELS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/thinkers/marks.gguf"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/thinkers/harmony.gguf"),
];

fn solve(model: &str, args: &[&str]) -> Value {
    let all = [&["solve", "--json", "--strategy", "direct", "--width", "2", "--model", model], args, &["6*7?"]];
    document(&ruminate(&all.concat()))
}

#[test]
fn thinking_is_found_hidden_and_shown() {
    for model in MODELS {
        let run = |args: &[&str]| ruminate(&[&["run", "-p", "6*7?", "--temp", "0", "--model", model], args].concat());
        let whole = document(&run(&["--json"]));
        assert_eq!(whole["thinking"], "Six times seven", "{whole}");
        assert!(whole["text"].as_str().unwrap().contains("Six times seven"), "{whole}");
        assert_eq!(document(&run(&["--json", "--hide-thinking"]))["text"], "\n#### 42");
        assert_eq!(text(&run(&["--hide-thinking"]).stdout).trim(), "#### 42");
        assert!(text(&run(&[]).stdout).contains("Six times seven"));
        let solved = solve(model, &["--n", "2"]);
        assert_eq!((&solved["answer"], &solved["text"]), (&"42".into(), &"\n#### 42".into()), "{solved}");
        assert_eq!(solved["thinking"], "Six times seven");
        let shown = |args: &[&str]| {
            let all = [&["solve", "--n", "1", "--strategy", "direct", "--model", model], args, &["6*7?"]].concat();
            let output = ruminate(&all);
            let stdout = text(&output.stdout);
            // The lines of branches show what is drawn.
            stdout.lines().any(|line| line.trim() == "Six times seven")
        };
        assert!(shown(&["--show-thinking"]) && !shown(&[]));
    }
}

#[test]
fn thinking_is_held_to_its_budget_and_replayed() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("t.jsonl");
    let trace = trace.to_str().unwrap();
    for model in MODELS {
        for (args, thought) in [
            (&["--waits", "0"][..], "Six times seven"),
            (&["--waits", "2", "--wait", "Hm"], "Six times sevenHm times sevenHm times seven"),
            (&["--waits", "2", "--wait", "Hm", "--min-thinking", "6"], "Six times sevenHm times seven"),
            (&["--waits", "0", "--max-thinking", "2"], "Six"),
            (&["--waits", "0", "--budget-tokens", "4"], "Six"),
            (&["--waits", "0", "--early-exit", "0.9"], "Six times seven"),
        ] {
            let all = [&["--algo", "budget-forcing", "--trace", trace], args].concat();
            let solved = solve(model, &all);
            assert_eq!((&solved["thinking"], &solved["answer"]), (&thought.into(), &"42".into()), "{args:?} {solved}");
            let replayed = document(&ruminate(&["trace", "replay", "--json", trace]));
            assert_eq!(replayed["identical"], true, "{args:?}: {replayed}");
        }
    }
}

#[cfg(feature = "grammar")]
#[test]
fn a_grammar_begins_behind_thinking() {
    for model in MODELS {
        for algo in ["best-of-n", "budget-forcing"] {
            let args = ["--algo", algo, "--n", "4", "--choice", "17,18", "--early-stop", "never"];
            let solved = solve(model, &args);
            assert!(["17", "18"].contains(&solved["answer"].as_str().unwrap()), "{solved}");
            assert!(solved["thinking"].as_str().unwrap().starts_with("Six times seven"), "{solved}");
        }
    }
}
