//! The result file: one JSON object per line, the first one tells what all the others have in common.
//!
//! A line is written in one piece when its search is done, so that a killed run loses the search it was at, and at most
//! leaves a last line without its end, which the next run cuts off.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::record::{Key, Record};
use crate::exit::{Code, Failure};
use crate::provenance::check_same;

/// Bytes of a result file, at most: a million records of a kilobyte.
const CAP: u64 = 1 << 30;

/// The records so far, in memory and in the file if there is one.
pub struct Log {
    file: Option<(PathBuf, File)>,
    records: Vec<Record>,
    done: HashSet<Key>,
}

impl Log {
    /// Records in memory alone.
    pub fn in_memory() -> Self {
        Self { file: None, records: Vec::new(), done: HashSet::new() }
    }

    /// Goes on with the file `path`, or begins it. `fixed` is an object of what its records must have in common, `about`
    /// further facts for a reader.
    pub fn open(path: &Path, fixed: &Value, about: &Value) -> Result<Self, Failure> {
        let named = |e: &std::io::Error| Failure::file(path.display(), e);
        let options = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = options.map_err(|e| named(&e))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::usage(format!("another run is writing to {}", path.display())));
            }
            Err(TryLockError::Error(e)) if e.kind() != ErrorKind::Unsupported => return Err(named(&e)),
            _ => {}
        }
        let mut bytes = Vec::new();
        (&file).take(CAP + 1).read_to_end(&mut bytes).map_err(|e| named(&e))?;
        if bytes.len() as u64 > CAP {
            return Err(Failure::data(format!("{} has more than {CAP} bytes", path.display())));
        }
        let head = format!("{}\n", json!({ "ruminate_eval": 1, "fixed": fixed, "about": about }));
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let (lines, rest) = bytes.split_at(whole);
        let context = |e: String| Failure::data(format!("{}: {e}", path.display()));
        let records = if whole > 0 {
            read(lines, fixed).map_err(context)?
        } else if head.as_bytes().starts_with(rest) {
            Vec::new()
        } else {
            return Err(context("is no result file of `eval`; give another --out".to_owned()));
        };
        if !rest.is_empty() {
            file.set_len(whole as u64).map_err(|e| named(&e))?;
        }
        if whole == 0 {
            file.write_all(head.as_bytes()).map_err(|e| named(&e))?;
        }
        let done = records.iter().map(|record| record.key.clone()).collect();
        Ok(Self { file: Some((path.to_owned(), file)), records, done })
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.done.contains(key)
    }

    pub fn push(&mut self, record: Record) -> Result<(), Failure> {
        if let Some((path, file)) = &mut self.file {
            let line = serde_json::to_string(&record);
            let line = line.map_err(|e| Failure::new(Code::Failure, format!("writing a record: {e}")))? + "\n";
            file.write_all(line.as_bytes())
                .map_err(|e| Failure::new(Code::Failure, format!("{}: {e}", path.display())))?;
        }
        self.done.insert(record.key.clone());
        self.records.push(record);
        Ok(())
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// The records of a file's complete lines.
fn read(bytes: &[u8], fixed: &Value) -> Result<Vec<Record>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let mut lines = text.lines().enumerate();
    let head: Option<Value> = lines.next().and_then(|(_, line)| serde_json::from_str(line).ok());
    let head = head.filter(|head| head.get("ruminate_eval") == Some(&1.into()));
    let head = head.ok_or("is no result file of `eval`; give another --out")?;
    check_same(head.get("fixed").unwrap_or(&Value::Null), fixed)?;
    let record = |(at, line): (usize, &str)| serde_json::from_str(line).map_err(|e| format!("line {}: {e}", at + 1));
    lines.map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn record(row: usize) -> Record {
        let key = Key { row, repeat: 0, config: "greedy".to_owned() };
        Record { answer: Some("a\n\u{1b}\"".to_owned()), ..Record::failed(key, "too long".to_owned()) }
    }

    fn open(path: &Path, temp: f64) -> Result<Log, Failure> {
        Log::open(path, &json!({ "data": "ab", "temp": temp }), &json!({}))
    }

    #[test]
    fn a_file_cut_anywhere_is_gone_on_with_and_ends_as_if_never_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut log = open(&path, 0.5).unwrap();
        (0..3).for_each(|row| log.push(record(row)).unwrap());
        drop(log);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = open(&path, 0.5).unwrap();
            let lines = whole[..cut].iter().filter(|&&b| b == b'\n').count();
            assert_eq!(log.records().len(), lines.saturating_sub(1), "cut at {cut}");
            for row in 0..3 {
                if !log.contains(&record(row).key) {
                    log.push(record(row)).unwrap();
                }
            }
            assert_eq!(log.records(), [record(0), record(1), record(2)]);
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn other_results_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut log = open(&path, 0.5).unwrap();
        log.push(record(0)).unwrap();
        assert!(open(&path, 0.5).err().unwrap().to_string().contains("another run"));
        drop(log);
        assert!(open(&path, 0.7).err().unwrap().to_string().contains("temp 0.5, not 0.7"));
        let good = fs::read_to_string(&path).unwrap();
        for (text, says) in [
            ("tea leaves".to_owned(), "no result file"),
            ("tea leaves\n".to_owned(), "no result file"),
            ("{\"ruminate_eval\":2}\n".to_owned(), "no result file"),
            ("{\"ruminate_eval\":1}\n".to_owned(), "data null"),
            (format!("{good}{{\"row\":1}}\n"), "line 3"),
            (format!("{good}\n\n"), "line 3"),
            (format!("{good}{}\n", "[".repeat(100_000)), "line 3"),
        ] {
            fs::write(&path, &text).unwrap();
            let error = open(&path, 0.5).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{error}");
        }
        fs::write(&path, b"{\xff}\n").unwrap();
        assert!(open(&path, 0.5).err().unwrap().to_string().contains("UTF-8"));
    }
}
