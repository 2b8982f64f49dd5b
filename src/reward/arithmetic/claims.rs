//! Where a text claims that two sums are equal.

use crate::reward::answer::{Rational, SCALES, decimal};
use crate::reward::exact::{Token, evaluate, symbol};

/// Parts of one side, at most; longer ones are no sums that a person wrote.
const MAX_PARTS: usize = 256;
/// Words that may stand behind a number as its unit.
const UNIT_WORDS: usize = 4;
/// Units in hundredths, which with [`SCALES`] make another number of the one before them, so that it cannot be computed with.
const HUNDREDTHS: [&str; 3] = ["percent", "cent", "cents"];

/// Words that end what a number counts, so that they are no unit of it.
const STOPS: [&str; 20] = [
    "is", "are", "was", "were", "be", "so", "and", "or", "then", "has", "have", "had", "because", "since", "that",
    "makes", "gives", "equals", "means", "costs",
];
/// Decimals that count: what a program printed has more, with the error of its last bits.
const MAX_DECIMALS: u32 = 9;

/// What a text consists of, for this purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Part(Token),
    /// A number with so many digits behind the point.
    Number(Rational, u32),
    /// `=`, or with `true` a sign that says that it holds nearly.
    Equals(bool),
    /// A word that may be a unit.
    Word,
    /// `of`, which multiplies behind a percentage.
    Of,
    /// A variable, a function, or a word that changes numbers: what touches it is no sum.
    Unknown,
    /// Anything else.
    Break,
}

/// For every claim of `text`, in order, whether it holds.
pub(super) fn claims(text: &str) -> Vec<bool> {
    let mut found = Vec::new();
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    // A mark `<<sum>>` claims for itself and is passed over by the sentence around it.
    while let Some((head, behind)) = rest.split_once(">>") {
        match head.rsplit_once("<<") {
            Some((before, mark)) => {
                plain.push_str(before);
                line_claims(mark, &mut found);
            }
            None => plain.push_str(head),
        }
        rest = behind;
    }
    plain.push_str(rest);
    plain.lines().for_each(|line| line_claims(line, &mut found));
    found
}

fn line_claims(line: &str, found: &mut Vec<bool>) {
    let pieces = without_units(&pieces(line));
    let mut sides = pieces.split(|piece| matches!(piece, Piece::Equals(_)));
    let nearly = pieces.iter().filter_map(|piece| if let Piece::Equals(nearly) = piece { Some(*nearly) } else { None });
    let Some(mut left) = sides.next().and_then(Side::ending) else {
        // The first side cannot be read; the ones behind it may claim for themselves.
        return rest_of_chain(None, sides, nearly, found);
    };
    left.starts_chain = true;
    rest_of_chain(Some(left), sides, nearly, found);
}

fn rest_of_chain<'a>(
    mut left: Option<Side>,
    sides: impl Iterator<Item = &'a [Piece]>,
    nearly: impl Iterator<Item = bool>,
    found: &mut Vec<bool>,
) {
    for (side, nearly) in sides.zip(nearly) {
        let right = Side::beginning(side);
        if let (Some(left), Some(right)) = (&left, &right) {
            // A lone number that begins a chain may be the name of something: "Day 2 = 2 * 4".
            let is_claim = if left.starts_chain { left.is_sum } else { left.is_sum || right.is_sum };
            found.extend(is_claim.then(|| left.equals(right, nearly)).flatten());
        }
        // What the next `=` compares: this side if it is one sum, else the sum that it ends with.
        left = match right {
            Some(right) if right.is_whole => Some(right),
            _ => Side::ending(side).map(|side| Side { starts_chain: true, ..side }),
        };
    }
}

/// One side of an `=`.
#[derive(Debug)]
struct Side {
    tokens: Vec<Token>,
    /// Digits behind the point of its last number.
    decimals: u32,
    /// More than a number.
    is_sum: bool,
    /// Nothing else stands between the two `=`.
    is_whole: bool,
    /// Nothing before it is part of the chain.
    starts_chain: bool,
}

impl Side {
    /// The longest run of parts at the end of a side.
    fn ending(side: &[Piece]) -> Option<Self> {
        let from = side.iter().rposition(|piece| !is_part(piece)).map_or(0, |at| at + 1);
        let before = from.checked_sub(1).and_then(|at| side.get(at));
        let run = side.get(from..)?;
        // "2x - 3": an operation whose left operand could not be read.
        let dangles = !matches!(run.first(), Some(Piece::Number(..) | Piece::Part(Token::Open)))
            && matches!(before, Some(Piece::Word | Piece::Unknown));
        let touched = before == Some(&Piece::Unknown);
        if dangles || touched { None } else { Self::new(run, run.len() == side.len()) }
    }

    /// The longest run of parts at the beginning of a side.
    fn beginning(side: &[Piece]) -> Option<Self> {
        let to = side.iter().position(|piece| !is_part(piece)).unwrap_or(side.len());
        if side.get(to) == Some(&Piece::Unknown) {
            return None;
        }
        let run = side.get(..to)?;
        // "= 12, 13": an operation without its right operand is none of this side.
        let keep =
            run.iter().rposition(|p| matches!(p, Piece::Number(..) | Piece::Part(Token::Close | Token::Percent)));
        Self::new(run.get(..=keep?)?, to == side.len())
    }

    fn new(run: &[Piece], is_whole: bool) -> Option<Self> {
        if run.is_empty() || run.len() > MAX_PARTS {
            return None;
        }
        let mut decimals = 0;
        let tokens: Vec<Token> = run
            .iter()
            .filter_map(|piece| match piece {
                Piece::Number(value, digits) => {
                    decimals = *digits;
                    Some(Token::Number(*value))
                }
                Piece::Part(token) => Some(*token),
                Piece::Of => Some(Token::Times),
                _ => None,
            })
            .collect();
        let is_sum = tokens.iter().filter(|t| matches!(t, Token::Number(_))).count() > 1;
        Some(Self { tokens, decimals, is_sum, is_whole, starts_chain: false })
    }

    /// Whether the two sides have one value; `None` when one of them has none.
    fn equals(&self, right: &Self, nearly: bool) -> Option<bool> {
        let mut readings = [true, false].map(|percents| {
            let (a, b) = (evaluate(&self.tokens, percents)?, evaluate(&right.tokens, percents)?);
            // Of a percentage that is read as hundredths, the decimals stand two places further right.
            let shift = if percents && right.tokens.contains(&Token::Percent) { 2 } else { 0 };
            let digits = right.rounded_to(nearly).map(|n| n + shift).or_else(|| self.rounded_to(nearly));
            Some(a == b || digits.is_some_and(|digits| within(a, b, digits) == Some(true)))
        });
        // 1 / 4 = 25 % holds as a fraction, 100 * 1 / 4 = 25 % as a number.
        readings.sort();
        let [_, best] = readings;
        best
    }

    /// The decimals to which it may have been rounded, if it is a lone number.
    fn rounded_to(&self, nearly: bool) -> Option<u32> {
        (!self.is_sum).then_some(self.decimals.min(MAX_DECIMALS)).filter(|&digits| digits > 0 || nearly)
    }
}

/// Whether `a` and `b` differ by at most half of the last of so many decimals.
fn within(a: Rational, b: Rational, digits: u32) -> Option<bool> {
    let twice = a.checked_sub(b)?.checked_abs()?.checked_mul(Rational::from(2))?;
    let scaled = twice.checked_mul(Rational::from(10).checked_pow(i32::try_from(digits).ok()?)?)?;
    Some(scaled.numerator() <= scaled.denominator())
}

fn is_part(piece: &Piece) -> bool {
    matches!(piece, Piece::Part(_) | Piece::Number(..) | Piece::Of)
}

/// Drops the words behind a number that an operation, an `=` or the end of the sum follows.
fn without_units(pieces: &[Piece]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    let mut at = 0;
    while let Some(&piece) = pieces.get(at) {
        let after_number = matches!(out.last(), Some(Piece::Number(..) | Piece::Part(Token::Close)));
        let words = unit_words(pieces.get(at..).unwrap_or_default());
        let next = pieces.get(at + words);
        let operation = |t: &Token| !matches!(t, Token::Open | Token::Percent);
        let goes_on = matches!(next, Some(Piece::Equals(_))) || matches!(next, Some(Piece::Part(t)) if operation(t));
        if words > 0 && after_number && goes_on && names_no_thing(&out) | !matches!(next, Some(Piece::Equals(_))) {
            at += words;
            continue;
        }
        out.push(piece);
        at += 1;
    }
    out
}

/// Whether the number at the end belongs to a sum: "3 shirts = 60" names a thing, "2 * 3 shirts = 6" does not.
fn names_no_thing(out: &[Piece]) -> bool {
    let before = out.len().checked_sub(2).and_then(|at| out.get(at));
    matches!(before, Some(Piece::Part(_) | Piece::Equals(_) | Piece::Of))
}

/// How many pieces at the start are a unit: words, also behind a slash.
fn unit_words(pieces: &[Piece]) -> usize {
    let mut n = 0;
    while n < UNIT_WORDS {
        match (pieces.get(n), pieces.get(n + 1)) {
            (Some(Piece::Word), _) => n += 1,
            (Some(Piece::Part(Token::Over)), Some(Piece::Word)) => n += 2,
            _ => break,
        }
    }
    n
}

fn pieces(line: &str) -> Vec<Piece> {
    let line = without_bullet(line.trim_start());
    let mut rest = line;
    let mut out: Vec<Piece> = Vec::new();
    while let Some(c) = rest.chars().next() {
        let spaced = line.len() > rest.len() && line.get(..line.len() - rest.len()).is_some_and(|l| l.ends_with(' '));
        let (piece, length) = match over_fraction(rest, out.last()).filter(|_| spaced) {
            Some((value, length)) => (Some(Piece::Number(value, 0)), length),
            None => next_piece(rest, c, out.last()),
        };
        out.extend(piece);
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    out
}

/// Behind a division sign and a blank, `1/3` is one number: `25 / 1/3` is 75.
fn over_fraction(rest: &str, last: Option<&Piece>) -> Option<(Rational, usize)> {
    let (above, length) = decimal(rest).filter(|_| last == Some(&Piece::Part(Token::Over)))?;
    let (below, more) = decimal(rest.get(length..)?.strip_prefix('/')?)?;
    Some((above.checked_div(below)?, length + 1 + more))
}

/// A dash or a star that begins a line and is followed by a blank opens a list entry.
fn without_bullet(line: &str) -> &str {
    ["- ", "* ", "+ ", "• "].iter().find_map(|bullet| line.strip_prefix(bullet)).unwrap_or(line)
}

/// The piece at the start of `rest` and its length; no piece for what does not count.
fn next_piece(rest: &str, c: char, last: Option<&Piece>) -> (Option<Piece>, usize) {
    if let Some((value, length)) = decimal(rest) {
        let behind = rest.get(length..).and_then(|r| r.chars().next());
        let written = rest.get(..length).unwrap_or_default();
        let decimals = written.rsplit_once('.').map_or(0, |(_, digits)| digits.len() as u32);
        let after = rest.get(length..).unwrap_or_default();
        // 5! is no 5, 6:30 and 0630 are times, 16.66... has digits that are not written.
        let clock = written.len() > 1 && written.starts_with('0') && decimals == 0
            || behind == Some(':') && after.get(1..).is_some_and(|a| a.starts_with(|c: char| c.is_ascii_digit()));
        let unknown = clock || behind == Some('!') || after.starts_with("..") || after.starts_with('…');
        let piece = if unknown { Piece::Unknown } else { Piece::Number(value, decimals) };
        // What stands behind such a mark belongs to it.
        let tail =
            after.find(|c: char| !matches!(c, '!' | '.' | '…' | ':') && !c.is_ascii_digit()).unwrap_or(after.len());
        return (Some(piece), if unknown { length + tail } else { length });
    }
    if c.is_ascii_digit() {
        // More digits than can be computed with: none of them is a number of its own.
        let length = rest.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b',' | b'.')).count();
        return (Some(Piece::Unknown), length);
    }
    for (text, piece) in [
        ("\\times", Some(Piece::Part(Token::Times))),
        ("\\cdot", Some(Piece::Part(Token::Times))),
        ("\\div", Some(Piece::Part(Token::Over))),
        ("\\approx", Some(Piece::Equals(true))),
        ("≈", Some(Piece::Equals(true))),
        ("\\left", None),
        ("\\right", None),
        ("\\$", None),
        ("\\%", Some(Piece::Part(Token::Percent))),
        ("\\(", None),
        ("\\)", None),
        ("\\[", None),
        ("\\]", None),
        ("\\,", None),
        ("\\ ", None),
        ("<=", Some(Piece::Unknown)),
        (">=", Some(Piece::Unknown)),
        ("!=", Some(Piece::Unknown)),
        ("==", Some(Piece::Equals(false))),
    ] {
        if rest.starts_with(text) {
            return (piece, text.len());
        }
    }
    if let Some(fraction) = latex_fraction(rest) {
        return fraction;
    }
    if rest.starts_with("**") {
        // Between operands a power, else a mark of bold text.
        let operand = matches!(last, Some(Piece::Number(..) | Piece::Part(Token::Close)));
        let power = operand && rest.get(2..).is_some_and(|r| r.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        return (power.then_some(Piece::Part(Token::Power)), 2);
    }
    match c {
        '=' => (Some(Piece::Equals(false)), 1),
        '$' | '€' | '£' => (None, c.len_utf8()),
        ':' | '[' | ']' => (Some(Piece::Break), 1),
        '{' | '}' | '<' | '>' | '|' | '_' => (Some(Piece::Unknown), 1),
        _ if c.is_whitespace() => (None, c.len_utf8()),
        _ if c.is_alphabetic() || c == '\\' => word(rest, last),
        _ => (Some(symbol(c).map_or(Piece::Break, Piece::Part)), c.len_utf8()),
    }
}

/// `\frac{a}{b}` of two numbers as one number in parentheses.
fn latex_fraction(rest: &str) -> Option<(Option<Piece>, usize)> {
    let name = ["\\frac{", "\\dfrac{", "\\tfrac{"].into_iter().find(|name| rest.starts_with(name))?;
    let inner = rest.get(name.len()..)?;
    let (above, length) = decimal(inner)?;
    let between = inner.get(length..)?.strip_prefix("}{")?;
    let (below, more) = decimal(between)?;
    between.get(more..)?.strip_prefix('}')?;
    let value = above.checked_div(below)?;
    Some((Some(Piece::Number(value, 0)), name.len() + length + 2 + more + 1))
}

fn word(rest: &str, last: Option<&Piece>) -> (Option<Piece>, usize) {
    let head = usize::from(rest.starts_with('\\'));
    let length = rest.get(head..).and_then(|r| r.find(|c: char| !c.is_alphanumeric() && c != '\'' && c != '_'));
    let length = length.map_or(rest.len(), |n| n + head).max(1);
    let text = rest.get(..length).unwrap_or_default();
    let lower = text.to_lowercase();
    let behind = rest.get(length..).unwrap_or_default();
    let operand = matches!(last, Some(Piece::Number(..) | Piece::Part(Token::Close | Token::Percent)));
    let next = behind.trim_start().trim_start_matches('$');
    let before_number = next.starts_with(|c: char| c.is_ascii_digit() || c == '(' || c == '.');
    let piece = match lower.as_str() {
        "x" if operand && before_number => Piece::Part(Token::Times),
        // 3x4: the letter and the digits behind it were read as one word.
        _ if operand && lower.strip_prefix('x').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit())) => {
            return (Some(Piece::Part(Token::Times)), 1);
        }
        "times" if operand && before_number => Piece::Part(Token::Times),
        "plus" if operand && before_number => Piece::Part(Token::Plus),
        "minus" if operand && before_number => Piece::Part(Token::Minus),
        // 5 and 2/3 is one number, which cannot be computed with here.
        "and" if operand && over_fraction(next, Some(&Piece::Part(Token::Over))).is_some() => Piece::Unknown,
        "of" if last == Some(&Piece::Part(Token::Percent)) => Piece::Of,
        // A letter alone is a variable, a name right before a parenthesis a function.
        _ if text.starts_with('\\') || text.chars().count() == 1 || behind.starts_with('(') => Piece::Unknown,
        word if SCALES.contains(&word) || HUNDREDTHS.contains(&word) => Piece::Unknown,
        _ if text.contains(|c: char| c.is_ascii_digit()) => Piece::Unknown,
        _ if STOPS.contains(&lower.as_str()) => Piece::Break,
        _ => Piece::Word,
    };
    (Some(piece), length)
}
