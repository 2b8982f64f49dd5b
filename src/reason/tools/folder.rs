//! Passages of the text files in one folder, found by their words (BM25, Robertson and Zaragoza, "The Probabilistic Relevance
//! Framework", 2009: k1 = 1.2, b = 0.75).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Tool, text};
use crate::error::{Error, Result};
use crate::storage;

/// What is read of a folder, at most.
const FILES: usize = 2_000;
const FILE_BYTES: usize = 1 << 20;
const ALL_BYTES: usize = 32 << 20;
const DEPTH: usize = 8;
/// Passages that are said, at most, and bytes of each before it is cut into several.
const SAID: usize = 3;
const PASSAGE_BYTES: usize = 800;
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// Finds passages of `.txt` and `.md` files.
pub struct Folder {
    passages: Vec<Passage>,
    /// In how many passages a word stands.
    spread: HashMap<String, usize>,
    mean_words: f64,
}

struct Passage {
    file: String,
    text: String,
    words: BTreeMap<String, usize>,
    count: usize,
}

impl Folder {
    /// Reads the folder and the folders in it once. Links are not followed, so that nothing outside is read; a folder with more
    /// than 2,000 text files or 32 MiB of text is an error.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(folder, 0, &mut files)?;
        files.sort();
        let (mut passages, mut bytes) = (Vec::new(), 0);
        for path in files {
            let read = storage::read_capped(&path, FILE_BYTES)?;
            bytes += read.len();
            if bytes > ALL_BYTES {
                return Err(Error::invalid(format!("{} holds more than {ALL_BYTES} bytes of text", folder.display())));
            }
            let file = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let whole = String::from_utf8_lossy(&read);
            passages.extend(paragraphs(&whole).map(|text| Passage::new(&file, text)));
        }
        let mut spread: HashMap<String, usize> = HashMap::new();
        for word in passages.iter().flat_map(|passage| passage.words.keys()) {
            *spread.entry(word.clone()).or_default() += 1;
        }
        let total: usize = passages.iter().map(|passage| passage.count).sum();
        let mean_words = total as f64 / passages.len().max(1) as f64;
        Ok(Self { passages, spread, mean_words })
    }

    /// The passages that have most to do with `query`, the best first; those that share no word with it are left out.
    fn find(&self, query: &str) -> Vec<&Passage> {
        let query: Vec<String> = words(query).collect();
        let mut ranked: Vec<(f64, &Passage)> = self.passages.iter().map(|p| (self.score(&query, p), p)).collect();
        ranked.retain(|(score, _)| *score > 0.0);
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        ranked.into_iter().take(SAID).map(|(_, passage)| passage).collect()
    }

    fn score(&self, query: &[String], passage: &Passage) -> f64 {
        let n = self.passages.len() as f64;
        let length = 1.0 - B + B * passage.count as f64 / self.mean_words.max(1.0);
        let of = |word: &String| {
            let (often, spread) = (*passage.words.get(word)? as f64, *self.spread.get(word)? as f64);
            let rarity = ((n - spread + 0.5) / (spread + 0.5) + 1.0).ln();
            Some(rarity * often * (K1 + 1.0) / (often + K1 * length))
        };
        query.iter().filter_map(of).sum()
    }
}

impl Tool for Folder {
    fn name(&self) -> &str {
        "search"
    }

    fn about(&self) -> &str {
        "Finds passages in the user's text files."
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "query": { "type": "string", "description": "words that the passage should hold" } },
            "required": ["query"],
        })
    }

    fn call(&self, arguments: &Value) -> Result<Vec<u8>> {
        let found = self.find(text(arguments, "query"));
        if found.is_empty() {
            return Err(Error::invalid("no passage holds any of these words"));
        }
        let said: Vec<String> = found.iter().map(|passage| format!("[{}] {}", passage.file, passage.text)).collect();
        Ok(said.join("\n").into_bytes())
    }
}

impl Passage {
    fn new(file: &str, text: String) -> Self {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        words(&text).for_each(|word| *counts.entry(word).or_default() += 1);
        Self { file: file.to_owned(), count: counts.values().sum(), words: counts, text }
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e| Error::io(format!("reading {}", folder.display()), e);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // The type of the entry itself, not of what a link points to.
        let kind = entry.file_type().map_err(failed)?;
        let path = entry.path();
        let is_text = path.extension().is_some_and(|extension| extension == "txt" || extension == "md");
        if kind.is_dir() && depth < DEPTH {
            collect(&path, depth + 1, files)?;
        } else if kind.is_file() && is_text {
            files.push(path);
        }
        if files.len() > FILES {
            return Err(Error::invalid(format!("{} holds more than {FILES} text files", folder.display())));
        }
    }
    Ok(())
}

/// Paragraphs, long ones in several pieces.
fn paragraphs(text: &str) -> impl Iterator<Item = String> {
    text.split("\n\n").flat_map(|paragraph| {
        let (mut pieces, mut piece) = (Vec::new(), String::new());
        for word in paragraph.split_whitespace() {
            if !piece.is_empty() && piece.len() + word.len() > PASSAGE_BYTES {
                pieces.push(std::mem::take(&mut piece));
            }
            piece = if piece.is_empty() { word.to_owned() } else { format!("{piece} {word}") };
        }
        pieces.extend((!piece.is_empty()).then_some(piece));
        pieces
    })
}

/// Words in lower case, without a plural's ending.
pub(in crate::reason) fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| {
        let lower = word.to_lowercase();
        match lower.strip_suffix('s') {
            Some(stem) if stem.chars().count() > 2 && !stem.ends_with('s') => stem.to_owned(),
            _ => lower,
        }
    })
}
