//! Numbers as people write them, compared exactly: integers, decimals, simple fractions.

use std::fmt;

/// An exact fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rational {
    numerator: i128,
    denominator: i128,
}

impl Rational {
    /// `numerator / denominator` reduced; `None` for a zero denominator or past 127 bits.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor = i128::try_from(gcd(numerator.unsigned_abs(), denominator.unsigned_abs())).ok()?;
        let sign = if denominator < 0 { -1 } else { 1 };
        Some(Self {
            numerator: numerator.checked_div(divisor)?.checked_mul(sign)?,
            denominator: denominator.checked_div(divisor)?.checked_mul(sign)?,
        })
        .filter(|r| r.denominator > 0)
    }

    /// Whether it is a whole number.
    pub fn is_integer(self) -> bool {
        self.denominator == 1
    }

    /// Above the line, in lowest terms.
    pub fn numerator(self) -> i128 {
        self.numerator
    }

    /// Below the line, in lowest terms; above 0.
    pub fn denominator(self) -> i128 {
        self.denominator
    }

    /// The sum; `None` past 127 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Self::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    /// The difference; `None` past 127 bits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    /// The product; `None` past 127 bits.
    pub fn checked_mul(self, by: Self) -> Option<Self> {
        Self::new(self.numerator.checked_mul(by.numerator)?, self.denominator.checked_mul(by.denominator)?)
    }

    /// The quotient; `None` for a division by zero and past 127 bits.
    pub fn checked_div(self, by: Self) -> Option<Self> {
        Self::new(self.numerator.checked_mul(by.denominator)?, self.denominator.checked_mul(by.numerator)?)
    }

    /// A whole power, also a negative one; `None` for 0 to a negative power and past 127 bits.
    pub fn checked_pow(self, exponent: i32) -> Option<Self> {
        let times = exponent.unsigned_abs();
        let (n, d) = (self.numerator.checked_pow(times)?, self.denominator.checked_pow(times)?);
        if exponent < 0 { Self::new(d, n) } else { Self::new(n, d) }
    }

    /// The number times -1; `None` past 127 bits.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_neg()?, ..self })
    }

    /// The number without its sign; `None` past 127 bits.
    pub fn checked_abs(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_abs()?, ..self })
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl From<i64> for Rational {
    fn from(n: i64) -> Self {
        Self { numerator: n.into(), denominator: 1 }
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A number found in a text: its value and the bytes that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub value: Rational,
    pub start: usize,
    pub end: usize,
}

/// Every number of `text`, from left to right. Digits that belong to a word, an index or an exponent are none.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = Span> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let next = rest.chars().next()?;
            let before = text.get(..at).and_then(|t| t.chars().next_back());
            let attached = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '^' | '_'));
            // A minus after an operand is an operator, not a sign.
            let operator = is_sign(next) && before.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | '}'));
            let number = if attached || operator { None } else { signed(rest) };
            if let Some((value, length)) = number {
                let span = Span { value, start: at, end: at + length };
                at = span.end;
                return Some(span);
            }
            // Past a word or a run of digits as a whole, so that none is entered in its middle.
            at += if attached && next.is_ascii_digit() {
                rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
            } else {
                next.len_utf8()
            };
        }
    })
}

fn is_sign(c: char) -> bool {
    matches!(c, '-' | '+' | '\u{2212}')
}

/// The number at the start of `text` and its length: `[sign] (decimal [/ decimal] | \frac{a}{b})`.
fn signed(text: &str) -> Option<(Rational, usize)> {
    let sign = text.chars().next().filter(|&c| is_sign(c));
    let skip = sign.map_or(0, char::len_utf8);
    let body = text.get(skip..)?;
    // "$-5" and "-$5" are both written.
    let dollar = if sign.is_some() && body.starts_with('$') { 1 } else { 0 };
    let body = body.get(dollar..)?;
    let (value, length) = latex_fraction(body).or_else(|| fraction(body))?;
    let value = if matches!(sign, Some('-' | '\u{2212}')) { value.checked_neg()? } else { value };
    Some((value, skip + dollar + length))
}

/// `\frac{a}{b}`, `\dfrac{a}{b}`, `\tfrac{a}{b}` with a number in each brace.
fn latex_fraction(text: &str) -> Option<(Rational, usize)> {
    let name = ["\\frac", "\\dfrac", "\\tfrac"].into_iter().find(|name| text.starts_with(name))?;
    let open = text.get(name.len()..)?.strip_prefix('{')?;
    let (numerator, rest) = open.split_once('}')?;
    let (denominator, rest) = rest.strip_prefix('{')?.split_once('}')?;
    let whole = |part: &str| {
        let part = part.trim();
        signed_decimal(part).filter(|&(_, length)| length == part.len()).map(|(value, _)| value)
    };
    Some((whole(numerator)?.checked_div(whole(denominator)?)?, text.len() - rest.len()))
}

fn signed_decimal(text: &str) -> Option<(Rational, usize)> {
    let negative = text.starts_with('-');
    let (value, length) = decimal(text.get(usize::from(negative)..)?)?;
    Some((if negative { value.checked_neg()? } else { value }, length + usize::from(negative)))
}

/// A decimal, or two with a slash between them; `1 1/2` is one and a half.
fn fraction(text: &str) -> Option<(Rational, usize)> {
    let (value, length) = decimal(text)?;
    let rest = text.get(length..)?;
    let simple = over(rest).and_then(|(over, taken)| Some((value.checked_div(over)?, length + taken)));
    if simple.is_some() {
        return simple;
    }
    let mixed = rest.strip_prefix(' ').filter(|_| value.is_integer()).and_then(|part| {
        let (numerator, taken) = decimal(part)?;
        let (denominator, more) = over(part.get(taken..)?)?;
        let part = numerator.checked_div(denominator).filter(|_| numerator.is_integer() && denominator.is_integer())?;
        Some((value.checked_add(part)?, length + 1 + taken + more))
    });
    Some(mixed.unwrap_or((value, length)))
}

/// A slash with a decimal after it.
fn over(text: &str) -> Option<(Rational, usize)> {
    let (value, length) = decimal(text.strip_prefix('/')?)?;
    Some((value, length + 1))
}

/// Digits, with commas between groups of three or none, and a fractional part; `.5` is a half.
pub(in crate::reward) fn decimal(text: &str) -> Option<(Rational, usize)> {
    let digits = |from: usize| text.bytes().skip(from).take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    if (1..=3).contains(&end) {
        while text.as_bytes().get(end) == Some(&b',') && digits(end + 1) == 3 {
            end += 4;
        }
    }
    let whole = end;
    if text.as_bytes().get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if end == 0 {
        return None;
    }
    let mut numerator = 0i128;
    let mut denominator = 1i128;
    for (at, byte) in text.bytes().enumerate().take(end).filter(|(_, b)| b.is_ascii_digit()) {
        numerator = numerator.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        if at > whole {
            denominator = denominator.checked_mul(10)?;
        }
    }
    Some((Rational::new(numerator, denominator)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        numbers(text).map(|s| s.value.to_string()).collect()
    }

    #[test]
    fn reads_what_people_write() {
        assert_eq!(all("16 - 3 - 4 = 9, then 9*2=$18."), ["16", "3", "4", "9", "9", "2", "18"]);
        assert_eq!(all("1,234,567.50 and 12,34 and .5"), ["2469135/2", "12", "34", "1/2"]);
        assert_eq!(all("-7 16-3 (-2) -$4 \u{2212}5"), ["-7", "16", "3", "-2", "-4", "-5"]);
        assert_eq!(all("3/4 1 1/2 \\frac{-6}{4} \\dfrac{1}{0.5}"), ["3/4", "3/2", "-3/2", "2"]);
        assert_eq!(all("x^2 x_1 H2O CO2 v12.5"), ["5"]);
        assert_eq!(all("5/0 6/"), ["5", "0", "6"]);
        assert_eq!(all("2.50 3. 4.x"), ["5/2", "3", "4"]);
        assert_eq!(all("é5 中7 12% \\frac{a}{2}"), ["12", "2"]);
    }

    #[test]
    fn too_many_digits_are_no_number_instead_of_a_wrong_one() {
        assert_eq!(numbers(&"9".repeat(60)).count(), 0);
        assert!(numbers(&format!("0.{}", "1".repeat(60))).all(|s| s.value.is_integer() || s.value.denominator > 1));
        assert_eq!(Rational::new(1, 0), None);
        assert_eq!(Rational::new(i128::MIN, -1), None);
        assert_eq!(Rational::new(-6, -4), Rational::new(3, 2));
    }
}
