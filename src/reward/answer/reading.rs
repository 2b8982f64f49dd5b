//! An answer as people write it, brought to what it means.

use super::number::{self, Rational};
use crate::reward::exact::{evaluate, parts};

/// Words that make another number of the one beside them.
pub(in crate::reward) const SCALES: [&str; 9] =
    ["dozen", "hundred", "thousand", "million", "billion", "trillion", "pi", "mod", "half"];
/// Words that are signs.
const SIGNS: [&str; 2] = ["minus", "negative"];
/// `f(x) = 1` says what `f(x)` is, and `sin(x) = 1` something of `x`.
const FUNCTIONS: [&str; 11] = ["sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "abs"];

/// The text without what does not change its meaning.
pub(super) fn clean(text: &str) -> String {
    let mut text = text.trim().to_owned();
    for wrapper in ["\\text", "\\textbf", "\\mathrm", "\\mathbf"] {
        text = unwrap(&text, wrapper);
    }
    for (from, to) in [
        ("\\left", ""),
        ("\\right", ""),
        ("\\$", ""),
        ("\\%", ""),
        ("{,}", ","),
        ("\\!", ""),
        ("\\,", " "),
        ("\\;", " "),
        ("\\ ", " "),
        ("\\(", ""),
        ("\\)", ""),
        ("**", ""),
        ("$", ""),
        ("%", ""),
        ("~", " "),
    ] {
        text = text.replace(from, to);
    }
    let whole = trimmed(&text);
    trimmed(right_side(whole)).to_owned()
}

/// The value of a text that is one number with at most words and currency around it.
pub(super) fn lone_number(clean: &str) -> Option<Rational> {
    let mut all = number::numbers(clean);
    let number = all.next()?;
    if all.next().is_some() {
        return None;
    }
    let (before, after) = (clean.get(..number.start)?, clean.get(number.end..)?);
    // A single letter right behind it is a variable (2x), more are a unit (12km).
    let attached = after.chars().take_while(|c| c.is_alphabetic()).count();
    if !is_plain(after) || attached == 1 {
        return None;
    }
    if matches!(before.trim(), "-" | "\u{2212}") {
        return number.value.checked_neg();
    }
    is_plain(before).then_some(number.value)
}

fn trimmed(text: &str) -> &str {
    text.trim().trim_end_matches(['.', ',', ';', ':']).trim()
}

/// Replaces each `name{content}` without inner braces by its content.
fn unwrap(text: &str, name: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let open = format!("{name}{{");
    while let Some((before, after)) = rest.split_once(&open) {
        out.push_str(before);
        let Some((content, tail)) = after.split_once('}') else {
            rest = after;
            continue;
        };
        out.push_str(content);
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// What stands right of the last `=` if the left only names it or computes it: `x = 5`, `f(x) = x + 1`, `9 * 2 = 18`. Any other
/// equation is an answer of its own, and so is a list of equations.
fn right_side(text: &str) -> &str {
    let Some((left, right)) = text.rsplit_once('=') else { return text };
    let mut sides = left.split('=').map(str::trim);
    let named = sides.next().is_some_and(|first| is_name(first) || is_sum(first));
    if named && sides.all(is_sum) && !is_list(text) { right } else { text }
}

/// One name, a name with its arguments in brackets, arguments alone, or words.
fn is_name(side: &str) -> bool {
    let (head, arguments) = match side.strip_suffix(')').and_then(|side| side.split_once('(')) {
        Some((head, arguments)) => (head.trim_end(), Some(arguments)),
        None => (side, None),
    };
    let mut arguments = arguments.into_iter().flat_map(|list| list.split(',')).map(str::trim);
    if FUNCTIONS.contains(&head.trim_start_matches('\\')) {
        return arguments.all(is_sum);
    }
    let words = || head.split_whitespace();
    let is_phrase =
        words().count() > 1 && words().all(|word| word.chars().count() > 1 && word.chars().all(char::is_alphabetic));
    let calls = side.ends_with(')');
    (is_word(head) || head.is_empty() && calls || is_phrase && !calls)
        && arguments.all(|argument| is_word(argument) || is_sum(argument))
}

/// A variable or a word, such as `x_1`, `\theta`, `f'` or `Total`.
fn is_word(text: &str) -> bool {
    let (name, index) = text.split_once('_').unwrap_or((text, ""));
    let name = name.strip_prefix('\\').unwrap_or(name).trim_end_matches('\'');
    name.starts_with(char::is_alphabetic)
        && name.chars().all(char::is_alphanumeric)
        && index.chars().all(|c| c.is_alphanumeric() || matches!(c, '{' | '}'))
}

/// A sum of numbers without any name; units may stand behind them (`5 eggs + 4 eggs`).
fn is_sum(text: &str) -> bool {
    let mut plain = without_units(text).replace("\\times", "*").replace("\\cdot", "*").replace("\\div", "/");
    for command in ["\\frac", "\\dfrac", "\\tfrac", "\\sqrt"] {
        plain = plain.replace(command, "");
    }
    let plain = plain.replace('{', "(").replace('}', ")");
    parts(&plain).and_then(|tokens| evaluate(&tokens, true)).is_some()
}

/// The text without the words behind its numbers. A single letter is a variable, and some words are no units.
fn without_units(text: &str) -> String {
    let is_unit = |word: &str| word.chars().count() > 1 && !FUNCTIONS.contains(&word) && !is_operator(word);
    let (mut plain, mut from) = (String::new(), 0);
    for number in number::numbers(text) {
        plain.push_str(text.get(from..number.end).unwrap_or_default());
        from = number.end;
        loop {
            let rest = text.get(from..).unwrap_or_default();
            let start = rest.find(|c: char| c != ' ' && c != '/').unwrap_or(rest.len());
            let word = rest.get(start..).unwrap_or_default();
            let word = word.get(..word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len())).unwrap_or_default();
            if !is_unit(word) {
                break;
            }
            from += start + word.len();
        }
    }
    plain + text.get(from..).unwrap_or_default()
}

/// Whether a comma or a semicolon outside of brackets stands between values.
fn is_list(text: &str) -> bool {
    let (mut depth, mut from) = (0_usize, 0);
    let spans = number::numbers(text).map(|number| (number.start, number.end));
    for (start, end) in spans.chain([(text.len(), text.len())]) {
        for c in text.get(from..start).unwrap_or_default().chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                ',' | ';' if depth == 0 => return true,
                _ => {}
            }
        }
        from = end;
    }
    false
}

/// Words and signs that leave a number beside them as it is.
fn is_plain(part: &str) -> bool {
    let mut chars = part.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        let between = [before, chars.peek().copied()];
        let hyphen = c == '-' && between.iter().all(|c| c.is_some_and(char::is_alphabetic));
        let sign = matches!(c, '.' | ',' | ':' | '\'' | '’' | '€' | '£' | '°' | '"');
        if !(c.is_alphabetic() || c.is_whitespace() || sign || hyphen) {
            return false;
        }
        before = Some(c);
    }
    !part.split(|c: char| !c.is_alphabetic()).any(is_operator)
}

/// Whether a word makes another number of the one beside it.
fn is_operator(word: &str) -> bool {
    let word = word.to_lowercase();
    let listed = |word: &str| SCALES.contains(&word) || SIGNS.contains(&word);
    listed(&word) || word.strip_suffix('s').is_some_and(listed)
}
