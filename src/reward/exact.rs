//! Sums as people write them, computed exactly.

use crate::reward::answer::{Rational, decimal};

/// Parentheses inside each other, at most: the text comes from a model.
const DEPTH: usize = 64;
/// Exponents, at most; larger powers leave 127 bits anyway or stand for something else.
const MAX_EXPONENT: i128 = 64;

/// A part of a sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token {
    Number(Rational),
    /// What stands before it counts in hundredths.
    Percent,
    Plus,
    Minus,
    Times,
    Over,
    Power,
    Open,
    Close,
}

/// The parts of a text that is one sum and nothing else; `None` for any other. Division may be written `/`, `÷` or `:`,
/// multiplication `*`, `×`, `·` or `x`.
pub(super) fn parts(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let (token, length) = match (decimal(rest), symbol(c)) {
            (Some((value, length)), _) => (Token::Number(value), length),
            (None, Some(Token::Times)) if rest.starts_with("**") => (Token::Power, 2),
            (None, Some(token)) => (token, c.len_utf8()),
            (None, None) => return None,
        };
        tokens.push(token);
        rest = rest.get(length..)?.trim_start();
    }
    Some(tokens)
}

/// The sign of an operation or a parenthesis.
pub(super) fn symbol(c: char) -> Option<Token> {
    Some(match c {
        '+' => Token::Plus,
        '-' | '\u{2212}' | '\u{2013}' => Token::Minus,
        '*' | '×' | '·' | '∙' | '⋅' | 'x' => Token::Times,
        '/' | '÷' | ':' => Token::Over,
        '^' => Token::Power,
        '(' | '[' => Token::Open,
        ')' | ']' => Token::Close,
        '%' => Token::Percent,
        _ => return None,
    })
}

/// The value of a sum; `None` for what is none, for a division by zero and past 127 bits.
///
/// Powers bind most and to the right, then signs, then products and quotients, then sums and differences. With `percents`
/// a `%` divides by 100, else it counts for nothing: `10 * 5% = 50%` is written too.
pub(super) fn evaluate(tokens: &[Token], percents: bool) -> Option<Rational> {
    let mut reader = Reader { tokens, at: 0, depth: 0, percents };
    let value = reader.sum()?;
    (reader.at == tokens.len()).then_some(value)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    percents: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, token: Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn sum(&mut self) -> Option<Rational> {
        let mut value = self.product()?;
        loop {
            if self.take(Token::Plus) {
                value = value.checked_add(self.product()?)?;
            } else if self.take(Token::Minus) {
                value = value.checked_sub(self.product()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<Rational> {
        let mut value = self.signed()?;
        loop {
            if self.take(Token::Times) {
                value = value.checked_mul(self.signed()?)?;
            } else if self.take(Token::Over) {
                value = value.checked_div(self.signed()?)?;
            } else if self.peek() == Some(Token::Open) {
                // (2)(3) and 2(3) are products.
                value = value.checked_mul(self.power()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<Rational> {
        let mut negative = false;
        loop {
            if self.take(Token::Minus) {
                negative = !negative;
            } else if !self.take(Token::Plus) {
                break;
            }
        }
        let value = self.power()?;
        if negative { value.checked_neg() } else { Some(value) }
    }

    fn power(&mut self) -> Option<Rational> {
        // A tower is read into a list first, so that it takes no stack.
        let mut tower = vec![self.atom()?];
        while self.take(Token::Power) {
            let negative = self.take(Token::Minus);
            let value = self.atom()?;
            tower.push(if negative { value.checked_neg()? } else { value });
        }
        let mut value = tower.pop()?;
        while let Some(base) = tower.pop() {
            let exponent = Some(value.numerator()).filter(|n| value.is_integer() && n.abs() <= MAX_EXPONENT)?;
            value = base.checked_pow(i32::try_from(exponent).ok()?)?;
        }
        Some(value)
    }

    fn atom(&mut self) -> Option<Rational> {
        let mut value = match self.peek()? {
            Token::Number(value) => {
                self.at += 1;
                value
            }
            Token::Open if self.depth < DEPTH => {
                self.at += 1;
                self.depth += 1;
                let value = self.sum()?;
                self.depth -= 1;
                self.take(Token::Close).then_some(value)?
            }
            _ => return None,
        };
        while self.take(Token::Percent) {
            if self.percents {
                value = value.checked_div(Rational::from(100))?;
            }
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        evaluate(&parts(text)?, true).map(|v| v.to_string())
    }

    #[test]
    fn sums_have_the_usual_order() {
        for (text, expected) in [
            ("16 - 3 - 4", "9"),
            ("2 + 3 * 4", "14"),
            ("(2+3)*4", "20"),
            ("12/3/2", "2"),
            ("12 ÷ 3 × 2", "8"),
            ("1/3 + 1/6", "1/2"),
            ("-2^2", "-4"),
            ("2^3^2", "512"),
            ("2^-1", "1/2"),
            ("2**5", "32"),
            ("3 x 4", "12"),
            ("2(3+4)", "14"),
            ("(1+1)(2+1)", "6"),
            ("20% * 50", "10"),
            ("1,200 * 1.5", "1800"),
            ("--5", "5"),
            ("3 - -2", "5"),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(evaluate(&parts("10*5%").unwrap(), false), Some(Rational::from(50)));
    }

    #[test]
    fn what_is_no_sum_has_no_value() {
        for text in
            ["", "2 +", "* 2", "(2", "2)", "2 3", "2 apples", "1/0", "0^-1", "2^0.5", "2^99999", "9^64 * 9^64", "a"]
        {
            assert_eq!(value(text), None, "{text}");
        }
        assert_eq!(value(&"(".repeat(100_000)), None);
        assert_eq!(value(&format!("{}1{}", "(".repeat(60), ")".repeat(60))).as_deref(), Some("1"));
        assert_eq!(value(&"-".repeat(100_001)), None);
        assert_eq!(value(&format!("{}1", "-".repeat(100_000))).as_deref(), Some("1"));
        assert_eq!(value(&format!("2{}", "^1".repeat(100_000))).as_deref(), Some("2"));
    }
}
