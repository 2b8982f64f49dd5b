//! A save that is killed or runs out of room leaves the old file or the new one, never a mixture.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ruminate::gguf::{Gguf, GgufWriter};
use ruminate::quant::QuantType;
use ruminate::storage::LoadMode;
use ruminate::{Limits, Result};

/// The folder in which the child saves.
const FOLDER: &str = "CRASH_SAVE_FOLDER";
const KILLS: u64 = 40;
const BYTES: u64 = 1 << 20;

#[test]
fn a_killed_save_leaves_one_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("head.gguf");
    save(&path, 0).unwrap();
    let (mut interrupted, mut advanced) = (0, 0);
    for i in 0..KILLS {
        let before = generation(&path);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child", "--nocapture", "--test-threads=1"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..=i % 2 {
            assert!(lines.any(|line| line.unwrap().ends_with("SAVING")));
        }
        // Spread over the few milliseconds that a save takes.
        std::thread::sleep(Duration::from_micros(i * 7_919 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        advanced += u64::from(generation(&path) != before);
        interrupted += remove_leftovers(dir.path());
    }
    assert!(advanced > 0 && interrupted > 0, "{advanced} kills after a save, {interrupted} within one of {KILLS}");
}

#[test]
#[ignore = "the child process of the test above"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return; // run by hand, without a parent that kills it
    };
    let path = Path::new(&folder).join("head.gguf");
    for n in generation(&path) + 1.. {
        println!("\nSAVING");
        save(&path, n).unwrap();
    }
}

#[test]
fn a_save_without_room_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("head.gguf");
    save(&path, 7).unwrap();
    // A limit of 100 blocks stands in for a full disk; ignoring the signal makes the write itself fail.
    let limited = Command::new("sh")
        .args(["-c", "ulimit -f 100; trap '' XFSZ; exec \"$0\" --ignored --exact child_without_room --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&limited.stdout);
    assert!(limited.status.success() && printed.contains("REFUSED Io"), "{limited:?}");
    assert_eq!((generation(&path), remove_leftovers(dir.path())), (7, 0));
}

#[test]
#[ignore = "the child process of the test above"]
fn child_without_room() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return; // run by hand, without a parent that limits it
    };
    let e = save(&Path::new(&folder).join("head.gguf"), 8).unwrap_err();
    println!("\nREFUSED {:?}", e.kind());
}

fn save(path: &Path, generation: u64) -> Result<()> {
    let mut w = GgufWriter::new();
    w.set("generation", generation)?;
    w.tensor("t", &[BYTES / 4], QuantType::F32, (generation as u32).to_le_bytes().repeat(BYTES as usize / 4))?;
    w.save(path)
}

/// Reads the file and proves that all of it comes from one save.
fn generation(path: &Path) -> u64 {
    let g = Gguf::open(path, LoadMode::Read, &Limits::default()).unwrap();
    let n = g.metadata().require_u64("generation").unwrap();
    let data = g.data(&g.tensors()[0]);
    assert!(data.len() == BYTES as usize && data.chunks(4).all(|x| x == (n as u32).to_le_bytes()));
    n
}

fn remove_leftovers(folder: &Path) -> u64 {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let leftovers: Vec<_> = names.filter(|path| path.file_name().unwrap() != "head.gguf").collect();
    for path in &leftovers {
        assert!(path.extension().unwrap() == "partial", "{path:?}");
        std::fs::remove_file(path).unwrap();
    }
    leftovers.len() as u64
}
