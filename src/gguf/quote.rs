//! Names from a file, made safe to show.

use std::fmt;

/// Characters of a name that a message shows.
const SHOWN: usize = 80;

/// Text from a file, quoted, with control characters escaped and long tails cut, so that no file can write to a
/// terminal through an error message.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN) {
            write!(f, "{}", c.escape_debug())?;
        }
        f.write_str(if chars.next().is_some() { "…\"" } else { "\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_cuts() {
        assert_eq!(Quoted("a.b").to_string(), "\"a.b\"");
        assert_eq!(Quoted("\u{1b}[31m\u{202e}\n\"").to_string(), "\"\\u{1b}[31m\\u{202e}\\n\\\"\"");
        assert_eq!(Quoted(&"x".repeat(1000)).to_string(), format!("\"{}…\"", "x".repeat(80)));
    }
}
