//! Finding the tokens that are recognized whole, before any merging.
//!
//! Longest token first over the whole text, each from left to right over what the longer ones left, as in llama.cpp
//! (`tokenizer_st_partition`). One automaton first tells which tokens occur at all, so that a vocabulary with thousands
//! of them costs no more than one with three.

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::vocab::{Kind, Vocab};
use crate::error::{Error, ErrorKind, Result};
use crate::text::TokenId;

/// A stretch of text to tokenize, or a token found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    Text(&'t str),
    Token(TokenId),
}

/// The tokens of one vocabulary that are recognized whole.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Longest first, then by id.
    tokens: Vec<Whole>,
    automaton: AhoCorasick,
}

#[derive(Debug)]
struct Whole {
    id: TokenId,
    text: Box<str>,
    /// Control and unknown tokens are plain text unless the caller asks for them; user-defined ones never are.
    on_request: bool,
    eats_left: bool,
    eats_right: bool,
}

impl Partition {
    /// `name` and `pre` decide which tokens eat the blanks around them, which GGUF cannot say.
    pub(crate) fn new(vocab: &Vocab, name: &str, pre: &str) -> Result<Self> {
        let name = name.to_ascii_lowercase();
        let is_phi3 = name.contains("phi-3") || name.contains("phi3");
        let is_jina = ["jina-v2-de", "jina-v2-es", "jina-v2-code"].iter().any(|jina| pre.contains(jina));
        let recognized = Kind::CONTROL.or(Kind::USER_DEFINED).or(Kind::UNKNOWN);
        let mut tokens: Vec<Whole> = vocab
            .iter()
            .filter(|(_, _, kind)| kind.is(recognized))
            .map(|(id, text, kind)| Whole {
                id,
                text: text.into(),
                on_request: kind.is(Kind::CONTROL.or(Kind::UNKNOWN)),
                eats_left: is_jina && text == "<mask>",
                eats_right: is_phi3 && !matches!(text, "<unk>" | "<s>" | "<|endoftext|>"),
            })
            .collect();
        tokens.sort_by_key(|token| std::cmp::Reverse(token.text.len()));
        let automaton = AhoCorasick::new(tokens.iter().map(|token| token.text.as_bytes())).map_err(|e| {
            Error::new(ErrorKind::Format, "the vocabulary's special tokens are too many or too long").with_source(e)
        })?;
        Ok(Self { tokens, automaton })
    }

    /// The fragments of `text` in order; no fragment is empty.
    pub(crate) fn split<'t>(&self, text: &'t str, with_special: bool) -> Vec<Fragment<'t>> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut present = vec![false; self.tokens.len()];
        for found in self.automaton.find_overlapping_iter(text) {
            if let Some(flag) = present.get_mut(found.pattern().as_usize()) {
                *flag = true;
            }
        }
        let mut fragments = vec![Fragment::Text(text)];
        let wanted =
            self.tokens.iter().zip(present).filter(|(token, present)| *present && (with_special || !token.on_request));
        for (token, _) in wanted {
            let finder = memmem::Finder::new(token.text.as_bytes());
            let mut finer = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => token.cut(&finder, text, &mut finer),
                    found => finer.push(found),
                }
            }
            fragments = finer;
        }
        fragments
    }
}

impl Whole {
    fn cut<'t>(&self, finder: &memmem::Finder<'_>, mut text: &'t str, out: &mut Vec<Fragment<'t>>) {
        // The blanks of C's `isspace`.
        const BLANKS: [char; 6] = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];
        while let Some(at) = finder.find(text.as_bytes()) {
            // A valid UTF-8 text is found in another only at whole characters.
            let Some((left, found)) = text.split_at_checked(at) else { break };
            let left = if self.eats_left { left.trim_end_matches(BLANKS) } else { left };
            let right = found.get(self.text.len()..).unwrap_or_default();
            out.extend((!left.is_empty()).then_some(Fragment::Text(left)));
            out.push(Fragment::Token(self.id));
            text = if self.eats_right { right.trim_start_matches(BLANKS) } else { right };
        }
        out.extend((!text.is_empty()).then_some(Fragment::Text(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::StrArray;
    use crate::limits::Limits;
    use crate::observe::Interrupt;
    use crate::text::VocabSource;

    fn partition(tokens: &[(&str, i32)], name: &str) -> Partition {
        let source = VocabSource {
            tokens: StrArray::from_strs(tokens.iter().map(|(text, _)| text)).unwrap(),
            token_type: Some(tokens.iter().map(|&(_, kind)| kind).collect()),
            ..VocabSource::default()
        };
        Partition::new(&Vocab::new(&source, &Limits::default(), &Interrupt::default()).unwrap(), name, "").unwrap()
    }

    #[test]
    fn the_longest_token_wins_wherever_it_stands() {
        use Fragment::{Text, Token};
        let p = partition(&[("ab", 3), ("bcd", 3), ("plain", 1)], "");
        assert_eq!(p.split("abcd plain ab", true), [Text("a"), Token(1), Text(" plain "), Token(0)]);
    }

    #[test]
    fn control_texts_are_text_unless_asked_for_but_user_defined_ones_never_are() {
        use Fragment::{Text, Token};
        let p = partition(&[("<a>", 3), ("<b>", 4)], "");
        assert_eq!(p.split("<a><b>", false), [Text("<a>"), Token(1)]);
        assert_eq!(p.split("<a><b>", true), [Token(0), Token(1)]);
        assert_eq!(p.split("", true), []);
    }

    #[test]
    fn special_tokens_of_phi3_eat_the_blanks_after_them() {
        use Fragment::{Text, Token};
        let p = partition(&[("<|user|>", 3), ("<s>", 3)], "Phi-3 mini");
        assert_eq!(p.split("<|user|> \n hi<s> x", true), [Token(0), Text("hi"), Token(1), Text(" x")]);
    }
}
