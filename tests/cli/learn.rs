//! `learn` with the built-in model: from questions to a head.

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
