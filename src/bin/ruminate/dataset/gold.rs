//! What an answer is held against.

use std::fmt;

use ruminate::reward::verify::{Countdown, Expression, Number, Verifier, VerifierJudge};

/// The right answer as a reader is shown it, and what decides.
#[derive(Debug, Clone)]
pub struct Gold {
    shown: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Number(Number),
    Expression(Expression),
    Puzzle(Countdown),
}

impl Gold {
    /// A number, or a short text.
    pub fn number(text: &str) -> ruminate::Result<Self> {
        Ok(Self { shown: text.trim().to_owned(), rule: Rule::Number(Number::new(text)?) })
    }

    /// An expression, which may be written in many ways.
    pub fn expression(text: &str) -> ruminate::Result<Self> {
        Ok(Self { shown: text.trim().to_owned(), rule: Rule::Expression(Expression::new(text)?) })
    }

    /// A sum over all of these numbers.
    pub fn puzzle(numbers: &[i64], target: i64) -> ruminate::Result<Self> {
        let list = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        Ok(Self { shown: format!("{list} = {target}"), rule: Rule::Puzzle(Countdown::new(numbers, target, true)?) })
    }

    /// Whether a vote for `answer` is right.
    pub fn accepts(&self, answer: &str) -> bool {
        self.verifier().is_right(answer)
    }

    /// Whether a search's answer is right, which it found in `text`. A puzzle's is read from the text, because the answer of a
    /// search is what stands right of an equals sign.
    pub fn accepts_found(&self, answer: Option<&str>, text: &str) -> bool {
        match &self.rule {
            Rule::Puzzle(puzzle) => puzzle.find(text).is_some_and(|sum| puzzle.is_right(&sum)),
            _ => answer.is_some_and(|answer| self.accepts(answer)),
        }
    }

    /// A judge that knows the puzzle's rules and no solution of it; `None` where the answer is given.
    pub fn puzzle_judge(&self) -> Option<VerifierJudge<Countdown>> {
        match &self.rule {
            Rule::Puzzle(puzzle) => Some(VerifierJudge::new(puzzle.clone())),
            _ => None,
        }
    }

    /// What decides.
    pub fn verifier(&self) -> &dyn Verifier {
        match &self.rule {
            Rule::Number(number) => number,
            Rule::Expression(expression) => expression,
            Rule::Puzzle(puzzle) => puzzle,
        }
    }
}

impl fmt::Display for Gold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
