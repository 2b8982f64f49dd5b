//! Labelled steps in a file that grows question by question, so that a run that was stopped can go on.
//!
//! Little-endian, numbers of 64 bits unless it says otherwise. The head: `RUMROWS1`; architecture, fingerprint, data and
//! settings, each a text behind its length; `n_embd`, `n_layer`, the number of taps and each tap, a layer or 2^64 - 1 for the
//! state after the final norm. Then a block for each question: its number, how many rows it has, and the rows, all of one
//! size: sample, step, flags (1 complete, 2 right, 4 a value between 0 and 1 in the upper 16 bits) and tokens in 32 bits, the last and the mean log-probability as f32, and
//! the hidden states as f16: those of the last row, then the means, each `taps * n_embd` of them.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::f16;

use super::origin::Origin;
use super::recorder::Recorded;
use crate::error::{Error, Result};
use crate::storage::wire::{get_raw, get_u64, get_within, put_raw, put_u64};

/// Rows of one question, at most.
const MOST_ROWS: u64 = 1 << 22;
/// Bytes of a row before its hidden states.
const ROW_HEAD: u64 = 24;
const BLOCK_HEAD: u64 = 16;
const COMPLETE: u32 = 1;
const RIGHT: u32 = 2;
const SOFT: u32 = 4;
/// A value of 1 in 16 bits.
const ONE: f32 = 65535.0;

/// One question's labelled steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The question's number in its set.
    pub question: u64,
    /// All steps of all samples; none for a question that could not be put.
    pub rows: Vec<Row>,
}

/// One labelled step.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which of the question's samples, from 0.
    pub sample: u32,
    /// Which of the sample's steps, from 0.
    pub step: u32,
    /// Whether the solution ends with it.
    pub complete: bool,
    /// Whether the solution turned out right; with labels of steps, whether a right answer can still follow the step.
    pub right: bool,
    /// How right it is, from 0 to 1: a share of rollouts, a tree's value; 1 or 0 as [`right`](Self::right) says without either.
    /// Kept in 16 bits.
    pub value: f32,
    /// Tokens drawn.
    pub tokens: u32,
    /// Log-probability of the last of them.
    pub last_logprob: f32,
    /// Mean of their log-probabilities.
    pub mean_logprob: f32,
    /// The hidden states of the row that drew the last token, then the means over all rows; each `taps * n_embd` long. What
    /// is beyond half precision's range stands at its end.
    pub states: Vec<f16>,
}

impl Row {
    pub(super) fn new(sample: usize, index: usize, label: Label, step: &Recorded) -> Self {
        let sum: f64 = step.draws.iter().map(|draw| f64::from(draw.logprob)).sum();
        let half = |x: &f32| f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
        Self {
            sample: u32::try_from(sample).unwrap_or(u32::MAX),
            step: u32::try_from(index).unwrap_or(u32::MAX),
            complete: step.complete,
            right: label.right,
            value: rounded(label.value),
            tokens: u32::try_from(step.draws.len()).unwrap_or(u32::MAX),
            last_logprob: step.draws.last().map_or(0.0, |draw| draw.logprob),
            mean_logprob: (sum / step.draws.len().max(1) as f64) as f32,
            states: step.features.last.iter().chain(&step.features.mean()).map(half).collect(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        let soft = if self.value == hard(self.right) { 0 } else { SOFT | in_16_bits(self.value) << 16 };
        let flags = if self.complete { COMPLETE } else { 0 } | if self.right { RIGHT } else { 0 } | soft;
        for number in [self.sample, self.step, flags, self.tokens] {
            out.extend(number.to_le_bytes());
        }
        for number in [self.last_logprob, self.mean_logprob] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.states.iter().flat_map(|x| x.to_le_bytes()));
    }

    fn get(input: &mut dyn Read, buffer: &mut [u8]) -> Result<Self> {
        let mut numbers = [[0; 4]; 6];
        numbers.iter_mut().try_for_each(|bytes| get_raw(input, bytes))?;
        let [sample, step, flags, tokens, last, mean] = numbers;
        let flags = u32::from_le_bytes(flags);
        get_raw(input, buffer)?;
        let (pairs, _) = buffer.as_chunks::<2>();
        let row = Self {
            sample: u32::from_le_bytes(sample),
            step: u32::from_le_bytes(step),
            complete: flags & COMPLETE != 0,
            right: flags & RIGHT != 0,
            value: if flags & SOFT == 0 { hard(flags & RIGHT != 0) } else { (flags >> 16) as f32 / ONE },
            tokens: u32::from_le_bytes(tokens),
            last_logprob: f32::from_le_bytes(last),
            mean_logprob: f32::from_le_bytes(mean),
            states: pairs.iter().map(|&pair| f16::from_le_bytes(pair)).collect(),
        };
        let finite = row.last_logprob.is_finite() && row.mean_logprob.is_finite();
        let known = COMPLETE | RIGHT | if flags & SOFT == 0 { 0 } else { SOFT | 0xffff_0000 };
        if flags & !known != 0 || !finite || !row.states.iter().all(|x| x.is_finite()) {
            return Err(Error::format("a row holds flags that there are not, NaN or infinity"));
        }
        Ok(row)
    }
}

/// What a step is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Label {
    pub right: bool,
    pub value: f32,
}

impl Label {
    pub fn hard(right: bool) -> Self {
        Self { right, value: hard(right) }
    }

    /// A share, right unless it is 0.
    pub fn soft(value: f64) -> Self {
        Self { right: value > 0.0, value: value as f32 }
    }
}

fn hard(right: bool) -> f32 {
    f32::from(u8::from(right))
}

fn in_16_bits(value: f32) -> u32 {
    (value.clamp(0.0, 1.0) * ONE).round() as u32
}

/// As the file keeps it.
fn rounded(value: f32) -> f32 {
    in_16_bits(value) as f32 / ONE
}

/// Appends blocks to a file. A block is written in one piece; what a killed run left half-written is cut off by the next.
#[derive(Debug)]
pub struct RowWriter {
    path: PathBuf,
    file: File,
    origin: Origin,
    done: HashSet<u64>,
}

impl RowWriter {
    /// Goes on with the file `path`, or begins it.
    ///
    /// Errors: [`Io`](crate::ErrorKind::Io); [`Format`](crate::ErrorKind::Format) for another kind of file, which is left
    /// alone; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for rows of another origin, or a file that another run is
    /// writing to.
    pub fn open(path: &Path, origin: &Origin) -> Result<Self> {
        Self::open_inner(path, origin).map_err(|e| e.context(path.display()))
    }

    fn open_inner(path: &Path, origin: &Origin) -> Result<Self> {
        let head = origin.to_bytes()?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(|e| Error::io("opening", e))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::invalid("another run is writing to this file")),
            Err(TryLockError::Error(e)) if e.kind() != std::io::ErrorKind::Unsupported => {
                return Err(Error::io("locking", e));
            }
            _ => {}
        }
        let size = file.metadata().map_err(|e| Error::io("reading", e))?.len();
        let mut done = HashSet::new();
        let mut end = head.len() as u64;
        if size < end {
            let mut begun = Vec::new();
            (&file).take(size).read_to_end(&mut begun).map_err(|e| Error::io("reading", e))?;
            if !head.starts_with(&begun) {
                return Err(Error::format("this is no file of labelled steps, or one of another origin"));
            }
            file.seek(SeekFrom::Start(0)).map_err(|e| Error::io("seeking", e))?;
            put_raw(&mut file, &head)?;
        } else {
            let mut input = BufReader::new(&file);
            origin.check_same(&Origin::get(&mut input)?)?;
            while let Some((question, rows)) = block_head(&mut input, size - end)? {
                let Some(bytes) = rows.checked_mul(row_bytes(origin)).filter(|&n| n <= size - end - BLOCK_HEAD) else {
                    break;
                };
                let skip = i64::try_from(bytes).map_err(|_| Error::format("a block is too large"))?;
                input.seek_relative(skip).map_err(|e| Error::io("seeking", e))?;
                end += BLOCK_HEAD + bytes;
                done.insert(question);
            }
        }
        file.set_len(end).map_err(|e| Error::io("cutting off a half-written block", e))?;
        file.seek(SeekFrom::Start(end)).map_err(|e| Error::io("seeking", e))?;
        Ok(Self { path: path.to_owned(), file, origin: origin.clone(), done })
    }

    /// Whether the file holds this question.
    pub fn contains(&self, question: u64) -> bool {
        self.done.contains(&question)
    }

    /// Questions in the file.
    pub fn questions(&self) -> usize {
        self.done.len()
    }

    /// Appends one question. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for hidden states of another width and for
    /// a question that the file holds.
    pub fn push(&mut self, block: &Block) -> Result<()> {
        let width = 2 * self.origin.width();
        if block.rows.iter().any(|row| row.states.len() != width) || block.rows.len() as u64 > MOST_ROWS {
            let rows = block.rows.len();
            return Err(Error::invalid(format!("{rows} rows, or hidden states that are not {width} numbers")));
        }
        if !self.done.insert(block.question) {
            return Err(Error::invalid(format!("question {} is in the file", block.question)));
        }
        let mut bytes = Vec::new();
        put_u64(&mut bytes, block.question)?;
        put_u64(&mut bytes, block.rows.len() as u64)?;
        block.rows.iter().for_each(|row| row.put(&mut bytes));
        put_raw(&mut self.file, &bytes).map_err(|e| e.context(self.path.display()))
    }
}

/// Reads a file block by block.
#[derive(Debug)]
pub struct RowReader<R> {
    input: R,
    left: u64,
    origin: Origin,
}

impl RowReader<BufReader<File>> {
    /// Opens the file `path`. Errors: [`Io`](crate::ErrorKind::Io), [`Format`](crate::ErrorKind::Format) for another kind of
    /// file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path.display(), e))?;
        let size = file.metadata().map_err(|e| Error::io(path.display(), e))?.len();
        Self::new(BufReader::new(file), size).map_err(|e| e.context(path.display()))
    }
}

impl<R: Read> RowReader<R> {
    /// Reads `size` bytes of `input`.
    pub fn new(mut input: R, size: u64) -> Result<Self> {
        let origin = Origin::get(&mut input)?;
        let head = origin.to_bytes()?.len() as u64;
        Ok(Self { input, left: size.saturating_sub(head), origin })
    }

    /// What all rows have in common.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The next question; `None` at the end, and before a block that is not written to its end.
    pub fn block(&mut self) -> Result<Option<Block>> {
        let Some((question, n)) = block_head(&mut self.input, self.left)? else { return Ok(None) };
        let bytes = n.checked_mul(row_bytes(&self.origin)).filter(|&bytes| bytes <= self.left - BLOCK_HEAD);
        let Some(bytes) = bytes else {
            self.left = 0;
            return Ok(None);
        };
        // The file holds as many bytes as it claims, so this much memory is no more than the file.
        let mut buffer = vec![0; 4 * self.origin.width()];
        let rows = (0..n).map(|_| Row::get(&mut self.input, &mut buffer)).collect::<Result<Vec<_>>>();
        self.left -= BLOCK_HEAD + bytes;
        Ok(Some(Block { question, rows: rows.map_err(|e| e.context(format_args!("question {question}")))? }))
    }
}

/// A question's number and its rows; `None` when less than that is left.
fn block_head(input: &mut dyn Read, left: u64) -> Result<Option<(u64, u64)>> {
    if left < BLOCK_HEAD {
        return Ok(None);
    }
    let question = get_u64(input)?;
    Ok(Some((question, get_within(input, MOST_ROWS, "the rows of a question")?)))
}

fn row_bytes(origin: &Origin) -> u64 {
    ROW_HEAD + 4 * origin.width() as u64
}
