//! The answer in a text: where it stands, and which other answers it equals.
//!
//! Three conventions, in this order: GSM8K's `#### answer` line, LaTeX's `\boxed{answer}`, else the last number.

mod number;

pub use self::number::Rational;
pub(in crate::reward) use self::number::decimal;

/// An answer, equal to every other answer that means the same.
#[derive(Debug, Clone)]
pub struct Answer {
    text: String,
    class: Class,
}

/// What answers are compared by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Class {
    /// A number, compared exactly: `0.5`, `1/2` and `\frac{1}{2}` are one class.
    Number(Rational),
    /// Anything else, without white space and in lower case unless it is to be exact.
    Text(String),
}

/// An answer and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The answer.
    pub answer: Answer,
    /// Whether the text marked it by `####` or `\boxed`, rather than its being the last number.
    pub marked: bool,
}

impl Answer {
    /// The answer written as `text`: units, currency, percent signs, thousands separators and LaTeX spacing do not count.
    /// `None` when nothing is left.
    pub fn parse(text: &str) -> Option<Self> {
        let clean = clean(text);
        if let Some(value) = lone_number(&clean) {
            return Some(Self::number(value));
        }
        let class: String = clean.split_whitespace().collect::<String>().to_lowercase();
        if class.is_empty() { None } else { Some(Self { text: clean, class: Class::Text(class) }) }
    }

    /// An answer that equals those of exactly the same `meaning`.
    pub fn exactly(text: &str, meaning: String) -> Self {
        Self { text: text.to_owned(), class: Class::Text(meaning) }
    }

    /// How to show it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is compared by.
    pub fn class(&self) -> &Class {
        &self.class
    }

    fn number(value: Rational) -> Self {
        Self { text: value.to_string(), class: Class::Number(value) }
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.class == other.class
    }
}

impl Eq for Answer {}

/// The answer of a text that came to its end.
pub fn extract(text: &str) -> Option<Extracted> {
    let marked = text.lines().rev().find_map(marked_line).or_else(|| last_boxed(text)).and_then(Answer::parse);
    if let Some(answer) = marked {
        return Some(Extracted { answer, marked: true });
    }
    let last = number::numbers(text).last()?;
    Some(Extracted { answer: Answer::number(last.value), marked: false })
}

/// The answer of a text that was cut off: a number at its very end may lack digits, so an earlier one is preferred.
pub fn extract_unfinished(text: &str) -> Option<Extracted> {
    let whole = text.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '/' | '-'));
    extract(whole).or_else(|| extract(text))
}

/// Whether what stands in `text` from byte `from` on completes a line `#### answer`.
pub fn completes_answer_line(text: &str, from: usize) -> bool {
    let Some(new) = text.get(from..) else { return false };
    new.match_indices('\n').any(|(at, _)| {
        let line = text.get(..from + at).and_then(|before| before.rsplit('\n').next());
        line.and_then(marked_line).is_some()
    })
}

/// What follows `####` if it begins with a number or is one word: a Markdown heading is no answer.
fn marked_line(line: &str) -> Option<&str> {
    let (_, content) = line.rsplit_once("####")?;
    let content = content.trim();
    let word = !content.is_empty() && !content.contains(char::is_whitespace);
    let number = number::numbers(content).next();
    let leads = number.is_some_and(|n| content.get(..n.start).is_some_and(|lead| !lead.contains(char::is_alphabetic)));
    (word || leads).then_some(content)
}

/// The content of the last `\boxed{…}` whose braces close.
pub(in crate::reward) fn last_boxed(text: &str) -> Option<&str> {
    text.rmatch_indices("\\boxed{").find_map(|(at, open)| {
        let inner = text.get(at + open.len()..)?;
        let mut depth = 1usize;
        let close = inner.find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        inner.get(..close)
    })
}

/// The text without what does not change its meaning.
fn clean(text: &str) -> String {
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
    let right = text.rsplit_once('=').map_or(text.as_str(), |(_, right)| right);
    right.trim().trim_end_matches(['.', ',', ';', ':']).trim().to_owned()
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

/// The value of a text that is one number with at most words and currency around it.
fn lone_number(clean: &str) -> Option<Rational> {
    let mut all = number::numbers(clean);
    let number = all.next()?;
    if all.next().is_some() {
        return None;
    }
    let (before, after) = (clean.get(..number.start)?, clean.get(number.end..)?);
    let plain = |part: &str| {
        part.chars().all(|c| {
            c.is_alphabetic()
                || c.is_whitespace()
                || matches!(c, '.' | ',' | ':' | '\'' | '’' | '-' | '€' | '£' | '°' | '"')
        })
    };
    // A single letter right behind it is a variable (2x), more are a unit (12km).
    let attached = after.chars().take_while(|c| c.is_alphabetic()).count();
    (plain(before) && plain(after) && attached != 1).then_some(number.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, bool)> {
        extract(text).map(|e| (e.answer.text().to_owned(), e.marked))
    }

    #[test]
    fn the_marked_answer_wins_over_the_last_number() {
        let marked = |s: &str| Some((s.to_owned(), true));
        assert_eq!(found("She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18"), marked("18"));
        assert_eq!(found("#### 70,000\nThat took 3 steps."), marked("70000"));
        assert_eq!(found("#### 1\n#### $2.50 per day.\n"), marked("5/2"));
        assert_eq!(found("So \\boxed{\\frac{3}{4}} and 12"), marked("3/4"));
        assert_eq!(found("So \\boxed{x^{2}+{1}} done"), marked("x^{2}+{1}"));
        assert_eq!(found("\\boxed{5} then \\boxed{6"), marked("5"));
        assert_eq!(found("#### Step 1: count\n2 + 2 = 4\nThe total is \\boxed{4}."), marked("4"));
        assert_eq!(found("#### yes"), marked("yes"));
        assert_eq!(found("2 + 2 = 4 eggs, at $3 each: $12."), Some(("12".into(), false)));
        assert_eq!(found("####\nno number"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn answers_that_mean_the_same_are_equal() {
        let classes: [&[&str]; 8] = [
            &["18", "$18", "18.", "18.00", "18 dollars", "\\$18", "x = 18", "**18**", "36/2", "18 km", "18km", "018"],
            &["1234", "1,234", "1{,}234", "1,234.0"],
            &["0.5", "1/2", "\\frac{1}{2}", "\\dfrac{1}{2}", ".5", "2/4", "50/100"],
            &["50%", "50", "50\\%", "50 percent"],
            &["-3", "\u{2212}3", "-3.0", "-$3"],
            &["2x", "2X"],
            &["(3, 4)", "(3,4)", "\\left(3, 4\\right)"],
            &["Monday", "monday", "\\text{Monday}."],
        ];
        for (i, class) in classes.iter().enumerate() {
            for a in *class {
                for (j, other) in classes.iter().enumerate() {
                    for b in *other {
                        let equal = Answer::parse(a).unwrap() == Answer::parse(b).unwrap();
                        assert_eq!(equal, i == j, "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_no_answer() {
        for nothing in ["", " ", "$", "...", "\\text{}", "**"] {
            assert!(Answer::parse(nothing).is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn a_number_cut_off_by_the_end_is_not_trusted() {
        let text = |t: &str| extract_unfinished(t).map(|e| e.answer.text().to_owned());
        assert_eq!(text("9 * 2 = 18 eggs, and 18 + 12").as_deref(), Some("18"));
        assert_eq!(text("12").as_deref(), Some("12"));
        assert_eq!(text("5 + 7 = 12\n#### 1").as_deref(), Some("12"));
        assert_eq!(text("#### 12\n").as_deref(), Some("12"));
        assert_eq!(text("none"), None);
    }

    #[test]
    fn an_answer_line_is_complete_with_its_newline() {
        assert!(completes_answer_line("a\n#### 12\n", 9));
        assert!(completes_answer_line("#### 12\nmore", 7));
        assert!(!completes_answer_line("#### 12\nmore", 8));
        assert!(!completes_answer_line("#### 12", 0));
        assert!(!completes_answer_line("#### Step 1: add\n", 0));
        assert!(!completes_answer_line("####\n", 0));
        assert!(!completes_answer_line("é\n", 1), "an offset inside a code point is no text");
    }
}
