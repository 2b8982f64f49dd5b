//! One pass of a pre-tokenizer: where a text is cut before the merges run.

use fancy_regex::Regex;

use crate::error::{Error, ErrorKind, Result};

/// One pass over the text; the next stage sees only the pieces that this one leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Every match is a piece, and so is every gap between two matches.
    Isolate(&'static str),
    /// As `Isolate`, but a run of blanks before a word leaves its last blank to that word. This is the published
    /// `\s+(?!\S)|\s+`, written as `\s+` and one step back, so that no pattern needs backtracking and the work stays
    /// linear in the text.
    Blanks(&'static str),
    /// As `Blanks` for patterns that take line ends before they come to `\s+`: a match that ends a line stays whole.
    Lines(&'static str),
    /// Runs of digits cut in threes from the right; what stands before a run sticks to its first group.
    Digits,
    /// Runs of ASCII digits cut in threes from the right.
    Thousands,
}

/// A stage ready to run.
#[derive(Debug)]
pub(crate) enum Cutter {
    Pattern { regex: Regex, blanks: Kept },
    Digits(Regex),
    Thousands,
}

/// Which of the blanks that a pattern matched stay in its piece when more text follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    AllButLast,
    LinesAndAllButLast,
}

/// Unicode 15.1, the version of llama.cpp's own tables: a letter that a later version added is no letter here.
const CATEGORIES: [(&str, &str); 5] = [
    (r"\p{L}", r"[\p{L}&&\p{Age:15.1}]"),
    (r"\p{M}", r"[\p{M}&&\p{Age:15.1}]"),
    (r"\p{N}", r"[\p{N}&&\p{Age:15.1}]"),
    (r"\p{P}", r"[\p{P}&&\p{Age:15.1}]"),
    (r"\p{S}", r"[\p{S}&&\p{Age:15.1}]"),
];

/// Blocks of Chinese characters, whole, as the Kimi K2 splitter counts them.
const HAN: &str =
    r"\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2EBEF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}";

impl Cutter {
    pub(crate) fn new(stage: Stage) -> Result<Self> {
        Ok(match stage {
            Stage::Isolate(pattern) => Self::Pattern { regex: compile(pattern)?, blanks: Kept::All },
            Stage::Blanks(pattern) => Self::Pattern { regex: compile(pattern)?, blanks: Kept::AllButLast },
            Stage::Lines(pattern) => Self::Pattern { regex: compile(pattern)?, blanks: Kept::LinesAndAllButLast },
            Stage::Digits => Self::Digits(compile(r"\p{N}+")?),
            Stage::Thousands => Self::Thousands,
        })
    }

    /// Pushes the end of every piece of `text`, plus `base`, in order; the last end is that of the text.
    pub(crate) fn cut(&self, text: &str, base: usize, ends: &mut Vec<usize>) -> Result<()> {
        match self {
            Self::Pattern { regex, blanks } => cut_by_pattern(regex, *blanks, text, base, ends)?,
            Self::Digits(regex) => cut_digits(regex, text, base, ends)?,
            Self::Thousands => cut_thousands(text, base, ends),
        }
        if !text.is_empty() && ends.last() != Some(&(base + text.len())) {
            ends.push(base + text.len());
        }
        Ok(())
    }
}

fn compile(pattern: &str) -> Result<Regex> {
    let mut source = pattern.replace("{han}", HAN);
    for (category, pinned) in CATEGORIES {
        source = source.replace(category, pinned);
    }
    Regex::new(&source).map_err(|e| {
        Error::new(ErrorKind::Internal, format!("the pre-tokenizer pattern {pattern:?} does not compile"))
            .with_source(e)
    })
}

fn search<'t>(regex: &Regex, text: &'t str, from: usize) -> Result<Option<fancy_regex::Match<'t>>> {
    regex
        .find_from_pos(text, from)
        .map_err(|e| Error::new(ErrorKind::Internal, "a pre-tokenizer pattern could not be matched").with_source(e))
}

fn cut_by_pattern(regex: &Regex, blanks: Kept, text: &str, base: usize, ends: &mut Vec<usize>) -> Result<()> {
    let mut done = 0;
    while done < text.len() {
        let Some(found) = search(regex, text, done)? else { break };
        if found.start() > done {
            ends.push(base + found.start());
        }
        let end = if found.end() < text.len() { found.end() - left_over(found.as_str(), blanks) } else { found.end() };
        // No pattern matches an empty string; the guard keeps a wrong one from looping.
        if end <= done {
            return Err(Error::new(ErrorKind::Internal, "a pre-tokenizer pattern matched an empty string"));
        }
        ends.push(base + end);
        done = end;
    }
    Ok(())
}

/// Bytes of the last blank of `found`, if that is a run of two blanks or more that has to leave it; else 0.
fn left_over(found: &str, blanks: Kept) -> usize {
    let Some(last) = found.chars().next_back().filter(|last| last.is_whitespace()) else { return 0 };
    let ends_line = matches!(last, '\r' | '\n') && blanks == Kept::LinesAndAllButLast;
    let is_run = found.len() > last.len_utf8() && found.chars().all(char::is_whitespace);
    if is_run && !ends_line && blanks != Kept::All { last.len_utf8() } else { 0 }
}

fn cut_digits(regex: &Regex, text: &str, base: usize, ends: &mut Vec<usize>) -> Result<()> {
    let mut done = 0;
    while let Some(run) = search(regex, text, done)? {
        let count = run.as_str().chars().count();
        for (nth, (at, digit)) in run.as_str().char_indices().enumerate() {
            if (count - nth - 1) % 3 == 0 {
                ends.push(base + run.start() + at + digit.len_utf8());
            }
        }
        done = run.end();
    }
    Ok(())
}

fn cut_thousands(text: &str, base: usize, ends: &mut Vec<usize>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes.iter().skip(at).take_while(|b| b.is_ascii_digit()).count();
        let cuts = (at..at + run).filter(|&cut| cut > 0 && (at + run - cut) % 3 == 0);
        ends.extend(cuts.map(|cut| base + cut));
        at += run.max(1);
    }
}
