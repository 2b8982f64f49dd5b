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

#[test]
fn the_examples_of_an_ensemble_stand_in_the_trace() {
    let folder = TempDir::new().unwrap();
    let (shots, trace) = (folder.path().join("shots.jsonl"), folder.path().join("t.jsonl"));
    fs::write(&shots, r#####"{"question": "1+1?", "answer": "1+1=2\n#### 2"}"#####).unwrap();
    let (shots, trace) = (shots.to_str().unwrap(), trace.to_str().unwrap());
    let args = ["solve", "--json", "--strategy", "ensemble", "--n", "2", "--max-tokens", "30"];
    let alone = document(&ruminate(&[&args[..], &[QUESTION]].concat()));
    let led = [&args[..], &["--shots", shots, "--n-shots", "1", "--trace", trace, QUESTION]].concat();
    let led = document(&ruminate(&led));
    assert_eq!((&led["strategy"], &alone["strategy"]), (&"ensemble".into(), &"ensemble".into()));
    assert!(fs::read_to_string(trace).unwrap().contains("1+1=2"));
    assert_eq!(document(&ruminate(&["trace", "replay", "--json", trace]))["identical"], true);
}

#[test]
fn a_graph_comes_from_a_file_and_stands_in_the_trace() {
    let folder = TempDir::new().unwrap();
    let (graph, trace) = (folder.path().join("graph.json"), folder.path().join("t.jsonl"));
    fs::write(&graph, r#"[{"operation": "generate", "n": 2}, {"operation": "refine", "after": [0]}]"#).unwrap();
    let (graph, trace) = (graph.to_str().unwrap(), trace.to_str().unwrap());
    let args = ["solve", "--json", "--strategy", "graph-of-thoughts", "--graph", graph, "--max-tokens", "30"];
    document(&ruminate(&[&args[..], &["--trace", trace, QUESTION]].concat()));
    let replies = fs::read_to_string(trace).unwrap();
    let replies = replies.lines().filter(|line| line.contains("node_done") && !line.contains("\"end\":\"prompt\""));
    assert_eq!(replies.count(), 4);
    assert_eq!(document(&ruminate(&["trace", "replay", "--json", trace]))["identical"], true);
    assert_fails(&ruminate(&["solve", "--graph", graph, QUESTION]), 2, "graph-of-thoughts");
    fs::write(graph, "[]").unwrap();
    let refused = ruminate(&[&args[..], &[QUESTION]].concat());
    assert!(!refused.status.success() && text(&refused.stderr).contains("operations"), "{refused:?}");
}

#[test]
fn what_was_measured_chooses_and_without_it_the_usual_is_taken_and_said() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("m.gguf");
    fs::copy(crate::program::BUNDLED, &model).unwrap();
    let set = folder.path().join("set.jsonl");
    let row = |a: u32, b: u32| {
        format!(
            "{{\"question\": \"Tom has {a} boxes with {b} pens each. How many pens?\", \"answer\": \"#### {}\"}}\n",
            a * b
        )
    };
    fs::write(&set, row(3, 4) + &row(2, 5)).unwrap();
    let (model, set) = (model.to_str().unwrap(), set.to_str().unwrap());
    let solve = ["solve", "--strategy", "auto", "--model", model, "--budget-tokens", "200", "--n", "2", QUESTION];
    let usual = ruminate(&solve);
    assert!(usual.status.success(), "{usual:?}");
    let calibrate =
        ["reason", "calibrate", "--json", "--beside", "--model", model, "--n", "2", "--max-tokens", "40", set];
    assert_fails(&ruminate(&calibrate), 2, "--budget-tokens");
    let names = ["--strategies", "direct,plan", "--budget-tokens", "100,200"];
    // What would not be measured is refused.
    for (flags, says) in [
        (["--n", "4"], "one --n"),
        (["--budget-ms", "50,60"], "one --budget-ms"),
        (["--algo", "beam"], "leave --algo out"),
        (["--strategy", "cot"], "leave --strategy out"),
    ] {
        assert_fails(&ruminate(&[&calibrate[..], &names, &flags].concat()), 2, says);
    }
    // Judged as the searches that it is for.
    let judged = |judge: &'static str| [&calibrate[..], &names, &["--limit", "1", "--judge", judge]].concat();
    assert_fails(&ruminate(&judged("head=absent.gguf")), 3, "absent.gguf");
    assert_eq!(document(&ruminate(&judged("arithmetic")))["calibration"]["judge"], "arithmetic");
    let measured = document(&ruminate(&[&calibrate[..], &names].concat()));
    let measured = measured["calibration"]["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 2 * (3 + 1), "two budgets, three searches of a prompt and a method");
    for one in measured {
        let budget = one["budget_tokens"].as_f64().unwrap();
        assert!(
            one["mean_policy_tokens"].as_f64().unwrap() <= budget && one["correct"].as_u64().unwrap() <= 2,
            "{one}"
        );
    }
    let beside_each_other = document(&ruminate(&[&calibrate[..], &names, &["--parallel", "3"]].concat()));
    let same = beside_each_other["calibration"]["measured"].as_array().unwrap().iter().zip(measured).all(|(a, b)| {
        a["mean_wall_ms"].is_null()
            && a["correct"] == b["correct"]
            && a["mean_policy_tokens"] == b["mean_policy_tokens"]
    });
    assert!(same, "{beside_each_other}");
    let by_right = |one: &&serde_json::Value| one["correct"].as_u64().unwrap();
    let best = measured.iter().filter(|one| one["budget_tokens"] == 200).map(|one| by_right(&one)).max().unwrap();
    let chosen = document(&ruminate(&[&solve[..], &["--json"]].concat()));
    let chosen = measured.iter().find(|one| {
        one["budget_tokens"] == 200 && one["strategy"] == chosen["strategy"] && one["algo"] == chosen["algo"]
    });
    assert_eq!(chosen.unwrap()["correct"].as_u64().unwrap(), best);
    // A file of another model counts for nothing.
    let beside = format!("{model}.calibration.json");
    let other = fs::read_to_string(&beside).unwrap().replacen("\"model\":\"", "\"model\":\"x", 1);
    fs::write(&beside, other).unwrap();
    let again = document(&ruminate(&[&solve[..], &["--json"]].concat()));
    assert_eq!(again["algo"], "auto");
    assert_fails(&ruminate(&["eval", "--strategy", "auto", "--model", model, set]), 2, "calibrate");
}
