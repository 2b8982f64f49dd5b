//! Whole lines out of the pieces in which llama.cpp logs.

use std::borrow::Cow;

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What makes a call fail.
    Error,
    /// What may not be as it was meant.
    Warning,
    /// What was found and chosen.
    Info,
    /// Details for its developers.
    Debug,
}

/// Bytes of a line; what is longer becomes several.
const LONGEST: usize = 8 << 10;

/// A line that has begun.
pub(crate) struct Lines {
    level: LogLevel,
    begun: String,
}

impl Lines {
    pub(crate) const fn new() -> Self {
        Self { level: LogLevel::Info, begun: String::new() }
    }

    /// The lines that `text` ends, each with its level. Without a level it goes on with the line before; with one it ends that line.
    pub(crate) fn push(&mut self, level: Option<LogLevel>, text: &str) -> Vec<(LogLevel, String)> {
        let mut whole = Vec::new();
        if let Some(level) = level {
            self.end(&mut whole);
            self.level = level;
        }
        for piece in text.split_inclusive('\n') {
            self.begun.push_str(piece);
            if piece.ends_with('\n') || self.begun.len() > LONGEST {
                self.end(&mut whole);
            }
        }
        whole
    }

    fn end(&mut self, whole: &mut Vec<(LogLevel, String)>) {
        let line = std::mem::take(&mut self.begun);
        let line = line.trim_end();
        if !line.is_empty() {
            whole.push((self.level, line.to_owned()));
        }
    }
}

/// `text` with what steers a terminal or reverses its direction written as `\u{…}`: a file's names are part of what is logged. Line feeds
/// and tabs stay.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(written).collect())
}

/// Controls, and the Unicode directional overrides (<https://www.unicode.org/reports/tr36/>).
fn steers(c: char) -> bool {
    let direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    direction || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(escape("general.name\t= \"汉字\"\n"), "general.name\t= \"汉字\"\n");
        assert_eq!(escape("\u{1b}[31m\r\u{202e}x\n"), "\\u{1b}[31m\\u{d}\\u{202e}x\n");
    }

    #[test]
    fn pieces_become_lines() {
        let mut lines = Lines::new();
        assert_eq!(lines.push(Some(LogLevel::Warning), "one\ntwo: "), [(LogLevel::Warning, "one".to_owned())]);
        assert_eq!(lines.push(None, "."), []);
        assert_eq!(lines.push(None, ".\n\n"), [(LogLevel::Warning, "two: ..".to_owned())]);
        // A line that nobody ended, in front of one with a level of its own.
        assert_eq!(lines.push(Some(LogLevel::Debug), "open"), []);
        let both = [(LogLevel::Debug, "open".to_owned()), (LogLevel::Error, "three".to_owned())];
        assert_eq!(lines.push(Some(LogLevel::Error), "three\n"), both);
        assert_eq!(lines.push(None, &"x".repeat(LONGEST + 1)).len(), 1, "no line grows without end");
    }
}
