//! An answer's notation as tokens.

use crate::reward::answer::{Rational, decimal};

/// A part of an expression. Brackets keep their character; a set's are `⟨` and `⟩`, a LaTeX group's `{` and `}`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token {
    Number(Rational),
    Variable(char),
    Constant(f64),
    Plus,
    Minus,
    Times,
    Over,
    Power,
    Subscript,
    Equals,
    Comma,
    Open(char),
    Close(char),
    Fraction,
    Root,
    Log,
    Function(Function),
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Function {
    Ln,
    Exp,
    Sin,
    Cos,
    Tan,
    Arcsin,
    Arccos,
    Arctan,
}

impl Function {
    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Ln => x.ln(),
            Self::Exp => x.exp(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Arcsin => x.asin(),
            Self::Arccos => x.acos(),
            Self::Arctan => x.atan(),
        }
    }
}

/// The tokens of `text`; `None` when it holds anything that is no part of an expression.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text.trim().trim_end_matches('.');
    while let Some(c) = rest.chars().next() {
        let length = next(rest, c, &mut out)?;
        rest = rest.get(length..)?;
    }
    Some(out)
}

/// Reads one token and gives its length.
fn next(rest: &str, c: char, out: &mut Vec<Token>) -> Option<usize> {
    if matches!(out.last(), Some(Token::Fraction)) && c.is_ascii_digit() {
        return short_fraction(rest, out);
    }
    if let Some((value, length)) = decimal(rest) {
        out.push(Token::Number(value));
        return Some(length);
    }
    if c == '\\' {
        return command(rest, out);
    }
    if let Some(length) = ["^{\\circ}", "^\\circ"].iter().find(|mark| rest.starts_with(**mark)).map(|mark| mark.len()) {
        return Some(length);
    }
    let token = match c {
        ' ' | '\t' | '\n' | '$' | '%' | '°' | '~' => return Some(c.len_utf8()),
        '+' => Token::Plus,
        '-' | '\u{2212}' | '\u{2013}' => Token::Minus,
        '*' if rest.starts_with("**") => {
            out.push(Token::Power);
            return Some(2);
        }
        '*' | '×' | '·' | '⋅' => Token::Times,
        '/' | '÷' => Token::Over,
        '^' => Token::Power,
        '_' => Token::Subscript,
        '=' => Token::Equals,
        ',' | ';' => Token::Comma,
        '(' | '[' | '{' => Token::Open(c),
        ')' | ']' | '}' => Token::Close(c),
        'π' => Token::Constant(std::f64::consts::PI),
        '√' => Token::Root,
        _ if c.is_alphabetic() => return word(rest, out),
        _ => return None,
    };
    out.push(token);
    Some(c.len_utf8())
}

/// The arguments of `\frac12`, a digit each.
fn short_fraction(rest: &str, out: &mut Vec<Token>) -> Option<usize> {
    let digits: Vec<char> = rest.chars().take(2).collect();
    for digit in &digits {
        let value = digit.to_digit(10)?;
        out.extend([Token::Open('{'), Token::Number(Rational::from(i64::from(value))), Token::Close('}')]);
    }
    (digits.len() == 2).then_some(2)
}

fn command(rest: &str, out: &mut Vec<Token>) -> Option<usize> {
    let body = rest.get(1..)?;
    let letters = body.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(body.len());
    if letters == 0 {
        let c = body.chars().next()?;
        match c {
            '{' => out.push(Token::Open('\u{27E8}')),
            '}' => out.push(Token::Close('\u{27E9}')),
            '!' | ',' | ';' | ':' | ' ' | '$' | '%' | '(' | ')' | '[' | ']' => {}
            _ => return None,
        }
        return Some(1 + c.len_utf8());
    }
    match body.get(..letters)? {
        "left" | "right" | "big" | "Big" | "displaystyle" | "quad" | "qquad" | "degree" => {}
        "frac" | "dfrac" | "tfrac" | "cfrac" => out.push(Token::Fraction),
        "cdot" | "times" | "ast" => out.push(Token::Times),
        "div" => out.push(Token::Over),
        name => out.push(named(name)?),
    }
    Some(1 + letters)
}

/// Letters without a backslash: a known name, else each a variable, as long as there are few.
fn word(rest: &str, out: &mut Vec<Token>) -> Option<usize> {
    let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let word = rest.get(..length)?;
    if let Some(token) = named(word) {
        out.push(token);
    } else if word.chars().count() <= 2 {
        out.extend(word.chars().map(Token::Variable));
    } else {
        return None;
    }
    Some(length)
}

fn named(name: &str) -> Option<Token> {
    Some(match name {
        "pi" => Token::Constant(std::f64::consts::PI),
        "e" => Token::Constant(std::f64::consts::E),
        "sqrt" => Token::Root,
        "log" => Token::Log,
        "ln" => Token::Function(Function::Ln),
        "exp" => Token::Function(Function::Exp),
        "sin" => Token::Function(Function::Sin),
        "cos" => Token::Function(Function::Cos),
        "tan" => Token::Function(Function::Tan),
        "arcsin" => Token::Function(Function::Arcsin),
        "arccos" => Token::Function(Function::Arccos),
        "arctan" => Token::Function(Function::Arctan),
        "alpha" => Token::Variable('α'),
        "beta" => Token::Variable('β'),
        "theta" => Token::Variable('θ'),
        "lambda" => Token::Variable('λ'),
        _ => return None,
    })
}
