//! `eval` and `bench search` with the built-in model.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{assert_fails, command, document, ruminate, ruminate_with, text};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/test.jsonl");
const PAIR: [&str; 8] = ["--algo", "greedy,best-of-n", "--n", "4", "--early-stop", "never", "--width", "4"];

fn eval(args: &[&str]) -> Value {
    document(&ruminate(&[&["eval", "--json", DATA], args].concat()))
}

/// A result file's lines without what differs from run to run.
fn records(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap();
    let mut records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for record in &mut records {
        for field in ["wall_ms", "joules"] {
            record.as_object_mut().unwrap().remove(field);
        }
    }
    records
}

#[test]
fn every_setting_is_measured_on_the_same_rows_as_solve_would_answer_them() {
    let document = eval(&[&PAIR[..], &["--rows", "3..9", "--seed", "5"]].concat());
    assert_eq!((&document["finished"], &document["n"]), (&true.into(), &6.into()));
    let configs = document["configs"].as_array().unwrap();
    let names: Vec<&str> = configs.iter().map(|c| c["config"].as_str().unwrap()).collect();
    assert_eq!(names, ["greedy", "best-of-n n=4"]);
    for config in configs {
        let rows = config["by_row"].as_array().unwrap();
        assert_eq!(rows.iter().map(|r| r["row"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        let correct = rows.iter().filter(|r| r["correct"] == true).count() as f64;
        assert_eq!(config["correct"].as_f64().unwrap(), correct);
        assert!((config["accuracy"].as_f64().unwrap() - correct / 6.0).abs() < 1e-12);
        let (low, high) = (config["ci95"][0].as_f64().unwrap(), config["ci95"][1].as_f64().unwrap());
        assert!(low <= correct / 6.0 && correct / 6.0 <= high && high - low > 0.3);
        assert!(config["mean_policy_tokens"].as_f64().unwrap() > 0.0 && config["mean_wall_ms"].as_f64().unwrap() > 0.0);
        assert!(config["mean_joules"].as_f64().unwrap() >= 0.0 && config["joules_source"].is_string());
    }
    assert_eq!((&configs[0]["versus_first"], &configs[1]["versus_first"]["pairs"]), (&Value::Null, &6.into()));
    let sizes: Vec<_> = configs[1]["subsets"].as_array().unwrap().iter().map(|s| s["k"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [1, 2, 4]);
    // The same as a search of its own: question, prompt, seed and all.
    let row: Value = serde_json::from_str(fs::read_to_string(DATA).unwrap().lines().nth(7).unwrap()).unwrap();
    let question = row["question"].as_str().unwrap();
    let solved = ruminate(&["solve", "--json", "--algo", "greedy", "--seed", "5", question]);
    let solved = crate::program::document(&solved);
    let greedy = &configs[0]["by_row"][4];
    assert_eq!((&greedy["answer"], &greedy["policy_tokens"]), (&solved["answer"], &solved["usage"]["policy_tokens"]));
    let gold = row["answer"].as_str().unwrap().rsplit("#### ").next().unwrap().trim().to_owned();
    assert_eq!(greedy["correct"], solved["answer"].as_str() == Some(&gold));
    assert_eq!(greedy["gold"], gold);
}

#[test]
fn searches_side_by_side_are_the_searches_one_after_the_other() {
    let folder = TempDir::new().unwrap();
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let flags = [&PAIR[..], &["--rows", "0..12", "--out", out.to_str().unwrap()], more].concat();
        let document = eval(&flags);
        assert_eq!(document["finished"], true);
        let kept =
            |r: &Value| (r["row"].as_u64(), r["correct"].clone(), r["answer"].clone(), r["policy_tokens"].clone());
        let by_row = document["configs"].as_array().unwrap().iter().flat_map(|c| c["by_row"].as_array().unwrap());
        let mut records = records(&out);
        records.remove(0);
        records.iter_mut().for_each(|record| {
            // The KV of all searches is one account.
            for field in ["kv_peak_bytes", "peak_bytes", "forward_passes"] {
                record.as_object_mut().unwrap().remove(field);
            }
        });
        records.sort_by_key(|r| (r["row"].as_u64(), r["config"].as_str().map(str::to_owned)));
        (by_row.map(kept).collect::<Vec<_>>(), records)
    };
    assert_eq!(run("five", &["--parallel", "5"]), run("one", &[]));
    assert_fails(
        &ruminate(&["eval", DATA, "--parallel", "2", "--budget-ms", "50"]),
        2,
        "--parallel goes with budgets in tokens",
    );
}

#[test]
fn a_run_goes_on_where_the_last_one_stopped() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |out: &Path, rows: &str, more: &[&str]| {
        let flags = [&PAIR[..], &["--rows", rows, "--out", out.to_str().unwrap()], more].concat();
        ruminate(&[&["eval", "--json", DATA], &flags[..]].concat())
    };
    let (whole, parts) = (path("whole.jsonl"), path("parts.jsonl"));
    let at_once = document(&run(&whole, "0..4", &[]));
    document(&run(&parts, "0..2", &[]));
    // A run that was killed while it wrote a line.
    let bytes = fs::read(&parts).unwrap();
    fs::write(&parts, &bytes[..bytes.len() - 9]).unwrap();
    let resumed = document(&run(&parts, "0..4", &[]));
    assert_eq!(records(&parts), records(&whole));
    assert_eq!((&resumed["correct"], &resumed["n"]), (&at_once["correct"], &at_once["n"]));
    // Nothing is left to do; fewer rows can be asked for.
    let before = fs::read(&whole).unwrap();
    assert_eq!(document(&run(&whole, "1..3", &[]))["n"], 2);
    assert_eq!(fs::read(&whole).unwrap(), before);
    // Further settings and runs join; what changes the results of all does not.
    assert_eq!(
        document(&run(&whole, "0..2", &["--n", "2,4", "--repeat", "2"]))["configs"].as_array().unwrap().len(),
        3
    );
    assert!(records(&whole).len() > 1 + 8);
    assert_fails(&run(&whole, "0..4", &["--temp", "0.9"]), 3, "temp \"0.8\", not \"0.9\"");
    assert_fails(&run(&whole, "0..4", &["--strategy", "cot"]), 3, "prompt");
    assert_fails(&run(&whole, "0..4", &["--ctx", "256"]), 3, "n_ctx");
    assert_fails(&run(Path::new(DATA), "0..4", &[]), 3, "no result file");
    assert_eq!(fs::read_to_string(DATA).unwrap().lines().count(), 500);
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_what_is_done_and_shows_it() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.jsonl");
    let args = ["eval", DATA, "--n", "16", "--early-stop", "never", "--out", out.to_str().unwrap()];
    let mut child = command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = || fs::read_to_string(&out).unwrap_or_default().lines().count();
    while lines() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let done = lines() - 1;
    let table = text(&output.stdout);
    let row = table.lines().find(|line| line.starts_with("best-of-n n=16")).unwrap();
    assert_eq!(row["best-of-n n=16".len()..].split_whitespace().next().unwrap(), done.to_string(), "{table}");
    assert!((2..500).contains(&done));
}

#[test]
fn formats_and_files_that_are_none_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let math = file("math", r#"{"problem": "Ann has 3 apples and buys 4 more. How many?", "solution": "\\boxed{7}"}"#);
    let puzzles = file("24.csv", "Rank,Puzzles,AMT (s)\r\n1,1 1 4 6,4.4\r\n2,1 1 11 11,4.41\r\n");
    let countdown = file("countdown", r#"{"nums": [3, 4, 5], "target": 17}"#);
    for (path, format, n) in [(&math, "math", 1), (&puzzles, "game24", 2), (&countdown, "countdown", 1)] {
        let document = document(&ruminate(&["eval", "--json", "--data", path, "--algo", "greedy"]));
        assert_eq!((&document["data"]["format"], &document["n"]), (&format.into(), &n.into()));
    }
    assert_eq!(
        document(&ruminate(&["eval", "--json", &puzzles, "--offset", "1", "--limit", "9", "--algo", "greedy"]))["n"],
        1
    );
    let stdin = fs::read_to_string(&math).unwrap();
    assert_eq!(document(&ruminate_with(&["eval", "--json", "-", "--algo", "greedy"], &stdin))["n"], 1);

    let bad = file("bad", "{\"question\": \"2+2?\", \"answer\": \"#### 4\"}\n{\"question\": 1}\n");
    let bytes = folder.path().join("bytes");
    fs::write(&bytes, [0x7b, 0xff, 0xfe]).unwrap();
    let cases: [(&[&str], i32, &str); 14] = [
        (&["absent"], 3, "absent"),
        (&[&bad], 3, "line 2"),
        (&[bytes.to_str().unwrap()], 3, "UTF-8"),
        (&[&file("empty", "")], 3, "empty"),
        (&[&file("words", "tea leaves")], 3, "none of"),
        (&[&math, "--format", "gsm8k"], 3, "line 1"),
        (&[&math, "--format", "tea"], 2, "tea"),
        (&[&math, "--rows", "0..2"], 2, "set of 1 rows"),
        (&[&math, "--rows", "3"], 2, "A..B"),
        (&[&math, "--offset", "1"], 2, "set of 1 rows"),
        (&[&math, "--repeat", "0"], 2, "--repeat"),
        (&[&math, "--report", &math], 2, "--report"),
        (&[&math, "--out", "results", "--report", "results"], 2, "--report"),
        (&[], 2, "FILE"),
    ];
    for (args, code, says) in cases {
        assert_fails(&ruminate(&[&["eval"], args].concat()), code, says);
    }
    assert_fails(&ruminate(&["eval", &math, "--n", "0"]), 2, "n is 0");
}

#[test]
fn a_question_that_is_too_long_is_wrong_and_the_others_are_asked() {
    let long = "pens and apples ".repeat(2000);
    let row = |question: &str| serde_json::json!({ "question": question, "answer": "#### 7" }).to_string();
    let data = format!("{}\n{}\n", row(&long), row("Ann has 3 apples and buys 4 more. How many apples does she have?"));
    let document = document(&ruminate_with(&["eval", "--json", "-", "--algo", "greedy"], &data));
    assert_eq!(document["n"], 2);
    assert!(document["by_row"][0]["error"].as_str().unwrap().contains("context"));
    assert_eq!((&document["by_row"][0]["correct"], &document["by_row"][1]["error"]), (&false.into(), &Value::Null));
}

#[test]
fn the_report_is_one_page_without_a_network() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("report.html");
    let flags = ["--rows", "0..2", "--algo", "greedy", "--budget-tokens", "20,200", "--report", page.to_str().unwrap()];
    let output = ruminate(&[&["eval", DATA], &flags[..]].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let table = text(&output.stdout);
    assert!(table.starts_with("setting") && table.lines().count() == 3 && !table.contains('\x1b'), "{table}");
    let page = fs::read_to_string(page).unwrap();
    assert_eq!((page.matches("<svg").count(), page.matches("<circle").count()), (2, 4));
    assert_eq!(page.matches("data-result=").count(), 4);
    for outside in ["http:", "https:", "src=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn examples_come_before_the_question() {
    let question = "Ann has 3 apples and buys 4 more. How many apples does she have?";
    let solve = |flags: &[&str]| ruminate(&[&["solve", "--json", "--algo", "greedy", question], flags].concat());
    let alone = document(&solve(&[]));
    let led = document(&solve(&["--shots", DATA, "--n-shots", "1"]));
    assert_eq!((&alone["strategy"], &led["strategy"]), (&"direct".into(), &"few-shot".into()));
    let prompt = |document: &Value| document["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(prompt(&led) > prompt(&alone) + 30, "{led}");
    let remembered = document(&solve(&["--strategy", "memory", "--shots", DATA, "--n-shots", "2"]));
    assert!(remembered["strategy"] == "memory" && prompt(&remembered) > prompt(&alone) + 60, "{remembered}");
    assert_fails(&solve(&["--strategy", "few-shot"]), 2, "--shots");
    assert_fails(&solve(&["--strategy", "cot", "--shots", DATA]), 2, "--shots");
    assert_fails(&solve(&["--n-shots", "3"]), 2, "--shots");
    assert_fails(&solve(&["--shots", "absent"]), 3, "absent");
    assert_fails(&solve(&["--shots", DATA, "--n-shots", "501"]), 3, "500 worked answers");
}

#[test]
fn one_search_takes_one_setting() {
    assert_fails(&ruminate(&["solve", "x", "--algo", "greedy,best-of-n"]), 2, "eval");
    assert_fails(&ruminate(&["solve", "x", "--budget-tokens", "5,6"]), 2, "eval");
}

#[test]
fn bench_search_measures_every_setting_on_equal_work() {
    let flags = ["--n", "3,6", "--max-tokens", "20", "--runs", "2", "--endless", "--width", "8"];
    let settings = document(&ruminate(&[&["bench", "search", "--json"], &flags[..]].concat()));
    let settings = settings.as_array().unwrap();
    assert_eq!(settings.len(), 2);
    for (setting, n) in settings.iter().zip([3.0, 6.0]) {
        assert_eq!(setting["policy_tokens"], 20.0 * n, "{setting}");
        assert_eq!(setting["wall_ms_by_run"].as_array().unwrap().len(), 2);
        let shares = ["share_prefill", "share_decode", "share_rest"].map(|name| setting[name].as_f64().unwrap());
        assert!(shares.iter().all(|share| *share > 0.0 && *share < 1.0), "{setting}");
        let judging = setting["share_judging"].as_f64().unwrap();
        assert!(judging > 0.0 && judging < 0.5, "the built-in head and the sum checker judge: {setting}");
        assert!(setting["tok_s"].as_f64().unwrap() > 0.0 && setting["forward_passes"].as_f64().unwrap() >= 20.0);
    }
    let settings = document(&ruminate(&[&["bench", "search", "--json", "--judge", "none"], &flags[..]].concat()));
    assert!(settings.as_array().unwrap().iter().all(|setting| setting["share_judging"] == 0.0));
    let plain = ruminate(&["bench", "search", "--data", DATA, "--limit", "2", "--runs", "1", "--algo", "greedy"]);
    assert!(plain.status.success() && text(&plain.stdout).lines().count() == 2, "{plain:?}");
    assert_fails(&ruminate(&["bench", "search", "--runs", "0"]), 2, "--runs");
}

#[test]
fn puzzles_are_judged_by_their_own_rules() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("24.csv");
    fs::write(&path, "Rank,Puzzles\n1,4 9 10 13\n2,1 1 4 6\n").unwrap();
    let file = path.to_str().unwrap();
    let flags = ["--n", "3", "--early-stop", "never", "--vote", "best", "--max-tokens", "24"];
    let out = folder.path().join("out.jsonl");
    let run = [&["eval", "--json", file, "--judge", "puzzle", "--out", out.to_str().unwrap()], &flags[..]].concat();
    assert_eq!(document(&ruminate(&run))["n"], 2);
    let samples: Vec<Value> =
        records(&out)[1..].iter().flat_map(|record| record["samples"].as_array().unwrap().clone()).collect();
    assert_eq!(samples.len(), 6);
    // The built-in model knows sums and not this puzzle: none is right, those that came to an end are worth nothing.
    for sample in samples {
        let expected = if sample["complete"] == true { 0.0 } else { 0.5 };
        assert_eq!((&sample["correct"], sample["score"].as_f64()), (&false.into(), Some(expected)), "{sample}");
    }
    assert_fails(
        &ruminate(&[&["eval", DATA, "--judge", "puzzle"], &flags[..]].concat()),
        2,
        "goes with sets of puzzles",
    );
    assert_fails(&ruminate(&["solve", "--judge", "puzzle", "x"]), 2, "puzzle=4-9-10-13:24");
    assert_fails(&ruminate(&["solve", "--judge", "puzzle=4-9", "x"]), 2, "what they make");
    let solved = document(&ruminate(&["solve", "--json", "--judge", "puzzle=2-3:6", "--n", "2", "What is 2 times 3?"]));
    assert!(solved["answer"].is_string());
}
