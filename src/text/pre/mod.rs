//! Pre-tokenizers: the cuts that a byte-level BPE tokenizer makes before its merges run.

mod stage;
mod table;

use std::ops::Range;

use crate::error::{Error, Result};
use stage::Cutter;

/// The splitter that a file names in `tokenizer.ggml.pre`.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    cutters: Vec<Cutter>,
    /// A whole piece that is in the vocabulary is one token, whatever the merges say.
    pub ignore_merges: bool,
    /// A beginning-of-text token is added unless the file says otherwise.
    pub add_bos: bool,
}

impl PreTokenizer {
    /// The splitter of that name. A name that is not known is an error: a wrong split gives wrong tokens silently.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let rule = table::rule(name).ok_or_else(|| {
            Error::unsupported(format!(
                "the tokenizer splits words by {name:?} (tokenizer.ggml.pre), which is not known here"
            ))
        })?;
        let cutters = rule.stages.iter().map(|&stage| Cutter::new(stage)).collect::<Result<_>>()?;
        Ok(Self { cutters, ignore_merges: rule.ignore_merges, add_bos: rule.add_bos })
    }

    /// The pieces of `text`, in order, without gaps; `O(len)`.
    pub(crate) fn split(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let mut ends = Vec::new();
        if !text.is_empty() {
            ends.push(text.len());
        }
        for cutter in &self.cutters {
            let mut finer = Vec::with_capacity(ends.len());
            let mut start = 0;
            for &end in &ends {
                let piece = text.get(start..end).unwrap_or_default();
                cutter.cut(piece, start, &mut finer)?;
                start = end;
            }
            ends = finer;
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        Ok(starts.zip(ends.iter().copied()).map(|(start, end)| start..end).collect())
    }
}

#[cfg(test)]
mod tests;
