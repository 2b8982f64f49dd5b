//! `learn collect` and `learn head` with the built-in model: from questions, or from steps that others labelled, to a head.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{assert_fails, document, ruminate, text};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/test.jsonl");

fn collect(out: &str, rows: &str, args: &[&str]) -> Value {
    let fixed = ["learn", "collect", "--json", DATA, "--n", "8", "--width", "8", "--rows", rows, "--out", out];
    document(&ruminate(&[&fixed[..], args].concat()))
}

#[test]
fn steps_are_collected_in_parts_and_become_a_head() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let whole = collect(&path("whole"), "0..40", &[]);
    assert_eq!((&whole["finished"], &whole["questions"], &whole["samples"]), (&true.into(), &40.into(), &320.into()));
    assert_eq!(whole["taps"], serde_json::json!(["3", "final"]));
    let right = whole["right"].as_u64().unwrap();
    assert!(right > 30 && right < 290, "{right}");
    // In two goes, the second of which draws only what is not there.
    collect(&path("goes"), "0..15", &["--threads", "1"]);
    let second = collect(&path("goes"), "0..40", &[]);
    assert_eq!((&second["questions"], &second["questions_in_file"]), (&25.into(), &40.into()));
    assert!(fs::read(path("whole")).unwrap() == fs::read(path("goes")).unwrap());
    // In shards, which together hold the same questions.
    for shard in ["0/2", "1/2"] {
        let part = collect(&path(&shard.replace('/', "-")), "0..40", &["--shard", shard]);
        assert_eq!(part["questions"], 20);
    }
    let head = |files: &[&str], name: &str| {
        let files: Vec<String> = files.iter().map(|file| path(file)).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let out = path(name);
        document(&ruminate(&[&["learn", "head", "--json", "--kind", "linear", "--out", &out], &files[..]].concat()))
    };
    let mut report = head(&["whole"], "head.gguf");
    let parts = ["/train", "/valid", "/test_figures/size"].map(|at| report.pointer(at).unwrap()["questions"].as_u64());
    assert_eq!(parts.iter().flatten().sum::<u64>(), 40);
    let auroc = report["test_figures"]["all"]["auroc"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&auroc));
    let mut shards = head(&["1-2", "0-2"], "shards.gguf");
    for report in [&mut report, &mut shards] {
        report.as_object_mut().unwrap().remove("file");
    }
    assert_eq!(report["train"], shards["train"], "a question's part does not depend on its file");
    let shown = ruminate(&["inspect", &path("head.gguf")]);
    assert!(shown.status.success() && text(&shown.stdout).contains("prm"), "{shown:?}");
}

#[test]
fn what_cannot_be_learned_from_is_said_in_one_line() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, text_file) = (path("out"), path("text"));
    fs::write(
        &text_file,
        "no rows at all, but a text that is longer than the head of a file of labelled steps".repeat(9),
    )
    .unwrap();
    let collect = |args: &[&str]| ruminate(&[&["learn", "collect", "--width", "4"], args].concat());
    assert_fails(&collect(&[DATA, "--rows", "0..501", "--out", &out]), 2, "500 rows");
    assert_fails(&collect(&[DATA, "--shard", "2/2", "--out", &out]), 2, "I/N");
    assert_fails(&collect(&[DATA, "--taps", "9", "--out", &out]), 2, "0 to 4");
    assert_fails(&collect(&[DATA, "--taps", "1,1", "--out", &out]), 2, "none twice");
    assert_fails(&collect(&[DATA, "--n", "0", "--out", &out]), 2, "n is 0");
    assert_fails(&collect(&[DATA, "--out", DATA]), 2, "question set");
    assert_fails(&collect(&[&path("absent"), "--out", &out]), 3, "absent");
    assert_fails(&collect(&[DATA, "--rows", "0..1", "--out", &text_file]), 3, "no file of labelled steps");
    let head = |args: &[&str]| ruminate(&[&["learn", "head", "--out", &path("head.gguf")], args].concat());
    assert_fails(&head(&[&text_file]), 3, "no file of labelled steps");
    assert_fails(&head(&[&path("absent")]), 3, "absent");
    assert_fails(&head(&[&text_file, "--hidden", "0"]), 2, "hidden units");
    assert!(collect(&[DATA, "--rows", "0..2", "--n", "2", "--out", &out]).status.success());
    assert_fails(&collect(&[DATA, "--rows", "0..2", "--n", "3", "--out", &out]), 2, "drawn otherwise");
    assert_fails(&head(&[&out]), 2, "collect more");
    assert!(!folder.path().join("head.gguf").exists());
}

/// Sixty rows of a published format, written by hand: sums that are right in their first step and in every other second one.
fn labelled(format: &str) -> String {
    let row = |i: usize| {
        let (a, b) = (i + 2, 2 * i + 3);
        let (sum, right) = (a + b, i.is_multiple_of(2));
        let second = if right { sum } else { sum + 1 };
        let question = format!("Ann has {a} pens and gets {b} more. How many pens has she?");
        let steps = [format!("{a} + {b} = {sum}"), format!("#### {second}")];
        let row = match format {
            "math-shepherd" => {
                let text = |marks: [&str; 2]| {
                    format!("{question} Step 1: {} {}\nStep 2: {} {}", steps[0], marks[0], steps[1], marks[1])
                };
                let marks = ["+", if right { "+" } else { "-" }];
                serde_json::json!({ "input": text(["ки", "ки"]), "label": text(marks), "task": "GSM8K" })
            }
            "omega-prm" => {
                let end =
                    |text: &str, share: f64| serde_json::json!({ "text": text, "mc_value": share, "children": [] });
                let first = serde_json::json!({
                    "text": steps[0], "mc_value": 0.5, "children": [end(&steps[1], f64::from(u8::from(right))), end("#### 1", 0.0)],
                });
                let root = serde_json::json!({ "text": question, "mc_value": 0.5, "children": [first] });
                serde_json::json!({ "question": question, "final_answer": sum.to_string(), "reasoning_steps": root })
            }
            _ => {
                let step = |text: &str, rating: i64| {
                    let completion = serde_json::json!({ "text": text, "rating": rating, "flagged": false });
                    serde_json::json!({ "completions": [completion], "human_completion": null, "chosen_completion": 0 })
                };
                let last = step(&steps[1], if right { 1 } else { -1 });
                let label = serde_json::json!({ "steps": [step(&steps[0], 1), last], "finish_reason": "solution" });
                serde_json::json!({ "question": { "problem": question }, "label": label })
            }
        };
        row.to_string() + "\n"
    };
    (0..60).map(row).collect()
}

#[test]
fn steps_that_others_labelled_are_read_in_parts_and_become_a_head() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (format, rows, samples) in [("prm800k", 120, 60), ("math-shepherd", 120, 60), ("omega-prm", 180, 120)] {
        let set = path(format);
        fs::write(&set, labelled(format)).unwrap();
        let read = |out: &str, args: &[&str]| {
            document(&ruminate(&[&["learn", "collect", "--json", &set, "--out", &path(out)], args].concat()))
        };
        let whole = read(&format!("{format}.whole"), &[]);
        assert_eq!((&whole["finished"], &whole["questions"]), (&true.into(), &60.into()));
        assert_eq!((&whole["rows"], &whole["samples"]), (&rows.into(), &samples.into()), "{format}");
        assert_eq!(whole["right"], 30, "{format}: half of the solutions are right to their end");
        // In two goes, the second of which reads only what is not there; on another number of threads.
        read(&format!("{format}.goes"), &["--rows", "0..7", "--format", format, "--threads", "1"]);
        let second = read(&format!("{format}.goes"), &[]);
        assert_eq!((&second["questions"], &second["questions_in_file"]), (&53.into(), &60.into()));
        let bytes = |name: &str| fs::read(path(&format!("{format}.{name}"))).unwrap();
        assert!(bytes("whole") == bytes("goes"), "{format}");
        assert_eq!(read(&format!("{format}.part"), &["--shard", "1/3"])["questions"], 20);
        let head = path(&format!("{format}.gguf"));
        let rows = path(&format!("{format}.whole"));
        let report = document(&ruminate(&["learn", "head", "--json", "--kind", "linear", "--out", &head, &rows]));
        assert_eq!(report["test_figures"]["all"]["n"].as_u64().unwrap() % 2, 0);
        let shown = ruminate(&["inspect", &head]);
        let shown = text(&shown.stdout);
        assert!(shown.contains("prm.train.label") && shown.contains("step"), "{shown}");
    }
    // A file of one set is not gone on with from another, and what is broken is named.
    let set = path("prm800k");
    let collect = |args: &[&str]| ruminate(&[&["learn", "collect", "--out"], args].concat());
    assert_fails(&collect(&[&path("omega-prm.whole"), &set]), 2, "drawn otherwise");
    assert_fails(&collect(&[&path("new"), &set, "--pairs", &path("pairs")]), 2, "labels of its own");
    assert_fails(&collect(&[&path("new"), &set, "--labels", "first-error"]), 2, "labels of its own");
    assert_fails(&collect(&[&path("new"), &set, "--rows", "0..61"]), 2, "60 rows");
    assert_fails(&collect(&[&path("new"), &set, "--format", "omega-prm"]), 3, "row 0");
    fs::write(path("broken"), labelled("prm800k").replacen("\"rating\":1", "\"rating\":5", 9)).unwrap();
    assert_fails(&collect(&[&path("newer"), &path("broken")]), 3, "a rating of 5");
}

#[test]
fn first_errors_and_tree_values_are_labelled_in_parts() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for labels in ["first-error", "tree-value", "monte-carlo"] {
        let flags = ["--labels", labels, "--rollouts", "2", "--searches", "2"];
        let whole = collect(&path(&format!("{labels}.whole")), "0..8", &flags);
        assert_eq!((&whole["finished"], &whole["questions"]), (&true.into(), &8.into()));
        assert!(whole["rows"].as_u64() > Some(30), "{labels}: {whole}");
        collect(&path(&format!("{labels}.goes")), "0..3", &flags);
        collect(&path(&format!("{labels}.goes")), "0..8", &flags);
        let bytes = |name: &str| fs::read(path(&format!("{labels}.{name}"))).unwrap();
        assert!(bytes("whole") == bytes("goes"), "{labels}");
    }
    let other = ["learn", "collect", DATA, "--n", "8", "--rows", "0..9", "--width", "8", "--out"];
    assert_fails(&ruminate(&[&other[..], &[&path("first-error.whole")]].concat()), 2, "drawn otherwise");
    assert_fails(
        &ruminate(&[&other[..], &[&path("new"), "--labels", "first-error", "--rollouts", "0"]].concat()),
        2,
        "rollouts",
    );
}

#[test]
fn pairs_are_ordered_by_a_judge_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for judge in ["entropy", "arithmetic"] {
        let (rows, pairs) = (path(&format!("{judge}.rows")), path(&format!("{judge}.jsonl")));
        let flags = ["--pairs", &pairs, "--pairs-gap", "0.01", "--judge", judge];
        let first = collect(&rows, "0..4", &flags);
        let second = collect(&rows, "0..12", &flags);
        let n = first["pairs"].as_u64().unwrap() + second["pairs"].as_u64().unwrap();
        let written = fs::read_to_string(&pairs).unwrap();
        assert!(n > 3 && written.lines().count() as u64 == n, "{judge}: {n}");
        for line in written.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["source"]["judge"], *judge);
            assert!(row["chosen"] != row["rejected"]);
        }
        // By the known answers it would be another file.
        let other = ["learn", "collect", DATA, "--n", "8", "--width", "8", "--rows", "0..13", "--out", &rows];
        assert_fails(&ruminate(&[&other[..], &["--pairs", &pairs]].concat()), 3, "something else");
    }
    let other = ["learn", "collect", DATA, "--rows", "0..1", "--out", &path("new")];
    assert_fails(&ruminate(&[&other[..], &["--judge", "logprob"]].concat()), 2, "--pairs");
}

#[test]
fn solutions_are_written_with_the_labels_of_their_steps() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let labels = ["--labels", "monte-carlo", "--rollouts", "4"];
    let run = |out: &str, rows: &str, file: &str| {
        let args = ["--trajectories", file, "--pairs", &path(&format!("{out}.pairs"))];
        collect(&path(out), rows, &[&labels[..], &args].concat())
    };
    let whole = path("whole.jsonl");
    run("whole", "0..6", &whole);
    let lines: Vec<Value> =
        fs::read_to_string(&whole).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 6 * 8, "the rollouts are solutions too: {}", lines.len());
    let questions: Vec<Value> =
        fs::read_to_string(DATA).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let row = line["source"]["question"].as_u64().unwrap() as usize;
        assert_eq!(line["question"], questions[row]["question"]);
        let steps = line["steps"].as_array().unwrap();
        let text: String = steps.iter().map(|step| step["text"].as_str().unwrap()).collect();
        let gold = questions[row]["answer"].as_str().unwrap().split("#### ").nth(1).unwrap();
        let said = text.split("#### ").nth(1).map(str::trim);
        assert_eq!(line["right"], line["complete"] == true && said == Some(gold), "{line}");
        if line["shared"] == 0 && line["complete"] == true {
            // What a solution came to is the label of its last step; those before have a share of four rollouts.
            let (last, before) = steps.split_last().unwrap();
            assert_eq!(last["value"] == 1.0, line["right"] == true);
            let quarters = before.iter().map(|step| step["value"].as_f64().unwrap() * 4.0);
            assert!(quarters.into_iter().all(|share| (share - share.round()).abs() < 1e-3), "{line}");
        }
    }
    // In two goes, with a line that a killed run did not write to its end.
    let goes = path("goes.jsonl");
    run("goes", "0..2", &goes);
    fs::write(&goes, fs::read_to_string(&goes).unwrap() + r#"{"question":"Ann"#).unwrap();
    run("goes", "0..6", &goes);
    assert_eq!(fs::read_to_string(&whole).unwrap(), fs::read_to_string(&goes).unwrap());
    let other = ["learn", "collect", DATA, "--width", "8", "--rows", "0..1", "--out", &path("other")];
    let pairs = fs::read(path("whole.pairs")).unwrap();
    assert_fails(&ruminate(&[&other[..], &["--trajectories", &path("whole.pairs")]].concat()), 3, "something else");
    assert!(!pairs.is_empty() && fs::read(path("whole.pairs")).unwrap() == pairs, "what is refused is left as it was");
    // Of another shard, of other samples: the lines that are there stay.
    let lines = fs::read(&whole).unwrap();
    for (flags, says) in [
        (["--seed", "0", "--rows", "10..12"], "lines of another run"),
        (["--seed", "9", "--rows", "0..6"], "something else"),
    ] {
        let out = path(flags[3]);
        let fixed = ["learn", "collect", DATA, "--width", "8", "--n", "8", "--out", &out, "--trajectories", &whole];
        assert_fails(&ruminate(&[&fixed[..], &labels, &flags].concat()), 3, says);
        assert!(fs::read(&whole).unwrap() == lines);
    }
    // What a killed run wrote of one question comes again.
    let last = String::from_utf8(lines).unwrap().replace("\"question\":5}", "\"question\":7}");
    fs::write(&whole, &last).unwrap();
    run("whole", "0..6", &whole);
    assert!(fs::read_to_string(&whole).unwrap().lines().all(|line| !line.contains("\"question\":7}")));
    assert_fails(&ruminate(&[&other[..], &["--trajectories", &path("other")]].concat()), 2, "twice");
    assert_fails(&ruminate(&[&other[..], &["--trajectories", DATA]].concat()), 3, "something else");
}
