//! Small programs of sums, evaluated exactly: lines `name = expression` and bare expressions. There are no loops, no texts and no
//! access to anything; lengths, depths and sizes of numbers are bounded.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::reward::answer::Rational;

/// Bytes and lines of a program, at most: it comes from a model.
const MAX_BYTES: usize = 8_192;
const MAX_LINES: usize = 256;
/// Brackets, signs and powers inside each other, at most.
const DEPTH: usize = 64;
/// Exponents, at most: larger powers leave 127 bits anyway.
const MAX_EXPONENT: i128 = 200;

/// What a program came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated {
    /// The value of the last line.
    pub last: Rational,
    /// Every name with its value.
    pub names: BTreeMap<String, Rational>,
}

/// Runs a program: `+ - * / // % ^ **`, brackets, names, and `min max sum abs round floor ceil sqrt gcd lcm`. `//` rounds down and `%`
/// has the sign of the divisor, as in Python. Empty lines and what follows `#` count for nothing.
///
/// An error names the line and what is wrong with it, so that whoever wrote it can mend it.
pub fn run(program: &str) -> Result<Evaluated> {
    if program.len() > MAX_BYTES {
        return Err(Error::invalid(format!("the program has {} bytes; {MAX_BYTES} are possible", program.len())));
    }
    let (mut names, mut last) = (BTreeMap::new(), None);
    let lines = program.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        if number >= MAX_LINES {
            return Err(Error::invalid(format!("the program has more than {MAX_LINES} lines")));
        }
        let value =
            statement(line, &mut names).map_err(|what| Error::invalid(format!("line {}: {what}", number + 1)))?;
        last = Some(value);
    }
    let last = last.ok_or_else(|| Error::invalid("the program is empty"))?;
    Ok(Evaluated { last, names })
}

/// A number as people write it: a decimal fraction where that ends, else a quotient.
pub fn shown(value: Rational) -> String {
    let (mut below, mut places) = (value.denominator(), 0);
    for prime in [2, 5] {
        let mut count = 0;
        while below % prime == 0 {
            below /= prime;
            count += 1;
        }
        places = places.max(count);
    }
    let scaled =
        10i128.checked_pow(places).and_then(|scale| value.numerator().checked_mul(scale / value.denominator()));
    match scaled {
        Some(scaled) if below == 1 && places > 0 && 10i128.pow(places) % value.denominator() == 0 => {
            let digits = format!("{:0>width$}", scaled.unsigned_abs(), width = places as usize + 1);
            let (whole, part) = digits.split_at(digits.len() - places as usize);
            format!("{}{whole}.{part}", if scaled < 0 { "-" } else { "" })
        }
        _ => value.to_string(),
    }
}

type Said<T> = std::result::Result<T, String>;

fn statement(line: &str, names: &mut BTreeMap<String, Rational>) -> Said<Rational> {
    // `=` in front of an expression that is one itself is a comparison, which there is not.
    let (name, expression) = match line.split_once('=') {
        Some((name, expression)) if is_name(name.trim()) => (Some(name.trim()), expression),
        Some(_) => return Err("only a name may stand left of `=`".into()),
        None => (None, line),
    };
    let mut reader = Reader { text: expression, at: 0, depth: 0, names };
    let value = reader.sum()?;
    reader.skip();
    if let Some(rest) = expression.get(reader.at..).filter(|rest| !rest.is_empty()) {
        return Err(format!("{:?} cannot be read", cut(rest)));
    }
    if let Some(name) = name {
        names.insert(name.to_owned(), value);
    }
    Ok(value)
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

fn cut(text: &str) -> String {
    text.chars().take(24).collect()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    names: &'a BTreeMap<String, Rational>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// The longest run of what may follow here.
    fn word(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let rest = self.rest();
        let word = rest.get(..rest.find(|c| !fits(c)).unwrap_or(rest.len())).unwrap_or_default();
        self.at += word.len();
        word
    }

    fn sum(&mut self) -> Said<Rational> {
        let mut value = self.product()?;
        loop {
            let term = if self.take("+") {
                self.product().map(Some)?.and_then(|term| value.checked_add(term))
            } else if self.take("-") {
                self.product().map(Some)?.and_then(|term| value.checked_sub(term))
            } else {
                return Ok(value);
            };
            value = term.ok_or(TOO_LARGE)?;
        }
    }

    fn product(&mut self) -> Said<Rational> {
        let mut value = self.signed()?;
        loop {
            value = if self.take("//") {
                floor(divide(value, self.signed()?)?)
            } else if self.take("/") {
                divide(value, self.signed()?)?
            } else if self.take("%") {
                let by = self.signed()?;
                let whole = floor(divide(value, by)?).checked_mul(by);
                whole.and_then(|whole| value.checked_sub(whole)).ok_or(TOO_LARGE)?
            } else if !self.rest().trim_start().starts_with("**") && self.take("*") {
                value.checked_mul(self.signed()?).ok_or(TOO_LARGE)?
            } else {
                return Ok(value);
            };
        }
    }

    fn signed(&mut self) -> Said<Rational> {
        if self.take("-") {
            return self.deeper(Self::signed)?.checked_neg().ok_or_else(|| TOO_LARGE.into());
        }
        if self.take("+") { self.deeper(Self::signed) } else { self.power() }
    }

    fn power(&mut self) -> Said<Rational> {
        let base = self.atom()?;
        if !(self.take("^") || self.take("**")) {
            return Ok(base);
        }
        // A power's power binds to the right.
        let exponent = self.deeper(Self::signed)?;
        if !exponent.is_integer() || exponent.numerator().abs() > MAX_EXPONENT {
            return Err(format!("an exponent has to be a whole number of at most {MAX_EXPONENT}"));
        }
        let exponent = i32::try_from(exponent.numerator()).map_err(|_| TOO_LARGE)?;
        base.checked_pow(exponent).ok_or_else(|| TOO_LARGE.into())
    }

    fn atom(&mut self) -> Said<Rational> {
        if self.take("(") {
            let value = self.deeper(Self::sum)?;
            return if self.take(")") { Ok(value) } else { Err("a bracket is not closed".into()) };
        }
        let digits = self.word(|c| c.is_ascii_digit() || matches!(c, '.' | '_'));
        if !digits.is_empty() {
            return number(digits);
        }
        let name = self.word(|c| c.is_alphanumeric() || c == '_');
        if name.is_empty() {
            let rest = cut(self.rest());
            return Err(if rest.is_empty() { "a value is missing".into() } else { format!("{rest:?} is no value") });
        }
        if !self.take("(") {
            let value = self.names.get(name).copied();
            return value.ok_or_else(|| format!("{:?} has no value yet", cut(name)));
        }
        let mut values = vec![self.deeper(Self::sum)?];
        while self.take(",") {
            values.push(self.deeper(Self::sum)?);
        }
        if self.take(")") { function(name, &values) } else { Err("a bracket is not closed".into()) }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Said<T>) -> Said<T> {
        if self.depth == DEPTH {
            return Err(format!("more than {DEPTH} brackets or signs stand inside each other"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }
}

const TOO_LARGE: &str = "a number becomes too large";

fn number(digits: &str) -> Said<Rational> {
    let bad = || format!("{:?} is no number", cut(digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all: String = whole.chars().chain(part.chars()).filter(|c| *c != '_').collect();
    let places = part.chars().filter(char::is_ascii_digit).count();
    if all.is_empty() || part.contains('.') || places > 30 {
        return Err(bad());
    }
    let value = all.parse().map_err(|_| TOO_LARGE)?;
    Rational::new(value, 10i128.pow(places as u32)).ok_or_else(|| TOO_LARGE.into())
}

fn divide(value: Rational, by: Rational) -> Said<Rational> {
    if by.numerator() == 0 {
        return Err("a division by zero".into());
    }
    value.checked_div(by).ok_or_else(|| TOO_LARGE.into())
}

fn whole(value: i128) -> Rational {
    // A whole number is reduced already.
    Rational::new(value, 1).unwrap_or(Rational::from(0))
}

fn floor(value: Rational) -> Rational {
    whole(value.numerator().div_euclid(value.denominator()))
}

fn function(name: &str, values: &[Rational]) -> Said<Rational> {
    let less = |a: &Rational, b: &Rational| a.checked_sub(*b).is_some_and(|d| d.numerator() < 0);
    let one = |then: fn(Rational) -> Option<Rational>| match values {
        [value] => then(*value).ok_or_else(|| TOO_LARGE.to_owned()),
        _ => Err(format!("{name} takes one value")),
    };
    let fold = |join: fn(Rational, Rational) -> Option<Rational>| {
        let mut rest = values.iter().copied();
        let first = rest.next().ok_or_else(|| format!("{name} takes values"))?;
        rest.try_fold(first, join).ok_or_else(|| format!("{name} of these values is too large or not a whole number"))
    };
    match name {
        "min" => {
            Ok(values.iter().copied().reduce(|a, b| if less(&b, &a) { b } else { a }).unwrap_or(Rational::from(0)))
        }
        "max" => {
            Ok(values.iter().copied().reduce(|a, b| if less(&a, &b) { b } else { a }).unwrap_or(Rational::from(0)))
        }
        "sum" => fold(Rational::checked_add),
        "gcd" => fold(|a, b| (a.is_integer() && b.is_integer()).then(|| gcd(a, b)).flatten()),
        "lcm" => fold(|a, b| {
            let both = a.is_integer() && b.is_integer();
            both.then(|| a.checked_mul(b)?.checked_abs()?.checked_div(gcd(a, b)?)).flatten()
        }),
        "abs" => one(Rational::checked_abs),
        "floor" => one(|value| Some(floor(value))),
        "ceil" => one(|value| floor(value.checked_neg()?).checked_neg()),
        "sqrt" => one(root),
        "round" => match values {
            [value] => rounded(*value, 0),
            [value, places] if places.is_integer() && (0..=12).contains(&places.numerator()) => {
                rounded(*value, places.numerator() as u32)
            }
            _ => Err("round takes a value and at most 12 places".into()),
        },
        _ => Err(format!("there is no function {:?}", cut(name))),
    }
}

/// To the nearest, halves away from zero as people do it.
fn rounded(value: Rational, places: u32) -> Said<Rational> {
    let scale = whole(10i128.pow(places));
    let half = Rational::new(if value.numerator() < 0 { -1 } else { 1 }, 2);
    let nearest = || {
        let shifted = value.checked_mul(scale)?.checked_add(half?)?;
        whole(shifted.numerator() / shifted.denominator()).checked_div(scale)
    };
    nearest().ok_or_else(|| TOO_LARGE.into())
}

fn gcd(a: Rational, b: Rational) -> Option<Rational> {
    let (mut a, mut b) = (a.numerator().checked_abs()?, b.numerator().checked_abs()?);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some(whole(a))
}

/// Exact where the root is a fraction, else to twelve places.
fn root(value: Rational) -> Option<Rational> {
    let exact = |n: i128| u128::try_from(n).ok().map(u128::isqrt).and_then(|root| i128::try_from(root).ok());
    let (above, below) = (exact(value.numerator())?, exact(value.denominator())?);
    let found = Rational::new(above, below)?;
    if found.checked_mul(found) == Some(value) {
        return Some(found);
    }
    let places = 1_000_000_000_000i128;
    let scaled = value.to_f64().sqrt() * places as f64;
    (scaled.is_finite() && scaled < 1e30).then(|| Rational::new(scaled.round() as i128, places)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: Python 3, fractions.Fraction.
    #[test]
    fn programs_have_the_values_that_python_gives() {
        for (program, value) in [
            ("3*4", "12"),
            ("2 + 3 * 4 ^ 2 / 8", "8"),
            ("2**3**2", "512"),
            ("-2**2", "-4"),
            ("(1 + 2) * -3", "-9"),
            ("-7 // 2", "-4"),
            ("-7 % 3", "2"),
            ("7 % -3", "-2"),
            ("0.1 + 0.2", "0.3"),
            ("1/3 + 1/6", "0.5"),
            ("1/3", "1/3"),
            ("7/8", "0.875"),
            ("-1/40", "-0.025"),
            ("10/4*2", "5"),
            ("2^-2", "0.25"),
            ("min(3, 1/2, 2) + max(1, 5)", "5.5"),
            ("gcd(12, 18) + lcm(4, 6)", "18"),
            ("round(2.345, 2)", "2.35"),
            ("round(-2.5)", "-3"),
            ("floor(-1.5) + ceil(-1.5)", "-3"),
            ("sqrt(9/4)", "1.5"),
            ("round(sqrt(2), 6)", "1.414214"),
            ("abs(3 - 5) + sum(1, 2, 3)", "8"),
            ("boxes = 3\npens = boxes * 4  # four in each\n\npens - 5", "7"),
            ("a_1 = 1_000\na_1 = a_1 * 2", "2000"),
        ] {
            assert_eq!(shown(run(program).unwrap().last), value, "{program}");
        }
        assert_eq!(shown(run("x = 5\ny = x / 2").unwrap().names["y"]), "2.5");
    }

    #[test]
    fn what_cannot_be_evaluated_says_why_and_where() {
        for (program, says) in [
            ("", "empty"),
            ("# nothing", "empty"),
            ("1 +", "missing"),
            ("1 2", "cannot be read"),
            ("x", "no value yet"),
            ("\nx = 1\ny = z", "line 3"),
            ("1/0", "zero"),
            ("1 % (2 - 2)", "zero"),
            ("(1", "not closed"),
            ("9^9^9", "exponent"),
            ("2^0.5", "exponent"),
            ("10^100", "too large"),
            ("99999999999999999999999999999999999999999", "too large"),
            ("1.2.3", "no number"),
            ("f(1)", "no function"),
            ("import os", "no value yet"),
            ("open('x')", "no value"),
            ("1 == 2", "left of"),
            ("sqrt(-1)", "too large"),
        ] {
            let error = run(program).unwrap_err().to_string();
            assert!(error.contains(says), "{program:?}: {error}");
        }
        for part in ["(", "-", "2^", "min(", "+", "x", "1,", "**", "ä"] {
            assert!(run(&part.repeat(MAX_BYTES / part.len())).is_err(), "{part}");
        }
        assert!(run(&"1\n".repeat(MAX_LINES + 1)).is_err() && run(&" ".repeat(MAX_BYTES + 1)).is_err());
    }
}
