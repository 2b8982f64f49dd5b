//! What tools said that might say something else another time: kept with saved searches and traces, and not asked again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What was said, in its order, and what an earlier run was told that this one has not come to.
#[derive(Debug, Default)]
pub(super) struct Journal {
    said: Vec<Entry>,
    ahead: VecDeque<Entry>,
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    tool: String,
    input: String,
    said: String,
}

impl Journal {
    /// The journal of an earlier run; an empty text is one without entries.
    pub fn open(text: &str) -> Result<Self> {
        let ahead = match text {
            "" => VecDeque::new(),
            text => {
                serde_json::from_str(text).map_err(|e| Error::format(format!("what tools said is damaged: {e}")))?
            }
        };
        Ok(Self { said: Vec::new(), ahead })
    }

    /// Everything that was said so far, and what an earlier run was told beyond that; empty without entries.
    pub fn text(&self) -> String {
        let entries: Vec<&Entry> = self.said.iter().chain(&self.ahead).collect();
        if entries.is_empty() { String::new() } else { serde_json::to_string(&entries).unwrap_or_default() }
    }

    /// How often something was said.
    pub fn count(&self) -> usize {
        self.said.len()
    }

    /// What the earlier run was told by this call, if it is the next that it made.
    pub fn recall(&mut self, tool: &str, input: &str) -> Option<String> {
        self.ahead.front().filter(|entry| entry.tool == tool && entry.input == input)?;
        let entry = self.ahead.pop_front()?;
        let said = entry.said.clone();
        self.said.push(entry);
        Some(said)
    }

    /// Notes what a tool said now: a run that goes another way than the earlier one has nothing more to learn from it.
    pub fn note(&mut self, tool: &str, input: &str, said: &str) {
        self.ahead.clear();
        self.said.push(Entry { tool: tool.to_owned(), input: input.to_owned(), said: said.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_tells_again_what_was_said_as_long_as_the_calls_are_the_same() {
        let mut first = Journal::open("").unwrap();
        assert_eq!((first.recall("a", "1"), first.text()), (None, String::new()));
        first.note("a", "1", "x\n\"");
        first.note("b", "2", "y");
        let mut again = Journal::open(&first.text()).unwrap();
        assert_eq!(again.recall("a", "1").as_deref(), Some("x\n\""));
        assert_eq!(again.text(), first.text(), "what lies ahead is kept");
        assert_eq!(again.recall("b", "3"), None);
        again.note("b", "3", "z");
        assert_eq!(again.recall("b", "2"), None, "it went another way");
        assert!(Journal::open("[{}]").is_err() && Journal::open("no").is_err());
    }
}
