//! As much of Rust's syntax as the layering rules need: tokens without comments and literals, and the paths among them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The tokens of one file.
pub struct Source {
    tokens: Vec<Token>,
}

struct Token {
    text: String,
    line: usize,
}

/// A path that starts at the crate's root.
#[derive(Debug, PartialEq)]
pub struct CratePath {
    /// The first name after the root.
    pub target: String,
    pub line: usize,
}

impl Source {
    pub fn read(file: &Path) -> Self {
        Self::parse(&fs::read_to_string(file).unwrap())
    }

    pub fn parse(text: &str) -> Self {
        Self { tokens: tokens(text) }
    }

    /// Lines on which `word` stands as code.
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        self.tokens.iter().filter(|t| t.text == word).map(|t| t.line).collect()
    }

    /// Every path from the crate's root, written `crate::` or with enough `super::`, in a file that lies `depth` modules
    /// below the root.
    pub fn crate_paths(&self, depth: usize) -> Vec<CratePath> {
        let mut paths = Vec::new();
        let mut braces: Vec<bool> = Vec::new();
        for i in 0..self.tokens.len() {
            match self.text(i) {
                "{" => braces.push(i >= 2 && self.text(i - 2) == "mod"),
                "}" => drop(braces.pop()),
                // A macro stands at the root whatever room exports it.
                "crate" if self.text(i + 1) == "::" && self.text(i + 3) == "!" => {}
                "crate" if self.text(i + 1) == "::" => self.push_targets(i + 2, &mut paths),
                "super" if i == 0 || self.text(i - 1) != "::" => {
                    let climbed = (0..).take_while(|n| self.text(i + 2 * n) == "super").count();
                    if climbed >= depth + braces.iter().filter(|&&m| m).count() {
                        self.push_targets(i + 2 * climbed, &mut paths);
                    }
                }
                _ => {}
            }
        }
        paths
    }

    /// `pub use room::Name` and `pub use room::{A, B}`: name to room.
    pub fn re_exports(&self) -> HashMap<String, String> {
        let mut names = HashMap::new();
        for i in 0..self.tokens.len() {
            if self.text(i) == "pub" && self.text(i + 1) == "use" && self.text(i + 3) == "::" {
                let mut targets = Vec::new();
                self.push_targets(i + 4, &mut targets);
                names.extend(targets.into_iter().map(|t| (t.target, self.text(i + 2).to_owned())));
            }
        }
        names
    }

    /// The name at `i`, or the first name of every item of the group that starts there.
    fn push_targets(&self, i: usize, paths: &mut Vec<CratePath>) {
        let mut push = |i: usize| paths.push(CratePath { target: self.text(i).to_owned(), line: self.tokens[i].line });
        if self.text(i) != "{" {
            return push(i);
        }
        let (mut nested, mut at_start, mut i) = (0, true, i + 1);
        while nested > 0 || self.text(i) != "}" {
            match self.text(i) {
                "{" => nested += 1,
                "}" => nested -= 1,
                "," if nested == 0 => at_start = true,
                _ if at_start => {
                    push(i);
                    at_start = false;
                }
                _ => {}
            }
            i += 1;
        }
    }

    fn text(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |t| &t.text)
    }
}

/// Words, `::` and single marks; comments, strings, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(i + 1) == '*' => i = block_comment_end(&chars, i),
            'r' if raw_string_end(&chars, i).is_some() => i = raw_string_end(&chars, i).unwrap(),
            'b' if at(i + 1) == 'r' && raw_string_end(&chars, i + 1).is_some() => {
                i = raw_string_end(&chars, i + 1).unwrap();
            }
            '"' => i = quoted_end(&chars, i),
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => i = quoted_end(&chars, i),
            '\'' => i += 1,
            c if c.is_alphanumeric() || c == '_' => {
                i += chars[i..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                tokens.push(Token { text: chars[start..i].iter().collect(), line });
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                tokens.push(Token { text: "::".to_owned(), line });
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
            }
        }
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// One past a string or character literal that opens at `start` and ends at its own unescaped quote.
fn quoted_end(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != chars[start] {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// One past a raw string whose `r` is at `start`; `None` when that `r` only begins a word.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    let inside_word =
        start > 0 && (chars[start - 1].is_alphanumeric() || chars[start - 1] == '_') && chars[start - 1] != 'b';
    if inside_word || chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (open + 1..chars.len()).find(|&i| closes(i)).map(|i| i + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str, depth: usize) -> Vec<String> {
        Source::parse(text).crate_paths(depth).into_iter().map(|p| p.target).collect()
    }

    #[test]
    fn paths_are_found_in_uses_groups_and_expressions() {
        assert_eq!(targets("use crate::engine::Engine;", 2), ["engine"]);
        assert_eq!(targets("use crate::{error::{Error, Result}, text::TokenId};", 2), ["error", "text"]);
        assert_eq!(targets("fn f() -> u8 { crate::search::x() }", 1), ["search"]);
        assert_eq!(targets("pub(crate) fn f() {}", 1), [""; 0]);
        assert_eq!(targets("$crate::pass_on!(x)", 1), [""; 0]);
    }

    #[test]
    fn super_counts_only_when_it_leaves_the_room() {
        assert_eq!(targets("use super::super::engine::Engine;", 2), ["engine"]);
        assert_eq!(targets("use super::engine::Engine;", 2), [""; 0]);
        assert_eq!(targets("use super::engine::Engine;", 1), ["engine"]);
        assert_eq!(targets("mod tests { use super::*; }", 1), [""; 0]);
        assert_eq!(targets("mod tests { fn f() {} use super::super::engine; }", 1), ["engine"]);
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "// crate::a\n/* crate::b /* */ crate::c */ \"crate::d\" r#\"crate::e\"# '\"' b\"\\\"\" 'x' &'a str crate::f";
        assert_eq!(targets(text, 1), ["f"]);
        assert_eq!(Source::parse("\n\nunsafe {} // unsafe\n\"unsafe\"").lines_with("unsafe"), [3]);
    }

    #[test]
    fn re_exports_name_their_room() {
        let names = Source::parse("pub use error::{Error, Result};\npub use limits::Limits;").re_exports();
        assert_eq!((names["Result"].as_str(), names["Limits"].as_str()), ("error", "limits"));
    }
}
