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
        let options = EncodeOptions { add_special: false, parse_special: true };
        let mut prompt = tokenizer.encode(&self.prompt, options)?;
        if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.add_bos() && prompt.first() != Some(bos)) {
            prompt.insert(0, bos);
        }
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
