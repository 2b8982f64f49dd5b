//! One text made of parts, not all of which may speak by control tokens.

use super::Tokenizer;
use crate::error::Result;
use crate::text::TokenId;
use crate::text::bpe::Scratch;
use crate::text::partition::Fragment;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'t> {
    /// The words.
    pub text: &'t str,
    /// Names of control tokens in it are read as those tokens. Off for text of unknown origin.
    pub trusted: bool,
}

/// A text as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The ids of the whole text.
    pub tokens: Vec<TokenId>,
    /// For each part how many of the ids stand for the text up to its end; `None` where no token ends there.
    pub ends: Vec<Option<usize>>,
}

enum Piece {
    /// A special token.
    Token(TokenId),
    /// What stands between special tokens.
    Text(String),
}

impl Tokenizer {
    /// The ids of the text that `parts` are together: words may begin in one part and end in the next. With `starts` it is
    /// read as a text from its beginning, without as one that goes on from other text. Nothing is put before or behind it.
    pub fn encode_parts(&self, parts: &[Part<'_>], starts: bool) -> Result<Encoded> {
        self.check_length(parts.iter().map(|part| part.text.len()).sum())?;
        // For each part the pieces up to its end, and where in the last of them it ends.
        let mut pieces: Vec<Piece> = Vec::new();
        let mut borders = Vec::with_capacity(parts.len());
        for part in parts {
            for fragment in self.partition.split(part.text, part.trusted) {
                match (fragment, pieces.last_mut()) {
                    (Fragment::Token(id), _) => pieces.push(Piece::Token(id)),
                    (Fragment::Text(more), Some(Piece::Text(text))) => text.push_str(more),
                    (Fragment::Text(text), _) => pieces.push(Piece::Text(text.to_owned())),
                }
            }
            let offset = if let Some(Piece::Text(text)) = pieces.last() { text.len() } else { 0 };
            borders.push((pieces.len(), offset));
        }
        let (mut encoded, mut scratch, mut after_special) = (Encoded::default(), Scratch::default(), starts);
        let mut borders = borders.into_iter().peekable();
        while let Some(&(0, _)) = borders.peek() {
            borders.next();
            encoded.ends.push(Some(0));
        }
        for (index, piece) in pieces.iter().enumerate() {
            let from = encoded.tokens.len();
            match piece {
                Piece::Token(id) => encoded.tokens.push(*id),
                Piece::Text(text) => self.append_text(text, after_special, &mut scratch, &mut encoded.tokens)?,
            }
            after_special = matches!(piece, Piece::Token(_));
            while let Some((_, offset)) = borders.next_if(|&(count, _)| count == index + 1) {
                let end = match piece {
                    Piece::Text(text) if offset < text.len() => {
                        let own = encoded.tokens.get(from..).unwrap_or_default();
                        self.tokens_until(offset, text.len(), own).map(|count| from + count)
                    }
                    _ => Some(encoded.tokens.len()),
                };
                encoded.ends.push(end);
            }
        }
        Ok(encoded)
    }

    /// How many of `tokens`, which stand for a text of `len` bytes, stand for its first `offset` bytes.
    fn tokens_until(&self, offset: usize, len: usize, tokens: &[TokenId]) -> Option<usize> {
        let lengths: Vec<usize> = tokens.iter().map(|&id| self.token_bytes(id).map_or(0, <[u8]>::len)).collect();
        // SentencePiece may have put one blank first. Where lengths do not add up there are unknown words.
        let prefix = lengths.iter().sum::<usize>().checked_sub(len).filter(|&prefix| prefix <= 1)?;
        let mut reached = 0;
        for (count, length) in lengths.into_iter().enumerate() {
            if reached == offset + prefix {
                return Some(count);
            }
            reached += length;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::StrArray;
    use crate::limits::Limits;
    use crate::text::{EncodeOptions, VocabSource};

    /// Bytes, some words, and `<turn>`; SentencePiece with its blank in front.
    fn tokenizer() -> Tokenizer {
        let words = ["▁one", "▁two", "s\n", "wo", "▁t", "▁tw", "▁o", "▁on"];
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "<turn>"].map(String::from).to_vec();
        tokens.extend(words.map(String::from));
        tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
        let token_type = Some([2, 3, 3, 3].into_iter().chain([1; 8]).chain([6; 256]).collect());
        let scores =
            Some([0.0; 4].into_iter().chain([3.0, 3.0, 2.0, 1.0, 1.0, 2.0, 1.0, 2.0]).chain([0.0; 256]).collect());
        let source = VocabSource {
            model: "llama".into(),
            tokens: StrArray::from_strs(tokens).unwrap(),
            token_type,
            scores,
            bos_token_id: Some(1),
            ..VocabSource::default()
        };
        Tokenizer::new(&source, &Limits::default()).unwrap()
    }

    fn part(text: &str, trusted: bool) -> Part<'_> {
        Part { text, trusted }
    }

    #[test]
    fn parts_are_one_text_and_ends_are_known_where_tokens_end() {
        let tokenizer = tokenizer();
        let parts =
            [part("", true), part("<turn>one two", true), part("s\nx", false), part("<turn>", true), part("", false)];
        let encoded = tokenizer.encode_parts(&parts, true).unwrap();
        let options = EncodeOptions { add_special: false, parse_special: true };
        assert_eq!(encoded.tokens, tokenizer.encode("<turn>one twos\nx<turn>", options).unwrap());
        let at = encoded.ends[1].unwrap();
        assert_eq!(tokenizer.decode(&encoded.tokens[..at], true), b"<turn> one two");
        assert_eq!(encoded.ends[0], Some(0));
        let len = encoded.tokens.len();
        assert_eq!(encoded.ends[2..], [Some(len - 1), Some(len), Some(len)]);
        // A word across the border: no token ends there.
        let split = tokenizer.encode_parts(&[part("one t", true), part("wo", true)], true).unwrap();
        assert_eq!(split.tokens, tokenizer.encode("one two", options).unwrap());
        assert_eq!(split.ends, [None, Some(split.tokens.len())]);
    }

    #[test]
    fn a_part_of_unknown_origin_names_no_control_tokens() {
        let tokenizer = tokenizer();
        let turn = tokenizer.find("<turn>").unwrap();
        let count = |trusted| {
            let encoded = tokenizer.encode_parts(&[part("<turn>a", true), part("<turn>b", trusted)], true).unwrap();
            encoded.tokens.iter().filter(|&&token| token == turn).count()
        };
        assert_eq!((count(true), count(false)), (2, 1));
        // Not even by a name that begins in a part which may.
        let across = tokenizer.encode_parts(&[part("<tu", true), part("rn>", false)], true).unwrap();
        assert!(!across.tokens.contains(&turn));
    }

    #[test]
    fn text_that_goes_on_gets_no_blank_in_front() {
        let tokenizer = tokenizer();
        for text in ["one", " one"] {
            let encoded = tokenizer.encode_parts(&[part(text, false)], false).unwrap();
            assert_eq!(encoded.tokens, tokenizer.encode_more(text, false).unwrap());
        }
    }
}
