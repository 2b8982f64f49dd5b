//! Methods of several calls with the built-in model, which solves nothing by them, but obeys.

use std::fs;
use std::process::Stdio;

use tempfile::TempDir;

use crate::program::{assert_fails, command, document, ruminate, text};

const QUESTION: &str = "Tom has 3 boxes with 4 pens each. How many pens?";

/// The names of all methods.
fn methods() -> Vec<String> {
    let listed = document(&ruminate(&["reason", "list", "--json"]));
    let listed = listed.as_array().unwrap();
    let of = |kind: &str| -> Vec<String> {
        let named = listed.iter().filter(|strategy| strategy["kind"] == kind);
        named.map(|strategy| strategy["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of("prompt"), ["direct", "cot", "few-shot", "memory"]);
    let methods = of("method");
    assert!(methods.contains(&"plan".to_owned()), "{methods:?}");
    methods
}

#[test]
fn strategies_are_listed_with_what_they_do_and_cost() {
    let listed = ruminate(&["reason", "list"]);
    let stdout = text(&listed.stdout);
    for name in methods() {
        assert!(stdout.lines().any(|line| line.split_whitespace().next() == Some(&name)), "{name}: {stdout}");
    }
}

#[test]
fn every_method_answers_within_its_budget_and_is_replayed_from_its_trace() {
    let folder = TempDir::new().unwrap();
    for name in methods() {
        let path = folder.path().join(format!("{name}.jsonl"));
        let path = path.to_str().unwrap();
        let args = ["solve", "--json", "--strategy", &name, "--n", "2", "--budget-tokens", "150", "--width", "4"];
        let solved = document(&ruminate(&[&args[..], &["--max-tokens", "40", "--trace", path, QUESTION]].concat()));
        assert_eq!((&solved["strategy"], &solved["algo"]), (&name.as_str().into(), &serde_json::Value::Null));
        assert!(solved["usage"]["policy_tokens"].as_u64().unwrap() <= 150, "{name}");
        assert!(!solved["text"].as_str().unwrap().is_empty(), "{name}: {solved}");
        let trace = fs::read_to_string(path).unwrap();
        assert!(trace.contains("\"end\":\"prompt\""), "{name}");
        for width in ["4", "1"] {
            let replayed = document(&ruminate(&["trace", "replay", "--json", "--width", width, path]));
            assert_eq!(replayed["identical"], true, "{name}: {replayed}");
        }
        assert!(ruminate(&["trace", "view", path, "-o", &format!("{path}.html")]).status.success(), "{name}");
    }
}

#[test]
fn prompts_come_from_a_folder_and_stand_in_the_trace() {
    let folder = TempDir::new().unwrap();
    let prompts = folder.path().join("prompts");
    fs::create_dir(&prompts).unwrap();
    fs::write(prompts.join("solve.txt"), "Zounds! {{ question }}").unwrap();
    let trace = folder.path().join("t.jsonl");
    let (prompts, trace) = (prompts.to_str().unwrap(), trace.to_str().unwrap());
    let args =
        ["solve", "--quiet", "--strategy", "refine", "--prompts", prompts, "--trace", trace, "--max-tokens", "20"];
    assert!(ruminate(&[&args[..], &[QUESTION]].concat()).status.success());
    assert!(fs::read_to_string(trace).unwrap().contains("Zounds! Tom"));
    fs::remove_dir_all(prompts).unwrap();
    assert_eq!(document(&ruminate(&["trace", "replay", "--json", trace]))["identical"], true);
    fs::create_dir(prompts).unwrap();
    fs::write(format!("{prompts}/solves.txt"), "x").unwrap();
    assert_fails(&ruminate(&[&args[..], &[QUESTION]].concat()), 2, "refine-revise");
}

#[test]
fn a_method_is_stopped_and_gone_on_with_in_another_process() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("search");
    let args =
        ["solve", "--json", "--strategy", "plan", "--n", "4", "--max-tokens", "400", "--threads", "1", "--seed", "3"];
    let whole = document(&ruminate(&[&args[..], &[QUESTION]].concat()));
    let with_file = [&args[..], &["--checkpoint", file.to_str().unwrap(), QUESTION]].concat();
    let mut stopped = 0;
    let solved = loop {
        let child = command().args(&with_file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(150 + 50 * stopped));
        // Nothing to stop where it was faster.
        let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            break serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
        }
        stopped += 1;
    };
    for field in ["answer", "text", "stop_reason", "candidates"] {
        assert_eq!(solved[field], whole[field], "{field}, stopped {stopped} times");
    }
}

#[test]
fn what_a_method_does_not_go_with_is_refused() {
    let plan = ["solve", "--strategy", "plan"];
    assert_fails(&ruminate(&[&plan[..], &["--algo", "mcts", QUESTION]].concat()), 2, "--algo");
    assert_fails(&ruminate(&["solve", "--strategy", "plans", QUESTION]), 2, "plan, refine");
    let collect = ["learn", "collect", "--strategy", "plan", "models/test.jsonl", "--out", "/nonexistent/x"];
    assert_fails(&ruminate(&collect), 2, "method");
}
