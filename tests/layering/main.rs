//! The rooms of `ARCHITECTURE.md` against the source: no room reaches upward, `unsafe` stays where the table allows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod source;
mod table;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;
use table::Table;

#[test]
fn no_room_reaches_upward() {
    let (table, exports) = (Table::of_this_project(), exports());
    let mut faults = Vec::new();
    for (room, file) in room_files(&table) {
        for path in Source::read(&file).crate_paths(depth(&file)) {
            let target = exports.get(&path.target).unwrap_or(&path.target);
            if !table.allows(&room, target) {
                faults.push(format!("{}:{}: `{room}` uses `{target}`", file.display(), path.line));
            }
        }
    }
    assert!(faults.is_empty(), "a room uses what ARCHITECTURE.md does not let it use:\n{}", faults.join("\n"));
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let table = Table::of_this_project();
    let mut faults = Vec::new();
    for file in rust_files(&src()) {
        let room = room_of(&file);
        if room.as_deref().is_some_and(|r| table.may_hold_unsafe(r)) {
            continue;
        }
        for line in Source::read(&file).lines_with("unsafe") {
            faults.push(format!("{}:{line}", file.display()));
        }
    }
    assert!(faults.is_empty(), "`unsafe` outside the rooms that ARCHITECTURE.md marks:\n{}", faults.join("\n"));
}

#[test]
fn the_table_and_the_folders_name_the_same_rooms() {
    let table = Table::of_this_project();
    let mut found: Vec<String> = rust_files(&src()).iter().filter_map(|f| room_of(f)).collect();
    found.sort();
    found.dedup();
    let mut named: Vec<String> = table.rooms().map(str::to_owned).collect();
    named.sort();
    assert_eq!(found, named, "left: rooms under src/, right: rooms in ARCHITECTURE.md");
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file that belongs to a room of the table, with its room.
fn room_files(table: &Table) -> Vec<(String, PathBuf)> {
    let files = rust_files(&src()).into_iter().filter_map(|f| Some((room_of(&f)?, f)));
    let files: Vec<_> = files.filter(|(room, _)| table.rooms().any(|r| r == room)).collect();
    assert!(files.len() >= table.rooms().count(), "the walk over src/ missed files");
    files
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The room of a file under `src/`; `None` for the façade and the binaries.
fn room_of(file: &Path) -> Option<String> {
    let relative = file.strip_prefix(src()).unwrap();
    let first = relative.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (first != "lib" && first != "bin").then_some(first)
}

/// Modules between the crate's root and a file: 1 for `src/room/mod.rs` and `src/room.rs`, 2 for `src/room/x.rs`.
fn depth(file: &Path) -> usize {
    let relative = file.strip_prefix(src()).unwrap();
    relative.components().count() - usize::from(relative.ends_with("mod.rs"))
}

/// What the façade re-exports: name to room.
fn exports() -> HashMap<String, String> {
    Source::read(&src().join("lib.rs")).re_exports()
}
