//! A model file that is cut or rewritten by others while it is in use: never a wrong answer, in either load mode.
//!
//! Each case runs in a child process, because one of the documented outcomes is the end of the process.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use ruminate::gguf::{Gguf, GgufWriter};
use ruminate::quant::QuantType;
use ruminate::storage::LoadMode;
use ruminate::{ErrorKind, Limits};

/// What the child is to do: a load mode and the name of a change.
const ORDER: &str = "TRUNCATED_WHILE_MAPPED";
const SIGBUS: i32 = if cfg!(target_os = "linux") { 7 } else { 10 };
/// Some whole pages and a part of one, for pages of up to 64 KiB.
const DATA: usize = 5 * (64 << 10) + 1_000;

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The answer of the unchanged file.
    Answer,
    /// The change was reported and the answer thrown away.
    Changed,
    /// The kernel ended the process.
    Killed,
}
use Outcome::{Answer, Changed, Killed};

fn cut_to_nothing(path: &Path) {
    cut(path, 0);
}

fn cut_whole_pages(path: &Path) {
    cut(path, 2 * (64 << 10));
}

fn cut_inside_the_last_page(path: &Path) {
    cut(path, std::fs::metadata(path).unwrap().len() - 64);
}

fn cut(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn rewrite_in_place(path: &Path) {
    let len = std::fs::metadata(path).unwrap().len();
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[9; 64], len - 64).unwrap();
}

fn append(path: &Path) {
    let len = std::fs::metadata(path).unwrap().len();
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[9; 64], len).unwrap();
}

fn replace_by_rename(path: &Path) {
    let other = path.with_extension("other");
    std::fs::write(&other, vec![9; 100_000]).unwrap();
    std::fs::rename(&other, path).unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

type Change = fn(&Path);

/// Changes and what each mode does, as `LoadMode` documents.
const CASES: [(&str, Change, Outcome, Outcome); 7] = [
    ("cut_to_nothing", cut_to_nothing, Answer, Killed),
    ("cut_whole_pages", cut_whole_pages, Answer, Killed),
    ("cut_inside_the_last_page", cut_inside_the_last_page, Answer, Changed),
    ("rewrite_in_place", rewrite_in_place, Answer, Changed),
    ("append", append, Answer, Changed),
    ("replace_by_rename", replace_by_rename, Answer, Answer),
    ("remove", remove, Answer, Answer),
];

#[test]
fn each_mode_behaves_as_documented() {
    let mut wrong = Vec::new();
    for (name, _, read, mmap) in CASES {
        for (mode, expected) in [("read", read), ("mmap", mmap)] {
            let outcome = run(mode, name);
            if outcome.as_ref() != Ok(&expected) {
                wrong.push(format!("{mode}, {name}: {outcome:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_check_before_touching_reports_even_a_file_cut_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (g, path) = open(dir.path(), LoadMode::Mmap);
    g.check_unchanged().unwrap();
    cut_to_nothing(&path);
    let e = g.check_unchanged().unwrap_err();
    assert!(e.kind() == ErrorKind::FileChanged && e.to_string().contains("to 0 bytes"), "{e}");
}

/// Runs the child below and tells its outcome; `Err` is anything that is not documented.
fn run(mode: &str, change: &str) -> Result<Outcome, String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ORDER, format!("{mode} {change}"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    let says = |word: &str| printed.lines().any(|line| line.ends_with(word));
    match (child.status.success(), child.status.signal()) {
        (true, _) if says("OUTCOME answer") => Ok(Answer),
        (true, _) if says("OUTCOME changed") => Ok(Changed),
        (false, Some(SIGBUS)) if !printed.contains("OUTCOME") => Ok(Killed),
        _ => Err(format!("{} {printed} {}", child.status, String::from_utf8_lossy(&child.stderr))),
    }
}

#[test]
#[ignore = "the child process of the tests above"]
fn child() {
    let Ok(order) = std::env::var(ORDER) else {
        return; // run by hand, without a parent that gives an order
    };
    let (mode, name) = order.split_once(' ').unwrap();
    let mode = if mode == "mmap" { LoadMode::Mmap } else { LoadMode::Read };
    let (_, change, ..) = CASES.into_iter().find(|case| case.0 == name).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (g, path) = open(dir.path(), mode);
    change(&path);
    // As the engine does it: compute, check, and only then use the result.
    let answer = compute(&g);
    match g.check_unchanged() {
        Ok(()) => {
            assert_eq!(answer, compute_expected());
            println!("\nOUTCOME answer");
        }
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::FileChanged);
            assert!(name == "append" || answer != compute_expected(), "the check was needed");
            println!("\nOUTCOME changed");
        }
    }
}

fn open(folder: &Path, mode: LoadMode) -> (Gguf, std::path::PathBuf) {
    let path = folder.join("model.gguf");
    let mut w = GgufWriter::new();
    w.tensor("t", &[DATA as u64 / 2], QuantType::F16, vec![1; DATA]).unwrap();
    w.save(&path).unwrap();
    // A change within the same tick of the file system's clock could not be told from none.
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(9)).unwrap();
    (Gguf::open(&path, mode, &Limits::default()).unwrap(), path)
}

fn compute(g: &Gguf) -> u64 {
    g.data(&g.tensors()[0]).iter().map(|b| u64::from(*b)).sum()
}

fn compute_expected() -> u64 {
    DATA as u64
}
