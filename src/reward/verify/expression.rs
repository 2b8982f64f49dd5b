//! [`Expression`]: answers in LaTeX or plain notation that may be written in many ways.

mod lex;
mod value;

use self::lex::{Token, tokens};
use self::value::{Point, value};
use super::Verifier;
use crate::error::{Error, Result};
use crate::reward::answer::Answer;

/// Bytes of an answer, at most; longer ones are no answers.
const MAX_BYTES: usize = 2_000;
/// Points at which expressions with variables are compared, and how many of them have to be defined.
const POINTS: usize = 12;
const DEFINED: usize = 4;
/// Largest difference, relative to the larger value, that rounding explains.
const TOLERANCE: f64 = 1e-9;

/// Right is what has the same value: numbers and texts as [`Answer`] compares them (numbers exactly), and expressions of
/// `+ - * / ^`, `\frac`, `\sqrt`, `\pi`, `e`, variables and the usual functions by NUMERIC SAMPLING: both are computed in double
/// precision at up to 12 fixed points, and have to agree to 1e-9 wherever they are defined, and be defined at the same
/// points. Two different expressions that agree there would be taken for equal; none of a textbook's are that close.
///
/// `(a, b)` and `[a, b)` are compared part by part with their brackets, `\{a, b\}` and `a, b` in any order. What is left of an
/// `=` counts for nothing when it is one letter or a function of one.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
}

impl Expression {
    /// The right answer; an error for an empty or overlong one.
    pub fn new(expected: &str) -> Result<Self> {
        if expected.trim().is_empty() || expected.len() > MAX_BYTES {
            let n = expected.len();
            return Err(Error::invalid(format!("a reference answer of {n} bytes; 1 to {MAX_BYTES} are possible")));
        }
        Ok(Self { text: expected.to_owned() })
    }
}

impl Verifier for Expression {
    fn name(&self) -> &str {
        "expression"
    }

    fn is_right(&self, answer: &str) -> bool {
        equal(&self.text, answer)
    }
}

/// Whether two answers mean the same.
fn equal(a: &str, b: &str) -> bool {
    if a.len() > MAX_BYTES || b.len() > MAX_BYTES {
        return false;
    }
    let same_text = || Answer::parse(a).is_some_and(|a| Answer::parse(b).is_some_and(|b| a == b));
    match (tokens(a), tokens(b)) {
        (Some(left), Some(right)) => compare(right_of_equals(&left), right_of_equals(&right)).unwrap_or_else(same_text),
        _ => same_text(),
    }
}

/// `x = 5` means 5, and `f(x) = x + 1` means x + 1.
fn right_of_equals(tokens: &[Token]) -> &[Token] {
    match tokens {
        [Token::Variable(_), Token::Equals, rest @ ..] => rest,
        [Token::Variable(_), Token::Open('('), Token::Variable(_), Token::Close(')'), Token::Equals, rest @ ..] => rest,
        all => all,
    }
}

/// `None` when one of them cannot be read or is defined nowhere.
fn compare(a: &[Token], b: &[Token]) -> Option<bool> {
    let (a, b) = (Parts::of(a), Parts::of(b));
    if let ([a], [b], None, None) = (a.items.as_slice(), b.items.as_slice(), a.brackets, b.brackets) {
        return same(a, b);
    }
    if a.brackets != b.brackets || a.items.len() != b.items.len() {
        return Some(false);
    }
    if matches!(a.brackets, Some(('(' | '[', _))) {
        return a.items.iter().zip(&b.items).map(|(a, b)| same(a, b)).try_fold(true, |all, one| Some(all && one?));
    }
    let mut left = b.items;
    for item in a.items {
        let found = left.iter().position(|other| same(item, other) == Some(true));
        match found {
            Some(at) => drop(left.swap_remove(at)),
            None => return Some(false),
        }
    }
    Some(true)
}

/// A list with its brackets, or one expression without.
struct Parts<'a> {
    brackets: Option<(char, char)>,
    items: Vec<&'a [Token]>,
}

impl<'a> Parts<'a> {
    fn of(tokens: &'a [Token]) -> Self {
        if let [Token::Open(open @ ('(' | '[' | '\u{27E8}')), inner @ .., Token::Close(close)] = tokens {
            let items = split(inner);
            // (x) is x in parentheses, \{x\} a set.
            if let Some(items) = items.filter(|items| items.len() > 1 || *open == '\u{27E8}') {
                return Self { brackets: Some((*open, *close)), items };
            }
        }
        match split(tokens) {
            Some(items) if items.len() > 1 => Self { brackets: Some((',', ',')), items },
            _ => Self { brackets: None, items: vec![tokens] },
        }
    }
}

/// The parts between commas outside of brackets; `None` when the brackets do not match.
fn split(tokens: &[Token]) -> Option<Vec<&[Token]>> {
    let (mut items, mut depth, mut from) = (Vec::new(), 0usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth = depth.checked_sub(1)?,
            Token::Comma if depth == 0 => {
                items.push(tokens.get(from..at)?);
                from = at + 1;
            }
            _ => {}
        }
    }
    items.push(tokens.get(from..)?);
    (depth == 0).then_some(items)
}

/// Whether two expressions agree at the points where they are defined.
fn same(a: &[Token], b: &[Token]) -> Option<bool> {
    let variables = a.iter().chain(b).any(|token| matches!(token, Token::Variable(_)));
    let points = if variables { POINTS } else { 1 };
    let mut defined = 0;
    for point in (0..points).map(Point) {
        let (x, y) = (value(a, point)?, value(b, point)?);
        match (x.is_finite(), y.is_finite()) {
            (true, true) => defined += 1,
            (false, false) => continue,
            _ => return Some(false),
        }
        if (x - y).abs() > TOLERANCE * x.abs().max(y.abs()).max(1e-300) && (x - y).abs() > 1e-12 {
            return Some(false);
        }
    }
    (defined >= DEFINED.min(points)).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_equal_and_nothing_else() {
        let classes: &[&[&str]] = &[
            &[
                "1/2",
                "0.5",
                "\\frac{1}{2}",
                "\\frac12",
                "$\\dfrac{1}{2}$",
                "x = 1/2",
                "\\left(\\frac{1}{2}\\right)",
                "2^{-1}",
            ],
            &["\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}}", "1/sqrt(3)", "3^{-1/2}", "\\frac{\\sqrt 3}{3}"],
            &["2\\pi", "2 \\cdot \\pi", "\\pi \\times 2", "2pi", "6\\pi/3"],
            &["(x+1)^2", "x^2 + 2x + 1", "(1+x)(x+1)", "f(x) = x^2+2x+1"],
            &["(1, 2)", "\\left(1, \\frac{4}{2}\\right)"],
            &["(2, 1)"],
            &["[1, 2)", "[1,\\sqrt{4})"],
            &["1, 2", "2, 1", "2,\\ 1"],
            &["\\{1, 2\\}", "\\{2,1\\}"],
            &["\\sqrt[3]{2}", "2^{1/3}"],
            &["1\\frac{1}{2}", "1.5", "3/2"],
            &["-x", "x*(-1)", "-(x)"],
            &["x^2 y", "y x^2", "x x y"],
            &["\\sin(x)^2 + \\cos(x)^2 + 1", "2"],
            &["\\ln 8", "3\\ln 2"],
            &["90^\\circ", "90", "90°"],
            &["e^2"],
            &["10\\%", "10"],
            &["\\log_2 8", "3"],
            &["\\text{Monday}", "monday"],
            &["12,345", "12345"],
            &["3.14"],
            &["\\pi"],
            &["1.0000001"],
            &["1"],
        ];
        for (i, class) in classes.iter().enumerate() {
            for a in *class {
                for (j, other) in classes.iter().enumerate() {
                    for b in *other {
                        assert_eq!(Expression::new(a).unwrap().is_right(b), i == j, "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_compared_as_text_or_wrong() {
        let right = |a: &str, b: &str| Expression::new(a).unwrap().is_right(b);
        assert!(right("no solution", "No solution.") && !right("no solution", "5"));
        assert!(right("x \\in A", "x\\in A") && !right("\\infty", "5"));
        assert!(!right("1/2", "") && !right("1/0", "2/0") && !right("5", "5 +") && !right("5", "(5"));
        assert!(Expression::new("").is_err() && Expression::new(&"1".repeat(3000)).is_err());
        for part in ["(", "\\frac{", "\\sqrt{", "-", "2^", "((", "{", "\\sin ", "x", "1,"] {
            assert!(!right("7", &part.repeat(MAX_BYTES / part.len())), "{part}");
        }
        assert!(!right("7", &"7".repeat(3 * MAX_BYTES)));
    }
}
