//! Tokens to text as they come, whole characters only.

use super::tokenizer::Tokenizer;
use crate::text::TokenId;

/// Turns tokens into text one by one. A token may end inside a character; its bytes wait for the rest, so that what has
/// been given out is valid text at any time. All pieces together equal the lossy UTF-8 reading of all bytes.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    waiting: Vec<u8>,
    text: String,
    render_special: bool,
    at_start: bool,
}

impl StreamDecoder {
    /// A decoder of a text from its beginning: the blank that SentencePiece puts first is not given out.
    pub fn new(render_special: bool) -> Self {
        Self { waiting: Vec::new(), text: String::new(), render_special, at_start: true }
    }

    /// A decoder of text that follows other text, such as an answer after its prompt: every blank counts.
    pub fn continuing(render_special: bool) -> Self {
        Self { at_start: false, ..Self::new(render_special) }
    }

    /// Adds a token; gives the text that is now certain, maybe none. Bytes that no character starts or continues with
    /// become U+FFFD.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: TokenId) -> &str {
        self.waiting.extend_from_slice(tokenizer.piece(id, self.render_special, &mut self.at_start));
        self.text.clear();
        let mut unfinished = 0;
        let mut chunks = self.waiting.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.text.push_str(chunk.valid());
            if chunks.peek().is_none() && may_continue(chunk.invalid()) {
                unfinished = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.waiting.drain(..self.waiting.len() - unfinished);
        &self.text
    }

    /// The end of the text: U+FFFD for a character that never came whole, else nothing.
    pub fn finish(self) -> &'static str {
        if self.waiting.is_empty() { "" } else { "\u{FFFD}" }
    }
}

/// Whether more bytes could still make these one character. They are the invalid rest at the end of a text, so that
/// the standard library calls them unfinished exactly when they are.
fn may_continue(rest: &[u8]) -> bool {
    !rest.is_empty() && std::str::from_utf8(rest).is_err_and(|e| e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::StrArray;
    use crate::limits::Limits;
    use crate::text::VocabSource;

    /// A tokenizer of single bytes only, so that every split of a text is a token sequence.
    fn bytes_only() -> Tokenizer {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "▁hi"].map(String::from).to_vec();
        tokens.extend((0..=255u8).map(|b| format!("<0x{b:02X}>")));
        let types = [2, 3, 3, 1].into_iter().chain([6; 256]).collect();
        let source = VocabSource {
            model: "llama".into(),
            tokens: StrArray::from_strs(tokens).unwrap(),
            token_type: Some(types),
            ..VocabSource::default()
        };
        Tokenizer::new(&source, &Limits::default()).unwrap()
    }

    fn stream(tokenizer: &Tokenizer, bytes: &[u8]) -> String {
        let mut decoder = StreamDecoder::continuing(false);
        let mut text = String::new();
        for &b in bytes {
            text.push_str(decoder.push(tokenizer, 4 + TokenId::from(b)));
        }
        text + decoder.finish()
    }

    #[test]
    fn no_half_character_is_ever_given_out() {
        let tokenizer = bytes_only();
        let text = "aé漢字😀👩‍👩‍👧\u{10FFFF}z";
        assert_eq!(stream(&tokenizer, text.as_bytes()), text);
        let mut decoder = StreamDecoder::continuing(false);
        let mut seen = 0;
        for (i, &b) in text.as_bytes().iter().enumerate() {
            seen += decoder.push(&tokenizer, 4 + TokenId::from(b)).len();
            let whole = (0..=i + 1).rev().find(|&at| text.is_char_boundary(at)).unwrap();
            assert_eq!(seen, whole, "after byte {i}");
        }
    }

    #[test]
    fn broken_bytes_read_as_the_standard_library_reads_them() {
        let tokenizer = bytes_only();
        let emoji = "a😀漢b".as_bytes();
        for from in 0..=emoji.len() {
            for to in from..=emoji.len() {
                let cut = [&emoji[..from], &emoji[to..]].concat();
                assert_eq!(stream(&tokenizer, &cut), String::from_utf8_lossy(&cut), "{from}..{to}");
            }
        }
        for bytes in [&b"\xff\xfe"[..], b"\xe0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3\xc3\xa9", b"\xf0\x9f"]
        {
            assert_eq!(stream(&tokenizer, bytes), String::from_utf8_lossy(bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn the_first_blank_of_sentencepiece_goes_only_at_the_start() {
        let tokenizer = bytes_only();
        let hi = tokenizer.find("▁hi").unwrap();
        let text = |mut decoder: StreamDecoder| [1, hi, hi].map(|id| decoder.push(&tokenizer, id).to_owned()).concat();
        assert_eq!(text(StreamDecoder::new(false)), "hi hi");
        assert_eq!(text(StreamDecoder::continuing(false)), " hi hi");
        assert_eq!(text(StreamDecoder::new(true)), "<s> hi hi");
        assert_eq!(tokenizer.decode(&[1, hi, hi], false), b"hi hi");
    }
}
