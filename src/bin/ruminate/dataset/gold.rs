//! What an answer is held against.

use std::fmt;

use ruminate::search::answer::Answer;

use super::expression;

/// The right answer, or what makes an answer right.
#[derive(Debug, Clone)]
pub enum Gold {
    /// One that means the same.
    Answer(Answer),
    /// An expression that uses every number once and has the target as its exact value.
    Puzzle { numbers: Vec<i64>, target: i64 },
}

impl Gold {
    /// Whether a vote for `answer` is right.
    pub fn accepts(&self, answer: &str) -> bool {
        match self {
            Self::Answer(gold) => Answer::parse(answer).is_some_and(|answer| answer == *gold),
            // A side of an equation may be the expression: `(1 + 1) * 12 = 24`.
            Self::Puzzle { numbers, target } => {
                answer.split('=').any(|side| expression::solves(side, numbers, *target))
            }
        }
    }

    /// Whether a search's answer is right, which it found in `text`. An expression is read from the text, because an answer
    /// is what stands right of an equals sign.
    pub fn accepts_found(&self, answer: Option<&str>, text: &str) -> bool {
        match self {
            Self::Answer(_) => answer.is_some_and(|answer| self.accepts(answer)),
            Self::Puzzle { .. } => {
                let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
                let marked = text.rsplit_once("####").and_then(|(_, rest)| rest.lines().next());
                let line = marked.unwrap_or(last);
                self.accepts(line.rsplit_once(':').map_or(line, |(_, rest)| rest))
            }
        }
    }
}

impl fmt::Display for Gold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => f.write_str(answer.text()),
            Self::Puzzle { numbers, target } => {
                let list = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
                write!(f, "{list} = {target}")
            }
        }
    }
}
