//! `solve --trace` and `trace view|replay|export` with the built-in model.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{BUNDLED, assert_fails, command, document, ruminate, text};

const QUESTION: &str = "Tom has 3 boxes with 4 pens each. He gives away 5 pens. How many pens are left?";

/// A recorded search of five samples: its trace, and the document that `solve` printed.
fn record(folder: &TempDir, extra: &[&str]) -> (String, Value) {
    let path = folder.path().join("run.jsonl").to_str().unwrap().to_owned();
    let args =
        ["solve", "--json", "--n", "5", "--early-stop", "never", "--width", "4", "--seed", "7", "--trace", &path];
    let solved = document(&ruminate(&[&args[..], extra, &[QUESTION]].concat()));
    (path, solved)
}

fn records(path: &str) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rewrite(path: &str, records: &[Value]) {
    fs::write(path, records.iter().map(|record| format!("{record}\n")).collect::<String>()).unwrap();
}

#[test]
fn a_trace_holds_what_solve_printed_and_is_replayed_under_any_schedule() {
    let folder = TempDir::new().unwrap();
    let (path, solved) = record(&folder, &["--budget-tokens", "2000"]);
    let records = records(&path);
    assert_eq!((&records[0]["event"], &records[0]["question"]), (&"header".into(), &QUESTION.into()));
    assert_eq!(records[0]["model"]["fingerprint"], solved["model"]["fingerprint"]);
    let outcome = records.last().unwrap();
    for field in ["answer", "text", "score", "stop_reason", "candidates"] {
        assert_eq!(outcome[field], solved[field], "{field}");
    }
    let done: Vec<&Value> = records.iter().filter(|record| record["event"] == "node_done").collect();
    let tokens: usize = done.iter().map(|record| record["tokens"].as_array().unwrap().len()).sum();
    assert_eq!((done.len(), tokens), (5, solved["usage"]["policy_tokens"].as_u64().unwrap() as usize));
    assert!(records.iter().all(|record| record["event"] != "node_text"));
    for extra in [&[][..], &["--threads", "1"], &["--width", "1"], &["--width", "16"], &["--model", BUNDLED]] {
        let replayed = ruminate(&[&["trace", "replay", &path][..], extra].concat());
        assert_eq!(text(&replayed.stdout), format!("identical: 5 nodes, {tokens} tokens\n"), "{extra:?} {replayed:?}");
        assert!(replayed.status.success());
    }
    let verdict = document(&ruminate(&["trace", "replay", "--json", &path]));
    assert_eq!((&verdict["identical"], &verdict["tokens"]), (&true.into(), &tokens.into()));
}

#[test]
fn a_tree_with_a_judge_is_replayed_with_the_recorded_judge() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tree.jsonl");
    let path = path.to_str().unwrap();
    let args =
        ["solve", "--json", "--algo", "beam", "--n", "6", "--judge", "arithmetic", "--width", "4", "--trace", path];
    let solved = document(&ruminate(&[&args[..], &[QUESTION]].concat()));
    let records = records(path);
    assert_eq!((&records[0]["judge"]["name"], &records[0]["params"]["algo"]), (&"arithmetic".into(), &"beam".into()));
    let of = |event: &str| records.iter().filter(|record| record["event"] == event).cloned().collect::<Vec<_>>();
    let done = of("node_done");
    assert!(done.iter().any(|node| node["parent"].as_u64().unwrap() > 0 && node["score"].is_f64()), "{done:?}");
    assert!(!of("node_closed").is_empty());
    for extra in [&[][..], &["--threads", "1"], &["--width", "1"]] {
        let verdict = document(&ruminate(&[&["trace", "replay", "--json", path][..], extra].concat()));
        assert_eq!(
            (&verdict["identical"], &verdict["nodes"]),
            (&true.into(), &done.len().into()),
            "{extra:?} {verdict}"
        );
    }
    assert_eq!(records.last().unwrap()["usage"]["policy_tokens"], solved["usage"]["policy_tokens"]);
    let mut other = records.clone();
    other[0]["judge"]["name"] = "logprob".into();
    rewrite(path, &other);
    assert_fails(&ruminate(&["trace", "replay", path]), 1, "recorded");
}

#[test]
fn a_replay_fails_on_one_changed_token_and_on_another_model() {
    let folder = TempDir::new().unwrap();
    let (path, _) = record(&folder, &[]);
    let mut records = records(&path);
    let done = records.iter_mut().filter(|record| record["event"] == "node_done").nth(2).unwrap();
    let (node, old) = (done["node"].clone(), done["tokens"][4].clone());
    done["tokens"][4] = (old.as_u64().unwrap() + 1).into();
    rewrite(&path, &records);
    let says = format!("node {node}, token 5: {} recorded, {old} replayed", old.as_u64().unwrap() + 1);
    assert_fails(&ruminate(&["trace", "replay", &path]), 1, &says);
    let output = ruminate(&["trace", "replay", "--json", &path]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &verdict["difference"]["node"]), (Some(1), &node));
    records[0]["model"]["fingerprint"] = "0".repeat(32).into();
    rewrite(&path, &records);
    assert_fails(&ruminate(&["trace", "replay", &path]), 3, "fingerprint");
}

#[test]
fn a_trace_that_cannot_be_written_costs_the_trace_alone() {
    let folder = TempDir::new().unwrap();
    let absent = folder.path().join("absent").join("run.jsonl");
    assert_fails(&ruminate(&["solve", "--trace", absent.to_str().unwrap(), QUESTION]), 3, "absent");
    assert_fails(&ruminate(&["solve", "--trace-text", QUESTION]), 2, "--trace");
    if Path::new("/dev/full").exists() {
        let args = ["solve", "--n", "5", "--early-stop", "never", "--seed", "7", "--quiet"];
        let without = ruminate(&[&args[..], &[QUESTION]].concat());
        let full = ruminate(&[&args[..], &["--trace", "/dev/full", QUESTION]].concat());
        assert_eq!((full.status.code(), text(&full.stdout)), (Some(3), text(&without.stdout)));
        assert!(text(&full.stderr).starts_with("error: /dev/full: writing the trace"), "{full:?}");
    }
}

#[test]
fn the_trace_of_a_killed_search_is_read_and_replayed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.jsonl");
    let path = path.to_str().unwrap();
    let args =
        ["solve", "--n", "1024", "--early-stop", "never", "--width", "4", "--trace-text", "--trace", path, QUESTION];
    let mut child = command().args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while fs::read_to_string(path).unwrap_or_default().matches("node_done").count() < 3 {
        assert!(
            start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
            "nothing was written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let verdict = document(&ruminate(&["trace", "replay", "--json", path]));
    assert!(verdict["identical"] == true && verdict["nodes"].as_u64().unwrap() >= 3, "{verdict}");
    let drawn = document(&ruminate(&["trace", "view", "--json", path]));
    assert!(drawn["nodes"][0].as_u64().unwrap() >= 3);
}

#[test]
fn the_page_stands_beside_the_trace_and_needs_nothing_else() {
    let folder = TempDir::new().unwrap();
    let (path, _) = record(&folder, &[]);
    let mut records = records(&path);
    let evil = "</script><script>alert(1)</script>";
    records[0]["question"] = evil.into();
    records.iter_mut().filter(|record| record["event"] == "node_done").for_each(|record| record["text"] = evil.into());
    rewrite(&path, &records);
    let page = folder.path().join("run.html");
    let output = ruminate(&["trace", "view", &path]);
    assert_eq!(text(&output.stdout).trim_end(), page.to_str().unwrap());
    let html = fs::read_to_string(&page).unwrap();
    assert_eq!((html.matches("<script").count(), html.matches("</script").count()), (2, 2));
    assert!(html.contains("default-src 'none'") && !html.contains("://"));
    let both = ruminate(&["trace", "view", &path, &path, "--output", "-"]);
    assert!(both.status.success() && text(&both.stdout).matches("\"broke_off\"").count() == 2);
    // A file that is no page is never written over by a trace that cannot be read.
    fs::write(&path, "no trace").unwrap();
    assert_fails(&ruminate(&["trace", "view", &path]), 3, "run.jsonl");
    assert_eq!(fs::read_to_string(&page).unwrap(), html);
}

#[test]
fn spans_go_to_a_file_or_into_a_pipe() {
    let folder = TempDir::new().unwrap();
    let (path, _) = record(&folder, &[]);
    let spans = document(&ruminate(&["trace", "export", "--format", "openinference", &path]));
    let spans = spans["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 6);
    let file = folder.path().join("spans.jsonl");
    let file = file.to_str().unwrap();
    let written = document(&ruminate(&["trace", "export", "--json", "--output", file, &path]));
    assert_eq!((&written["spans"], &written["file"]), (&6.into(), &file.into()));
    assert_eq!(records(file)[0]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap(), spans);
    assert_fails(&ruminate(&["trace", "export", "--format", "morse", &path]), 2, "openinference");
    assert_fails(&ruminate(&["trace", "export", "absent"]), 3, "absent");
}

#[test]
fn what_is_no_trace_is_said_in_one_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad.jsonl");
    for (bytes, says) in [
        (&b"\x00\xff\xfe"[..], "no trace"),
        (b"", "empty"),
        (b"{\"event\":\"header\",\"format\":99}", "format 99"),
        (b"{\"event\":\"\x1b[2J\"}", "no trace"),
        (b"{\"event\":\"\\u001b[2J\"}", "no trace"),
    ] {
        fs::write(&path, bytes).unwrap();
        for action in ["view", "replay", "export"] {
            assert_fails(&ruminate(&["trace", action, path.to_str().unwrap()]), 3, says);
        }
    }
}
