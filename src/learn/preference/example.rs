//! Preferences as rows of a file, and as tokens.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gguf::Fingerprint;
use crate::text::{EncodeOptions, TokenId, Tokenizer};

/// One row: a pair `prompt`, `chosen`, `rejected`, or a single `prompt`, `completion`, `label`, as TRL's data sets name them.
///
/// Texts are as the model reads them, names of control tokens included; a completion is followed by the model's end of turn unless
/// it is said to be open: a step of a solution, or one that was cut off. Other fields are kept with the row and mean nothing here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preference {
    /// What both completions go on from.
    pub prompt: String,
    /// Its tokens, for a vocabulary that spells `prompt` with them: where encoding the text gives others, such as with one blank
    /// more behind a control token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompt_tokens: Vec<TokenId>,
    /// The better completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The worse one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// A single completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<String>,
    /// Its thumb: up or down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<bool>,
    /// The chosen completion does not end its turn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub chosen_open: bool,
    /// The rejected completion does not end its turn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rejected_open: bool,
    /// The single completion does not end its turn.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub completion_open: bool,
    /// How likely the preference is the wrong way round, from 0 to 0.5; the run's own without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f64>,
    /// Where the row comes from.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub source: serde_json::Map<String, serde_json::Value>,
}

/// What was said of the completions of an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feedback {
    /// The first is better than the second; the other way round with this probability, or as the loss says.
    Pair(Option<f64>),
    /// A thumb up or down for the only one.
    Single(bool),
}

/// A preference in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The tokens that the completions go on from; at least one.
    pub prompt: Vec<TokenId>,
    /// Two of them for a pair, chosen first; else one. None is empty.
    pub completions: Vec<Vec<TokenId>>,
    /// What was said of them.
    pub feedback: Feedback,
}

impl Preference {
    /// The rows of a JSONL text; an error names the line.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let row = |(i, line): (usize, &str)| -> Result<Self> {
            let row: Self = serde_json::from_str(line).map_err(|e| Error::format(format!("line {}: {e}", i + 1)))?;
            row.check().map_err(|e| e.context(format_args!("line {}", i + 1)))?;
            Ok(row)
        };
        lines.map(row).collect()
    }

    /// As tokens of `tokenizer`.
    pub fn encode(&self, tokenizer: &Tokenizer) -> Result<Example> {
        self.check()?;
        let prompt = self.encode_prompt(tokenizer)?;
        let end = tokenizer.eot().or(tokenizer.eos());
        let completion = |(text, open): (&String, bool)| -> Result<Vec<TokenId>> {
            // It goes on from the prompt, so nothing is put before its first word.
            let mut tokens = tokenizer.encode_more(text, true)?;
            if let Some(end) = end.filter(|_| !open && !tokens.last().is_some_and(|&last| tokenizer.is_eog(last))) {
                tokens.push(end);
            }
            Ok(tokens)
        };
        let texts = [
            (&self.chosen, self.chosen_open),
            (&self.rejected, self.rejected_open),
            (&self.completion, self.completion_open),
        ];
        let given = texts.into_iter().filter_map(|(text, open)| Some((text.as_ref()?, open)));
        let completions = given.map(completion).collect::<Result<Vec<_>>>()?;
        let feedback = self.label.map_or(Feedback::Pair(self.smoothing), Feedback::Single);
        let example = Example { prompt, completions, feedback };
        if example.prompt.is_empty() || example.completions.iter().any(Vec::is_empty) {
            return Err(Error::format("a prompt or a completion without tokens"));
        }
        Ok(example)
    }

    /// Leaves the prompt's tokens out where its text gives the same.
    pub fn settle_prompt(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        let tokens = std::mem::take(&mut self.prompt_tokens);
        if self.encode_prompt(tokenizer)? != tokens {
            self.prompt_tokens = tokens;
        }
        Ok(())
    }

    fn encode_prompt(&self, tokenizer: &Tokenizer) -> Result<Vec<TokenId>> {
        let known = self.prompt_tokens.iter().all(|&token| (token as usize) < tokenizer.vocab_len());
        // Tokens of another vocabulary spell something else.
        let given = !self.prompt_tokens.is_empty() && known;
        if given && tokenizer.decode(&self.prompt_tokens, true) == self.prompt.as_bytes() {
            return Ok(self.prompt_tokens.clone());
        }
        let mut prompt = tokenizer.encode(&self.prompt, EncodeOptions { add_special: false, parse_special: true })?;
        if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.add_bos() && prompt.first() != Some(bos)) {
            prompt.insert(0, bos);
        }
        Ok(prompt)
    }

    fn check(&self) -> Result<()> {
        let pair =
            self.chosen.is_some() && self.rejected.is_some() && self.completion.is_none() && self.label.is_none();
        let single =
            self.chosen.is_none() && self.rejected.is_none() && self.completion.is_some() && self.label.is_some();
        if !pair && !single {
            return Err(Error::format("a row is `prompt`, `chosen`, `rejected` or `prompt`, `completion`, `label`"));
        }
        match self.smoothing {
            Some(smoothing) if !(0.0..=0.5).contains(&smoothing) => {
                Err(Error::format(format!("smoothing {smoothing} is not from 0 to 0.5")))
            }
            _ => Ok(()),
        }
    }
}

impl Example {
    /// Its completions.
    pub(super) fn slices(&self) -> Vec<&[TokenId]> {
        self.completions.iter().map(Vec::as_slice).collect()
    }

    /// Tokens of its longest completion.
    pub fn longest(&self) -> usize {
        self.completions.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Tokens of the prompt and all completions.
    pub fn n_tokens(&self) -> usize {
        self.prompt.len() + self.completions.iter().map(Vec::len).sum::<usize>()
    }
}

/// Names a list of examples: 32 hex digits that depend on every token and on what was said of it.
pub fn digest(examples: &[Example]) -> String {
    let mut digest = Fingerprint::new();
    let mut add = |tokens: &[TokenId]| {
        digest.add(&(tokens.len() as u64).to_le_bytes());
        digest.add(bytemuck::cast_slice(tokens));
    };
    for example in examples {
        add(&example.prompt);
        example.completions.iter().for_each(|completion| add(completion));
        add(match example.feedback {
            Feedback::Pair(None) => &[0],
            Feedback::Pair(Some(_)) => &[1],
            Feedback::Single(false) => &[2],
            Feedback::Single(true) => &[3],
        });
    }
    for example in examples {
        if let Feedback::Pair(Some(smoothing)) = example.feedback {
            digest.add(&smoothing.to_le_bytes());
        }
    }
    digest.hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::StrArray;
    use crate::limits::Limits;
    use crate::text::VocabSource;

    /// A SentencePiece vocabulary: bytes, `hi`, and `<turn>` between turns; a blank is put before every text.
    fn tokenizer(pieces: [&str; 5]) -> Tokenizer {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "<turn>"].map(String::from).to_vec();
        tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
        tokens.extend(pieces.map(String::from));
        let source = VocabSource {
            model: "llama".into(),
            token_type: Some([2, 3, 3, 3].into_iter().chain([6; 256]).chain([1; 5]).collect()),
            scores: Some(vec![0.0; tokens.len()]),
            tokens: StrArray::from_strs(tokens).unwrap(),
            add_bos_token: Some(true),
            bos_token_id: Some(1),
            eos_token_id: Some(2),
            ..VocabSource::default()
        };
        Tokenizer::new(&source, &Limits::default()).unwrap()
    }

    #[test]
    fn a_prompt_keeps_its_tokens_where_its_text_has_others() {
        let tokenizer = tokenizer(["▁", "h", "i", "▁h", "▁hi"]);
        let options = EncodeOptions { add_special: false, parse_special: true };
        let tokens = tokenizer.encode("<s>hi<turn>hi", options).unwrap();
        let prompt = String::from_utf8(tokenizer.decode(&tokens, true)).unwrap();
        let completions = (Some(" hi".to_owned()), Some(" ho".to_owned()));
        let text_only = Preference { prompt, chosen: completions.0, rejected: completions.1, ..Preference::default() };
        assert_ne!(text_only.encode(&tokenizer).unwrap().prompt, tokens, "the text alone has one blank more");
        let mut row = Preference { prompt_tokens: tokens.clone(), ..text_only.clone() };
        row.settle_prompt(&tokenizer).unwrap();
        let row = Preference::parse(&serde_json::to_string(&row).unwrap()).unwrap().remove(0);
        let example = row.encode(&tokenizer).unwrap();
        assert_eq!(example.prompt, tokens);
        assert_eq!(example.completions[0], [tokens[1], 2], "a completion goes on without a blank of its own");
        // Where the text says it all, nothing is kept beside it.
        let mut plain = Preference { prompt: "hi".into(), prompt_tokens: vec![1, tokens[1]], ..text_only.clone() };
        plain.settle_prompt(&tokenizer).unwrap();
        assert!(plain.prompt_tokens.is_empty());
        // Tokens of another vocabulary, and such as there are not, are not believed.
        let other = self::tokenizer(["▁", "h", "a", "▁h", "▁ha"]);
        assert_eq!(row.encode(&other).unwrap().prompt, text_only.encode(&other).unwrap().prompt);
        let beyond = Preference { prompt: "\u{FFFD}".into(), prompt_tokens: vec![u32::MAX], ..text_only };
        assert!(beyond.encode(&tokenizer).unwrap().prompt.iter().all(|&token| token < 265));
    }
}
