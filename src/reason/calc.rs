//! Small programs of sums, evaluated exactly: lines `name = expression` and bare expressions. There are no loops, no texts and no
//! access to anything; lengths, depths and sizes of numbers are bounded.

mod expression;
mod functions;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::reward::answer::Rational;

/// Bytes and lines of a program, at most: it comes from a model.
const MAX_BYTES: usize = 8_192;
const MAX_LINES: usize = 256;

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

const TOO_LARGE: &str = "a number becomes too large";

fn statement(line: &str, names: &mut BTreeMap<String, Rational>) -> Said<Rational> {
    // `=` in front of an expression that is one itself is a comparison, which there is not.
    let (name, expression) = match line.split_once('=') {
        Some((name, expression)) if is_name(name.trim()) => (Some(name.trim()), expression),
        Some(_) => return Err("only a name may stand left of `=`".into()),
        None => (None, line),
    };
    let value = expression::value(expression, names)?;
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
