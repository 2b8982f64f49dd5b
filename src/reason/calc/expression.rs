//! An expression, read by descent and computed as it is read.

use std::collections::BTreeMap;

use super::functions::{floor, function};
use super::{Said, TOO_LARGE, cut};
use crate::reward::answer::Rational;

/// Brackets, signs and powers inside each other, at most.
const DEPTH: usize = 64;
/// Exponents, at most: larger powers leave 127 bits anyway.
const MAX_EXPONENT: i128 = 200;

/// The value of `expression`, all of it; `names` have theirs.
pub(super) fn value(expression: &str, names: &BTreeMap<String, Rational>) -> Said<Rational> {
    let mut reader = Reader { text: expression, at: 0, depth: 0, names };
    let value = reader.sum()?;
    reader.skip();
    match reader.rest() {
        "" => Ok(value),
        rest => Err(format!("{:?} cannot be read", cut(rest))),
    }
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
