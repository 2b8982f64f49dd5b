//! Arithmetic expressions, valued exactly: what a puzzle's solution has to be.

/// Nesting and length of an expression, at most: a puzzle needs far less, and a model may write anything.
const DEPTH: usize = 32;
const BYTES: usize = 512;

/// Whether `text` is an expression over exactly these numbers, each used once, that has the value `target`.
pub fn solves(text: &str, numbers: &[i64], target: i64) -> bool {
    let Some((value, mut used)) = value(text) else { return false };
    let mut given: Vec<i128> = numbers.iter().copied().map(i128::from).collect();
    used.sort_unstable();
    given.sort_unstable();
    used == given && value.numerator == i128::from(target).saturating_mul(value.denominator)
}

/// A fraction whose denominator is above 0, not reduced: puzzles have a handful of small numbers.
#[derive(Debug, Clone, Copy)]
struct Fraction {
    numerator: i128,
    denominator: i128,
}

const MINUS: Fraction = Fraction { numerator: -1, denominator: 1 };

/// The value of an expression and the numbers in it; `None` for anything else, a division by 0, and values past 127 bits.
fn value(text: &str) -> Option<(Fraction, Vec<i128>)> {
    if text.len() > BYTES {
        return None;
    }
    let plain =
        [("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("\\left", ""), ("\\right", ""), ("$", ""), ("`", "")];
    let plain = plain.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut parser = Parser { rest: plain.trim(), used: Vec::new() };
    let value = parser.sum(0)?;
    parser.rest.is_empty().then_some((value, parser.used))
}

struct Parser<'a> {
    rest: &'a str,
    used: Vec<i128>,
}

impl Parser<'_> {
    fn sum(&mut self, depth: usize) -> Option<Fraction> {
        let mut value = self.product(depth)?;
        while let Some(sign) = self.take(&['+', '-', '\u{2212}']) {
            let other = self.product(depth)?;
            value = value.plus(if sign == '+' { other } else { other.times(MINUS)? })?;
        }
        Some(value)
    }

    fn product(&mut self, depth: usize) -> Option<Fraction> {
        let mut value = self.atom(depth)?;
        while let Some(sign) = self.take(&['*', '/', '×', '·', '÷']) {
            let other = self.atom(depth)?;
            value = value.times(if matches!(sign, '/' | '÷') { other.inverse()? } else { other })?;
        }
        Some(value)
    }

    fn atom(&mut self, depth: usize) -> Option<Fraction> {
        if depth >= DEPTH {
            return None;
        }
        if self.take(&['-', '\u{2212}']).is_some() {
            return self.atom(depth + 1)?.times(MINUS);
        }
        if self.take(&['(', '[']).is_some() {
            let value = self.sum(depth + 1);
            self.take(&[')', ']'])?;
            return value;
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(end)?;
        let numerator = digits.parse().ok()?;
        self.rest = rest.trim_start();
        self.used.push(numerator);
        Some(Fraction { numerator, denominator: 1 })
    }

    fn take(&mut self, signs: &[char]) -> Option<char> {
        let next = self.rest.chars().next().filter(|next| signs.contains(next))?;
        self.rest = self.rest.get(next.len_utf8()..)?.trim_start();
        Some(next)
    }
}

impl Fraction {
    fn plus(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        let denominator = self.denominator.checked_mul(other.denominator)?;
        Some(Self { numerator: left.checked_add(right)?, denominator })
    }

    fn times(self, other: Self) -> Option<Self> {
        let denominator = self.denominator.checked_mul(other.denominator)?;
        Some(Self { numerator: self.numerator.checked_mul(other.numerator)?, denominator })
    }

    fn inverse(self) -> Option<Self> {
        let sign = self.numerator.signum();
        let denominator = self.numerator.checked_mul(sign)?;
        (sign != 0).then_some(Self { numerator: self.denominator.checked_mul(sign)?, denominator })
    }
}
