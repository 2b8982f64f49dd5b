//! [`StrArray`]: vocabularies and merges.

use super::cursor::Cursor;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Many strings in one allocation: a vocabulary of 260,000 tokens costs its text and four bytes per token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StrArray {
    text: String,
    /// Where each string ends in `text`; it starts where the one before it ends.
    ends: Vec<u32>,
}

impl StrArray {
    /// String number `i`.
    pub fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)? as usize;
        let start = match i.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.text.get(start..end)
    }

    /// How many strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }

    /// The strings of `items`; an error when their text passes 4 GiB.
    pub fn from_strs<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut all = Self::default();
        for item in items {
            all.push(item.as_ref())?;
        }
        Ok(all)
    }

    /// Reads `n` strings; the caller has made sure that the file can hold so many.
    pub(super) fn read(cursor: &mut Cursor, n: usize, limits: &Limits, what: &str) -> Result<Self> {
        let mut all = Self { text: String::new(), ends: Vec::with_capacity(n) };
        for _ in 0..n {
            all.push(cursor.str(limits.gguf_string_bytes, what)?)?;
        }
        all.text.shrink_to_fit();
        Ok(all)
    }

    /// Adds `item` at the end; an error when the text then passes 4 GiB.
    pub fn push(&mut self, item: &str) -> Result<()> {
        let end = self.text.len().checked_add(item.len()).and_then(|n| u32::try_from(n).ok());
        let end = end.ok_or_else(|| Error::format("an array of strings holds more than 4 GiB of text"))?;
        self.text.push_str(item);
        self.ends.push(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order_and_nothing_behind_the_end() {
        let items = ["a", "", "\u{1f600}", "b\0c", ""];
        let all = StrArray::from_strs(items).unwrap();
        assert_eq!(all.len(), 5);
        assert_eq!(all.iter().collect::<Vec<_>>(), items);
        for (i, item) in items.iter().enumerate() {
            assert_eq!(all.get(i), Some(*item));
        }
        assert_eq!(all.get(5), None);
        assert_eq!(all.get(usize::MAX), None);
        assert!(StrArray::default().is_empty() && StrArray::default().get(0).is_none());
    }
}
