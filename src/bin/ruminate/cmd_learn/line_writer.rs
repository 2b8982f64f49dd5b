//! JSON lines about questions, in a file that grows with a file of labelled steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::step_file::StepFile;
use crate::exit::{Code, Failure};
use crate::output::write_file;
use crate::provenance::digest;

/// Appends the lines of one question after the other, each with its `source`.
pub struct LineWriter {
    path: PathBuf,
    file: File,
    /// Where the lines come from, but for the question.
    source: Map<String, Value>,
}

impl LineWriter {
    /// Goes on with the file at `path`, which must be of the same run and whose lines have `field`; `judge` names what orders its lines
    /// in place of the known answers. A run that was killed may leave lines of one question that `steps` lacks, at the end: they come
    /// again and are taken out, and so is a line that was not written to its end. More of them are another run's, and stay.
    pub fn open(path: &Path, field: &str, steps: &StepFile, judge: Option<&str>) -> Result<Self, Failure> {
        let mut source = Map::new();
        source.insert("model".to_owned(), steps.origin.fingerprint.as_str().into());
        source.insert("data".to_owned(), steps.origin.data.as_str().into());
        source.insert("settings".to_owned(), digest(&steps.origin.settings).into());
        if let Some(judge) = judge {
            source.insert("judge".to_owned(), judge.into());
        }
        if path.exists() {
            let mut bytes = std::fs::read(path).map_err(|e| failed(path, e))?;
            bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
            let named = |e: String| Failure::data(format!("{}: {e}", path.display()));
            let text = String::from_utf8(bytes).map_err(|e| named(e.to_string()))?;
            let (mut kept, mut unfinished) = (String::new(), None);
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let other = || named("it holds lines of something else; give another file".to_owned());
                let line_source = source_of(line, field).ok_or_else(other)?;
                let same = line_source.iter().filter(|(name, _)| *name != QUESTION).eq(source.iter());
                let question = line_source.get(QUESTION).and_then(Value::as_u64).filter(|_| same).ok_or_else(other)?;
                let known = steps.rows.contains(question);
                if unfinished.is_some_and(|last| known || last != question) {
                    return Err(named("it holds lines of another run; give another file".to_owned()));
                }
                if known {
                    kept.extend([line, "\n"]);
                } else {
                    unfinished = Some(question);
                }
            }
            write_file(path, &kept)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|e| failed(path, e))?;
        Ok(Self { path: path.to_owned(), file, source })
    }

    /// The lines of a question.
    pub fn push(&mut self, question: usize, lines: &[impl Serialize]) -> Result<(), Failure> {
        let mut source = self.source.clone();
        source.insert(QUESTION.to_owned(), question.into());
        let mut text = String::new();
        for line in lines {
            let mut line = serde_json::to_value(line).map_err(|e| failed(&self.path, e))?;
            line["source"] = source.clone().into();
            text += &line.to_string();
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).map_err(|e| failed(&self.path, e))
    }
}

const QUESTION: &str = "question";

fn source_of(line: &str, field: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(line).ok()? {
        Value::Object(mut line) if line.contains_key(field) => match line.remove("source")? {
            Value::Object(source) => Some(source),
            _ => None,
        },
        _ => None,
    }
}

fn failed(path: &Path, e: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Failure, format!("{}: {e}", path.display()))
}
