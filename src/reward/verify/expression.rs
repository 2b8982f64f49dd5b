//! [`Expression`]: answers in LaTeX or plain notation that may be written in many ways.

mod lex;
mod value;

use self::lex::{Token, tokens};
use self::value::{Point, exactly, value};
use super::Verifier;
use crate::error::{Error, Result};
use crate::reward::answer::Answer;

/// Bytes of an answer, at most; longer ones are no answers.
const MAX_BYTES: usize = 2_000;
/// Points at which expressions with variables are compared, and how many of them have to be defined.
const POINTS: usize = 12;
const DEFINED: usize = 4;
/// Lists inside each other, at most; answers have two.
const DEPTH: usize = 8;
/// Largest difference, relative to the larger value, that rounding explains.
const TOLERANCE: f64 = 1e-9;
/// Largest difference of values near zero that rounding explains, relative to the largest number that was added up, if that is below 1.
const CANCELLED: f64 = 1e-12;

/// Right is what has the same value: texts as [`Answer`] compares them, numbers and sums, products, powers and simple fractions of
/// numbers exactly, and expressions with roots, `\pi`, `e`, variables or the usual functions by NUMERIC SAMPLING: both are computed in
/// double precision at up to 12 fixed points, and have to agree to 1e-9 wherever they are defined, and be defined at the same
/// points. Two different expressions that agree there would be taken for equal; none of a textbook's are that close.
///
/// `(a, b)` and `[a, b)` are compared part by part with their brackets, `\{a, b\}` and `a, b` in any order; parts may be lists too. What
/// is left of an `=` counts for nothing when it is one letter or a function of one. Two words of more than one letter, such as `no`
/// and `on`, are texts and no products.
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
        _ if is_word(a) && is_word(b) => same_text(),
        (Some(left), Some(right)) => {
            compare(right_of_equals(&left), right_of_equals(&right), DEPTH).unwrap_or_else(same_text)
        }
        _ => same_text(),
    }
}

fn is_word(text: &str) -> bool {
    let text = text.trim().trim_end_matches('.');
    text.chars().count() > 1 && text.chars().all(char::is_alphabetic)
}

/// `x = 5` means 5, and `f(x) = x + 1` means x + 1.
fn right_of_equals(tokens: &[Token]) -> &[Token] {
    match tokens {
        [Token::Variable(_), Token::Equals, rest @ ..] => rest,
        [Token::Variable(_), Token::Open('('), Token::Variable(_), Token::Close(')'), Token::Equals, rest @ ..] => rest,
        all => all,
    }
}

/// `None` when one of them cannot be read, is defined nowhere, or has lists more than `depth` deep.
fn compare(a: &[Token], b: &[Token], depth: usize) -> Option<bool> {
    let (a, b) = (Parts::of(a), Parts::of(b));
    if let ([a], [b], None, None) = (a.items.as_slice(), b.items.as_slice(), a.brackets, b.brackets) {
        return same(a, b);
    }
    if a.brackets != b.brackets || a.items.len() != b.items.len() {
        return Some(false);
    }
    let depth = depth.checked_sub(1)?;
    if matches!(a.brackets, Some(('(' | '[', _))) {
        let mut parts = a.items.iter().zip(&b.items).map(|(a, b)| compare(a, b, depth));
        return parts.try_fold(true, |all, one| Some(all && one?));
    }
    let mut left = b.items;
    for item in a.items {
        let found: Vec<Option<bool>> = left.iter().map(|other| compare(item, other, depth)).collect();
        match found.iter().position(|same| *same == Some(true)) {
            Some(at) => drop(left.swap_remove(at)),
            None if found.contains(&None) => return None,
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

/// Whether two expressions agree exactly, or else at the points where they are defined.
fn same(a: &[Token], b: &[Token]) -> Option<bool> {
    let variables = a.iter().chain(b).any(|token| matches!(token, Token::Variable(_)));
    let points = if variables { POINTS } else { 1 };
    let exact = exactly(a).zip(exactly(b));
    let mut defined = 0;
    for point in (0..points).map(Point) {
        let (left, right) = (value(a, point)?, value(b, point)?);
        if let Some((a, b)) = exact {
            return Some(a == b);
        }
        let (x, y) = (left.value, right.value);
        match (x.is_finite(), y.is_finite()) {
            (true, true) => defined += 1,
            (false, false) => continue,
            _ => return Some(false),
        }
        let slack = CANCELLED * left.largest.max(right.largest).min(1.0);
        if (x - y).abs() > slack.max(TOLERANCE * x.abs().max(y.abs())) {
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
            &["2147483648", "2^{31}", "\\frac{4294967296}{2}", "2147483647\\frac{2}{2}"],
            &["2147483647", "2^31 - 1"],
            &["(2147483648, 1)"],
            &["(2147483647, 1)"],
            &["1.6 \\times 10^{-19}"],
            &["\\sqrt{2} \\times 10^{-19}"],
            &["0"],
            &["7", "2*3\\frac{7}{6}"],
            &["(1,2),(3,4)", "(3,4), (1, \\frac{4}{2})"],
            &["(1,2),(4,3)"],
            &["\\{(0,1), 5\\}", "\\{5, (0, 1)\\}"],
            &["((1,2),3)"],
            &["No", "no", "no.", "\\text{No}"],
            &["on"],
            &["x + y + z = 0", "x+y+z=0"],
            &["2x - y + 2z + 5 = 0"],
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
    fn what_rounding_leaves_of_a_difference_is_zero() {
        let zero = Expression::new("0").unwrap();
        for near in ["\\sin \\pi", "\\sqrt{2} - 2^{1/2}", "\\ln 1", "(\\sqrt{2})^2 - 2"] {
            assert!(zero.is_right(near), "{near}");
        }
        for far in ["\\sqrt{2} / 10^{13}", "\\pi + 10^{20} - 10^{20} - 3", "\\sqrt{10^{-30}}"] {
            assert!(!zero.is_right(far), "{far}");
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
        assert!(right("(1, y = 2), 3", "(1, y=2), 3"));
        let nested = |n: usize| format!("{}1{}", "(0,".repeat(n), ")".repeat(n));
        assert!(right(&nested(5), &nested(5).replace(",", ", ")) && !right(&nested(5), &nested(6)));
        assert!(right(&nested(400), &nested(400)) && !right(&nested(400), &nested(399)));
    }
}
