//! The value of an expression at a point.

use super::lex::Token;
use crate::reward::answer::Rational;
use crate::reward::exact;

/// Brackets, roots and powers inside each other, at most: the text comes from a model.
const DEPTH: usize = 64;

/// A number that decides the values of all variables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point(pub usize);

impl Point {
    /// Between 0.5 and 3.5, without any simple relation to other variables and points (multiples of the golden ratio).
    fn of(self, variable: char) -> f64 {
        let n = f64::from(u32::from(variable) % 10_007) * 31.0 + self.0 as f64 * 7.0 + 1.0;
        0.5 + 3.0 * (n * 0.618_033_988_749_894_9).fract()
    }
}

/// A value in double precision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    /// NaN or infinite where it is undefined.
    pub value: f64,
    /// The largest number that was added up or that a function is of, which is what rounding errors are relative to.
    pub largest: f64,
}

/// The value of the whole expression; `None` when it is no expression.
pub(super) fn value(tokens: &[Token], point: Point) -> Option<Value> {
    let mut reader = Reader { tokens, at: 0, depth: 0, point, largest: 0.0 };
    let value = reader.sum()?;
    (reader.at == tokens.len()).then_some(Value { value, largest: reader.largest })
}

/// The value of an expression of numbers and simple fractions; `None` where there is more in it, and past 127 bits.
pub(super) fn exactly(tokens: &[Token]) -> Option<Rational> {
    use Token::{Close, Fraction, Number, Open};
    let (mut sum, mut rest) = (Vec::new(), tokens);
    while let [first, tail @ ..] = rest {
        rest = tail;
        let is_factor = matches!(sum.last(), Some(exact::Token::Times | exact::Token::Over | exact::Token::Power));
        sum.push(match (first, tail) {
            (
                Number(whole),
                [Fraction, Open('{'), Number(a), Close('}'), Open('{'), Number(b), Close('}'), tail @ ..],
            ) if !is_factor => {
                rest = tail;
                exact::Token::Number(whole.checked_add(a.checked_div(*b)?).filter(|_| whole.is_integer())?)
            }
            (Fraction, [Open('{'), Number(a), Close('}'), Open('{'), Number(b), Close('}'), tail @ ..]) => {
                rest = tail;
                exact::Token::Number(a.checked_div(*b)?)
            }
            (Number(value), _) => exact::Token::Number(*value),
            (Token::Plus, _) => exact::Token::Plus,
            (Token::Minus, _) => exact::Token::Minus,
            (Token::Times, _) => exact::Token::Times,
            (Token::Over, _) => exact::Token::Over,
            (Token::Power, _) => exact::Token::Power,
            (Open('(' | '[' | '{'), _) => exact::Token::Open,
            (Close(')' | ']' | '}'), _) => exact::Token::Close,
            _ => return None,
        });
    }
    exact::evaluate(&sum, true)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    point: Point,
    largest: f64,
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

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            let sign = if self.take(Token::Plus) {
                1.0
            } else if self.take(Token::Minus) {
                -1.0
            } else {
                return Some(value);
            };
            let term = self.product()?;
            self.count(value);
            self.count(term);
            value += sign * term;
        }
    }

    fn count(&mut self, value: f64) {
        if value.is_finite() {
            self.largest = self.largest.max(value.abs());
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut negative = false;
        loop {
            if self.take(Token::Minus) {
                negative = !negative;
            } else if !self.take(Token::Plus) {
                break;
            }
        }
        let mut value = match self.mixed_number() {
            Some(value) => value,
            None => self.power()?,
        };
        loop {
            if self.take(Token::Times) {
                value *= self.signed_power()?;
            } else if self.take(Token::Over) {
                value /= self.signed_power()?;
            } else if self.begins_factor() {
                value *= self.power()?;
            } else {
                return Some(if negative { -value } else { value });
            }
        }
    }

    /// `1\frac{1}{2}` is one and a half, while `2\frac{x}{3}` is a product.
    fn mixed_number(&mut self) -> Option<f64> {
        use Token::{Close, Fraction, Number, Open};
        let &[Number(whole), Fraction, Open('{'), Number(above), Close('}'), Open('{'), Number(below), Close('}')] =
            self.tokens.get(self.at..self.at + 8)?
        else {
            return None;
        };
        if !whole.is_integer() {
            return None;
        }
        self.at += 8;
        Some(whole.to_f64() + above.to_f64() / below.to_f64())
    }

    /// What may stand behind a factor without a sign between them. Two numbers may not.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Open(c)) => c != '\u{27E8}',
            Some(token) => matches!(
                token,
                Token::Variable(_)
                    | Token::Constant(_)
                    | Token::Fraction
                    | Token::Root
                    | Token::Log
                    | Token::Function(_)
            ),
            None => false,
        }
    }

    fn signed_power(&mut self) -> Option<f64> {
        if self.take(Token::Minus) { self.power().map(|value| -value) } else { self.power() }
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.atom()?;
        if !self.take(Token::Power) {
            return Some(base);
        }
        // A power's power binds to the right.
        let exponent = self.deeper(|this| this.signed_power())?;
        // A negative base has a real power for whole exponents only, which `powf` knows.
        Some(base.powf(exponent))
    }

    fn atom(&mut self) -> Option<f64> {
        let token = self.peek()?;
        self.at += 1;
        match token {
            Token::Number(value) => Some(value.to_f64()),
            Token::Constant(value) => Some(value),
            Token::Variable(name) => Some(self.point.of(name)),
            Token::Open(open) => self.deeper(|this| this.closed_by(open)),
            Token::Fraction => {
                let above = self.deeper(|this| this.atom())?;
                let below = self.deeper(|this| this.atom())?;
                Some(above / below)
            }
            Token::Root => {
                let index = if self.take(Token::Open('[')) { self.deeper(|this| this.closed_by('['))? } else { 2.0 };
                let under = self.deeper(|this| this.atom())?;
                Some(if index == 2.0 { under.sqrt() } else { root(under, index) })
            }
            Token::Log => {
                let base = if self.take(Token::Subscript) { self.deeper(|this| this.atom())? } else { 10.0 };
                let of = self.deeper(|this| this.operand())?;
                self.count(of);
                Some(of.ln() / base.ln())
            }
            Token::Function(function) => {
                let of = self.deeper(|this| this.operand())?;
                self.count(of);
                Some(function.of(of))
            }
            _ => None,
        }
    }

    /// What a function is of: `sin x^2` is of the power, `sin(x)^2` the power of the function.
    fn operand(&mut self) -> Option<f64> {
        if matches!(self.peek(), Some(Token::Open(_))) { self.atom() } else { self.power() }
    }

    /// The rest of a group that began with `open`.
    fn closed_by(&mut self, open: char) -> Option<f64> {
        let close = match open {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            _ => return None,
        };
        let value = self.sum()?;
        self.take(Token::Close(close)).then_some(value)
    }

    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Option<f64>) -> Option<f64> {
        if self.depth == DEPTH {
            return None;
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

/// The real root; of a negative number where the index is odd.
fn root(under: f64, index: f64) -> f64 {
    if under < 0.0 && index.rem_euclid(2.0) == 1.0 {
        return -(-under).powf(1.0 / index);
    }
    under.powf(1.0 / index)
}
