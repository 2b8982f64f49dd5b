//! A file of preference pairs that grows with a file of labelled steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use ruminate::learn::preference::Preference;
use serde_json::{Map, Value};

use super::step_file::StepFile;
use crate::exit::{Code, Failure};
use crate::output::write_file;

/// Appends the pairs of one question after the other.
pub struct PairWriter {
    file: File,
    /// Where the pairs come from, but for the question.
    source: Map<String, Value>,
}

impl PairWriter {
    /// Goes on with the file at `path`, which must be of the same run; `judge` names what orders the pairs in place of the known
    /// answers. Pairs of questions that `steps` lacks are of a run that was
    /// stopped in between: they come again and are taken out, and so is a line that was not written to its end.
    pub fn open(path: &Path, steps: &StepFile, judge: Option<&str>) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new(Code::Failure, format!("{}: {e}", path.display()));
        let mut source = Map::new();
        source.insert("model".to_owned(), steps.origin.fingerprint.as_str().into());
        source.insert("data".to_owned(), steps.origin.data.as_str().into());
        if let Some(judge) = judge {
            source.insert("judge".to_owned(), judge.into());
        }
        if path.exists() {
            let mut bytes = std::fs::read(path).map_err(failed)?;
            bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
            let named = |e: String| Failure::data(format!("{}: {e}", path.display()));
            let text = String::from_utf8(bytes).map_err(|e| named(e.to_string()))?;
            let mut kept = String::new();
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let pairs = Preference::parse(line).map_err(|e| named(e.to_string()))?;
                let question = pairs.iter().find_map(|pair| {
                    let same = source.iter().all(|(name, value)| pair.source.get(name) == Some(value))
                        && pair.source.get("judge").is_some() == judge.is_some();
                    pair.source.get("question").and_then(Value::as_u64).filter(|_| same)
                });
                let question =
                    question.ok_or_else(|| named("it holds pairs of something else; give another file".to_owned()))?;
                if steps.rows.contains(question) {
                    kept.extend([line, "\n"]);
                }
            }
            write_file(path, &kept)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { file, source })
    }

    /// The pairs of a question, each with where it comes from.
    pub fn push(&mut self, question: usize, pairs: Vec<Preference>) -> Result<(), Failure> {
        let failed = |e: String| Failure::new(Code::Failure, format!("writing the pairs: {e}"));
        let mut lines = String::new();
        for mut pair in pairs {
            pair.source = self.source.clone();
            pair.source.insert("question".to_owned(), question.into());
            lines += &serde_json::to_string(&pair).map_err(|e| failed(e.to_string()))?;
            lines.push('\n');
        }
        self.file.write_all(lines.as_bytes()).map_err(|e| failed(e.to_string()))
    }
}
