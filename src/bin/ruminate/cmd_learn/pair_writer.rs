//! A file of preference pairs that grows with a file of labelled steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use ruminate::learn::preference::Preference;
use ruminate::learn::{Origin, RowWriter};
use serde_json::{Map, Value};

use crate::exit::{Code, Failure};
use crate::input;

/// Appends the pairs of one question after the other.
pub struct PairWriter {
    file: File,
    /// Where the pairs come from, but for the question.
    source: Map<String, Value>,
}

impl PairWriter {
    /// Goes on with the file at `path`. Pairs of questions that `rows` lacks are of a run that was stopped in between: they come
    /// again and are taken out.
    pub fn open(path: &Path, origin: &Origin, rows: &RowWriter) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new(Code::Failure, format!("{}: {e}", path.display()));
        if path.exists() {
            let text = input::file(path)?;
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            let pairs = Preference::parse(whole).map_err(|e| Failure::from(e.context(path.display())))?;
            let lines = whole.lines().filter(|line| !line.trim().is_empty()).zip(&pairs);
            let question = |pair: &Preference| pair.source.get("question").and_then(Value::as_u64);
            let kept: Vec<&str> = lines
                .filter(|(_, pair)| question(pair).is_some_and(|question| rows.contains(question)))
                .map(|(line, _)| line)
                .collect();
            let content: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
            ruminate::storage::save_atomic(path, |out| {
                out.write_all(content.as_bytes())
                    .map_err(|e| ruminate::Error::new(ruminate::ErrorKind::Io, format!("writing the pairs: {e}")))
            })?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        let mut source = Map::new();
        source.insert("model".to_owned(), origin.fingerprint.as_str().into());
        source.insert("data".to_owned(), origin.data.as_str().into());
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
