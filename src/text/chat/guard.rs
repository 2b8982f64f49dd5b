//! Keeps templates from growing lists without paying for it.
//!
//! minijinja charges fuel for text and for the results of filters, but joins lists by `+` without charge and copies the
//! joined items once such sums are 32 deep: 33 doublings ask for 200 GiB. So both sides of every `+` are passed through a
//! function that charges for the items of lists and hands everything back as it came.

use std::collections::BTreeSet;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

/// Brackets inside each other; minijinja's parser stops at 150.
const DEPTH: usize = 150;
/// Words and signs of one tag: minijinja's compiler takes quadratic time over a long row of operators.
const TAG_TOKENS: usize = 4_096;
const ITEMS_PER_FUEL: u64 = 8;

/// What an expression cannot cross at its own level of brackets.
const KEYWORDS: [&str; 9] = ["and", "or", "not", "in", "is", "if", "else", "elif", "recursive"];

/// `source` with both sides of every `+` wrapped in calls of the function that is named in return.
pub(super) fn wrap_sums(source: &str, syntax: SyntaxConfig) -> Result<(String, String), Error> {
    let mut name = String::from("charged");
    while source.contains(&name) {
        name.push('_');
    }
    let tokens = read(source, syntax)?;
    let mut operands = BTreeSet::new();
    for (i, piece) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| tokens.get(i));
        if piece.role == Role::Sign && before.is_some_and(|piece| piece.role.ends_operand()) {
            operands.extend(left_of(&tokens, i));
            operands.extend(right_of(&tokens, i));
        }
    }
    let mut inserts: Vec<(usize, String)> = Vec::with_capacity(operands.len() * 2);
    for (start, end) in operands {
        inserts.push((start, format!("{name}(")));
        inserts.push((end, ")".into()));
    }
    inserts.sort_by_key(|&(at, _)| at);
    let mut out = String::with_capacity(source.len() + inserts.len() * name.len());
    let mut done = 0;
    for (at, text) in inserts {
        out.push_str(source.get(done..at).unwrap_or_default());
        out.push_str(&text);
        done = at;
    }
    out.push_str(source.get(done..).unwrap_or_default());
    Ok((out, name))
}

/// Charges for the items of a list and gives `value` back.
pub(super) fn charged(state: &State, value: Value) -> Result<Value, Error> {
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        state.consume_fuel(value.len().unwrap_or(0) as u64 / ITEMS_PER_FUEL)?;
    }
    Ok(value)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Ends an expression: keywords, commas, comparisons, the ends of tags.
    Edge,
    /// `+` or `-`, between operands or before one.
    Sign,
    /// Another operator, which binds its operands closer than `+`.
    Operator,
    Name,
    Open,
    Close,
}

impl Role {
    fn ends_operand(self) -> bool {
        matches!(self, Self::Name | Self::Close)
    }
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    role: Role,
    start: usize,
    end: usize,
}

fn read(source: &str, syntax: SyntaxConfig) -> Result<Vec<Piece>, Error> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut depth, mut in_tag, mut opens_tag, mut follows_dot) = (0_usize, 0_usize, false, false);
    for token in tokenize(source, false, syntax) {
        let (token, span) = token?;
        let role = match &token {
            Token::Ident(name) if opens_tag || (!follows_dot && KEYWORDS.contains(name)) => Role::Edge,
            Token::Ident(_) | Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {
                Role::Name
            }
            Token::Plus | Token::Minus => Role::Sign,
            Token::Mul | Token::Div | Token::FloorDiv | Token::Pow | Token::Mod => Role::Operator,
            Token::Dot | Token::Tilde | Token::Pipe => Role::Operator,
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => Role::Open,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => Role::Close,
            _ => Role::Edge,
        };
        match role {
            Role::Open => depth += 1,
            Role::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        in_tag = if matches!(token, Token::BlockStart | Token::VariableStart) { 0 } else { in_tag + 1 };
        if depth > DEPTH || in_tag > TAG_TOKENS {
            return Err(Error::new(minijinja::ErrorKind::SyntaxError, "a tag is too long or nested too deeply"));
        }
        opens_tag = matches!(token, Token::BlockStart);
        follows_dot = matches!(token, Token::Dot | Token::Pipe);
        pieces.push(Piece { role, start: span.start_offset as usize, end: span.end_offset as usize });
    }
    Ok(pieces)
}

/// The operand that ends before `sign`.
fn left_of(pieces: &[Piece], sign: usize) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    let mut first = sign;
    for i in (0..sign).rev() {
        let piece = pieces.get(i)?;
        let is_binary = || i.checked_sub(1).and_then(|i| pieces.get(i)).is_some_and(|p| p.role.ends_operand());
        match piece.role {
            Role::Close => depth += 1,
            Role::Open if depth == 0 => break,
            Role::Open => depth -= 1,
            Role::Edge if depth == 0 => break,
            Role::Sign if depth == 0 && is_binary() => break,
            _ => {}
        }
        first = i;
    }
    Some((pieces.get(first)?.start, pieces.get(sign.checked_sub(1)?)?.end)).filter(|_| first < sign)
}

/// The operand that starts after `sign`.
fn right_of(pieces: &[Piece], sign: usize) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    let mut last = sign;
    for i in sign + 1..pieces.len() {
        let piece = pieces.get(i)?;
        let is_binary = pieces.get(i - 1).is_some_and(|p| p.role.ends_operand());
        match piece.role {
            Role::Open => depth += 1,
            Role::Close if depth == 0 => break,
            Role::Close => depth -= 1,
            Role::Edge if depth == 0 => break,
            Role::Sign if depth == 0 && is_binary => break,
            _ => {}
        }
        last = i;
    }
    Some((pieces.get(sign + 1)?.start, pieces.get(last)?.end)).filter(|_| last > sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(source: &str) -> String {
        wrap_sums(source, SyntaxConfig::default()).unwrap().0.replace("charged", "C")
    }

    #[test]
    fn both_sides_of_every_sum_are_wrapped_and_nothing_else() {
        for (source, want) in [
            ("a + b {{ a + b }}", "a + b {{ C(a) + C(b) }}"),
            ("{{ a+b-c + -d }}", "{{ C(a)+C(b)-C(c) + C(-d) }}"),
            (
                "{%- set x.y = a.b[c + 1] + 'q' ~ r | f(2) if not s + t else u -%}",
                "{%- set x.y = C(a.b[C(c) + C(1)]) + C('q' ~ r | f(2)) if not C(s) + C(t) else u -%}",
            ),
            ("{% for i in (a + [1]) * 2 + b recursive %}", "{% for i in C((C(a) + C([1])) * 2) + C(b) recursive %}"),
            (
                "{%+ if a == b + c +%}{# a + b #}{% raw %}{{ a + b }}{% endraw %}",
                "{%+ if a == C(b) + C(c) +%}{# a + b #}{% raw %}{{ a + b }}{% endraw %}",
            ),
            (
                "{{ '+' }}{{ \"a + b\" }}{{ -a }}{{ {'k': a + b} }}",
                "{{ '+' }}{{ \"a + b\" }}{{ -a }}{{ {'k': C(a) + C(b)} }}",
            ),
        ] {
            assert_eq!(wrapped(source), want);
        }
    }

    #[test]
    fn a_template_cannot_take_the_name_of_the_guard() {
        let (_, name) =
            wrap_sums("{% macro charged(x) %}{% endmacro %}{% set charged_ = 1 %}", SyntaxConfig::default()).unwrap();
        assert_eq!(name, "charged__");
    }
}
