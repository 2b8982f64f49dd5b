//! Rows of one or more files, in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use half::f16;

use super::figures::Valued;
use super::origin::Origin;
use super::rows::{Block, RowReader};
use crate::engine::{Stream, Tap};
use crate::error::{Error, Result};
use crate::reward::Pool;

/// Labelled steps of one model.
#[derive(Debug, Clone)]
pub struct Table {
    origin: Origin,
    /// Which random number stands for each question.
    questions: BTreeMap<(u64, u64), usize>,
    draws: Vec<f64>,
    entries: Vec<Entry>,
    /// `2 * width` for each row.
    states: Vec<f16>,
}

/// A row without its hidden states.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Which of the table's questions, from 0.
    pub question: usize,
    /// Which of the question's samples.
    pub sample: u32,
    pub complete: bool,
    pub right: bool,
    pub value: f32,
    pub last_logprob: f32,
    pub mean_logprob: f32,
}

impl Entry {
    /// With a value that is to be held against its label.
    pub fn valued(&self, value: f64) -> Valued {
        Valued { value, right: self.right, label: self.value.into(), question: self.question }
    }
}

/// The seed of the split, fixed so that heads on more rows keep their held-out questions.
const SPLIT: u64 = 0x5eed;

impl Table {
    /// An empty table for rows of this origin.
    pub fn new(origin: Origin) -> Self {
        Self { origin, questions: BTreeMap::new(), draws: Vec::new(), entries: Vec::new(), states: Vec::new() }
    }

    /// All rows of these files. Errors as [`RowReader`]'s, and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for rows
    /// of different models or taps.
    pub fn load(paths: &[&Path]) -> Result<Self> {
        let mut table: Option<Self> = None;
        for path in paths {
            let named = |e: Error| e.context(path.display());
            let mut reader = RowReader::open(path)?;
            let origin = reader.origin().clone();
            let table = table.get_or_insert_with(|| Self::new(origin.clone()));
            while let Some(block) = reader.block().map_err(named)? {
                table.push(&origin, &block).map_err(named)?;
            }
        }
        table.ok_or_else(|| Error::invalid("no file of labelled steps was given"))
    }

    /// Appends one question's rows; a question that is in the table already gets more of them.
    pub fn push(&mut self, origin: &Origin, block: &Block) -> Result<()> {
        self.origin.check_same_model(origin)?;
        let key = (digest(&origin.data), block.question);
        let next = self.draws.len();
        let question = *self.questions.entry(key).or_insert(next);
        if question == next {
            self.draws.push(Stream::new(SPLIT ^ key.0).uniform(key.1));
        }
        for row in &block.rows {
            if row.states.len() != 2 * self.origin.width() {
                return Err(Error::invalid("a row's hidden states are of another width"));
            }
            let &super::Row { sample, complete, right, value, last_logprob, mean_logprob, .. } = row;
            self.entries.push(Entry { question, sample, complete, right, value, last_logprob, mean_logprob });
            self.states.extend(&row.states);
        }
        Ok(())
    }

    /// What its rows have in common, by the first file.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Rows are numbered below [`len`](Self::len).
    pub(super) fn entry(&self, row: usize) -> &Entry {
        &self.entries[row]
    }

    /// Whether steps have labels of their own, rather than all of a sample its outcome.
    pub fn labels_steps(&self) -> bool {
        let sample = |entry: &Entry| (entry.question, entry.sample);
        self.entries.windows(2).any(|pair| match pair {
            [a, b] => sample(a) == sample(b) && (a.right, a.value) != (b.right, b.value),
            _ => false,
        })
    }

    /// The runs of `rows` that are of one sample; each run is given by its places in `rows`.
    pub(super) fn samples(&self, rows: &[usize]) -> Vec<Range<usize>> {
        let sample = |row: &usize| (self.entry(*row).question, self.entry(*row).sample);
        let mut start = 0;
        let runs = rows.chunk_by(|a, b| sample(a) == sample(b)).map(|run| {
            let range = start..start + run.len();
            start = range.end;
            range
        });
        runs.collect()
    }

    /// A number in [0, 1) that belongs to the row's question: what a split is made by.
    pub(super) fn draw(&self, row: usize) -> f64 {
        self.draws.get(self.entry(row).question).copied().unwrap_or(0.0)
    }

    /// The states of a row at one of its taps.
    pub(super) fn states(&self, row: usize, tap: Tap, pool: Pool) -> &[f16] {
        let width = self.origin.width();
        let place = self.origin.taps.iter().position(|t| *t == tap).unwrap_or(0) * self.origin.n_embd;
        let start = 2 * row * width + place + if pool == Pool::Mean { width } else { 0 };
        self.states.get(start..start + self.origin.n_embd).unwrap_or_default()
    }
}

/// FNV-1a (RFC 9923): names a question set by its digest's text.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
