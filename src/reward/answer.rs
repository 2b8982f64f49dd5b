//! The answer in a text: where it stands, and which other answers it equals.
//!
//! Three conventions: GSM8K's `#### answer` line unless a box stands behind it, else LaTeX's `\boxed{answer}`, else the last number.

mod number;
mod reading;

pub use self::number::Rational;
pub(in crate::reward) use self::number::decimal;
pub(in crate::reward) use self::reading::SCALES;

use self::reading::{clean, lone_number};

/// What GSM8K puts before an answer.
const MARK: &str = "####";

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
    /// The answer written as `text`: units, currency, percent signs, thousands separators and LaTeX spacing do not count, nor does
    /// what stands left of an `=` and is a name, a name with arguments, or a sum of numbers. `None` when nothing is left.
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
    extract_from(text, true)
}

/// The answer of a text that was cut off: a number at its very end may lack digits, so an earlier one is preferred.
pub fn extract_unfinished(text: &str) -> Option<Extracted> {
    let whole = text.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '/' | '-'));
    extract_from(whole, false).or_else(|| extract_from(text, false))
}

/// Whether what stands in `text` from byte `from` on completes a line `#### answer` whose answer has a number in it: a word may be a
/// heading, which only the end of the text tells.
pub fn completes_answer_line(text: &str, from: usize) -> bool {
    let Some(new) = text.get(from..) else { return false };
    new.match_indices('\n').any(|(at, _)| {
        let line = text.get(..from + at).and_then(|before| before.rsplit('\n').next());
        line.and_then(|line| marked_line(line, false)).is_some()
    })
}

fn extract_from(text: &str, finished: bool) -> Option<Extracted> {
    if let Some(answer) = marked(text, finished).and_then(Answer::parse) {
        return Some(Extracted { answer, marked: true });
    }
    let last = number::numbers(text).last()?;
    Some(Extracted { answer: Answer::number(last.value), marked: false })
}

/// What the text marks as its answer: the last box if it stands behind the last marked `####`, else what follows that.
fn marked(text: &str, finished: bool) -> Option<&str> {
    let (mut line, mut end, mut is_last) = (None, text.len(), finished);
    for part in text.rsplit('\n') {
        let start = end - part.len();
        line = marked_line(part, is_last).map(|content| (start + part.rfind(MARK).unwrap_or_default(), content));
        if line.is_some() {
            break;
        }
        is_last &= part.trim().is_empty();
        end = start.saturating_sub(1);
    }
    let boxed = last_boxed(text).filter(|(at, _)| line.is_none_or(|(mark, _)| mark < *at));
    boxed.or(line).map(|(_, content)| content)
}

/// What follows `####` if that is an answer and no heading of Markdown: it begins with a number that does not count headings, or is
/// one word. A word without a digit may be a heading unless the text ends with it.
fn marked_line(line: &str, is_last: bool) -> Option<&str> {
    let (_, content) = line.rsplit_once(MARK)?;
    let content = content.trim();
    let word = !content.is_empty() && !content.contains(char::is_whitespace);
    let around = number::numbers(content).next().and_then(|n| Some((content.get(..n.start)?, content.get(n.end..)?)));
    let leads = around.is_some_and(|(lead, _)| !lead.contains(char::is_alphabetic));
    let counts = leads && around.is_some_and(|(_, behind)| is_heading(behind));
    let told = is_last || content.contains(|c: char| c.is_ascii_digit());
    (leads && !counts || word && told).then_some(content)
}

/// Whether a heading follows the number before this text, as in `1. Find the price`, `**2)** Add` or `3: Multiply`.
fn is_heading(behind: &str) -> bool {
    let rest = behind.trim_start_matches('*').strip_prefix(['.', ')', ':']);
    let rest = rest.map(|rest| rest.trim_start_matches('*')).filter(|rest| rest.starts_with(char::is_whitespace));
    rest.is_some_and(|rest| rest.trim_start().trim_start_matches('*').starts_with(char::is_alphabetic))
}

/// Where the last `\boxed{…}` stands whose braces close, and its content.
pub(in crate::reward) fn last_boxed(text: &str) -> Option<(usize, &str)> {
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
        Some((at, inner.get(..close)?))
    })
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
        assert_eq!(found("#### Solution\n2 + 2 = 4.\n#### (B)\n\n"), marked("(B)"));
        assert_eq!(found("#### 1. Find the boxes\n2 + 2 = 4, so \\boxed{4}"), marked("4"));
        assert_eq!(found("#### 4\nNo: #### \\boxed{5}"), marked("5"));
        assert_eq!(found("\\boxed{5}\n#### 4"), marked("4"));
        for heading in ["Solution", "1. Find the boxes", "**2)** Count", "3: Add", "Step 4"] {
            assert_eq!(found(&format!("#### {heading}\nIt is 9.")), Some(("9".into(), false)), "{heading}");
        }
        assert_eq!(found("2 + 2 = 4 eggs, at $3 each: $12."), Some(("12".into(), false)));
        assert_eq!(found("####\nno number"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn answers_that_mean_the_same_are_equal() {
        let classes: &[&[&str]] = &[
            &["18", "$18", "18.", "18.00", "18 dollars", "\\$18", "x = 18", "**18**", "36/2", "18 km", "18km", "018"],
            &[
                "1234",
                "1,234",
                "1{,}234",
                "1,234.0",
                "x = 1,234",
                "\\theta = 1234",
                "f(2) = 1234",
                "1200 + 34 = 1234 eggs",
            ],
            &["0.5", "1/2", "\\frac{1}{2}", "\\dfrac{1}{2}", ".5", "2/4", "50/100"],
            &["50%", "50", "50\\%", "50 percent"],
            &["-3", "\u{2212}3", "-3.0", "-$3", "- 3"],
            &["2x", "2X"],
            &["(3, 4)", "(3,4)", "\\left(3, 4\\right)"],
            &["Monday", "monday", "\\text{Monday}."],
            &[
                "7",
                "x = 2 + 5 = 7",
                "\\frac{14}{2} = 7",
                "\\text{Total cost} = 7",
                "2 x 3 + 1 = 7",
                "7 well-fed cats",
                "sqrt(49) = 7",
                "3 eggs + 4 brown eggs = 7 eggs",
                "$14/day / 2 days = $7",
            ],
            &["(1, 2)", "(x, y) = (1, 2)"],
            &["2x - y + 2z + 5 = 0"],
            &["x + y + z = 0"],
            &["x = 1, y = 2"],
            &["x = 3, y = 2"],
            &["x^2 + y^2 = 25"],
            &["y = x = 25"],
            &["sin(x) = 25"],
            &["x <= 25"],
            &["25"],
            &["x-9"],
            &["9-i", "9 - i"],
            &["n - 9"],
            &["9 million"],
            &["9 dozens"],
            &["9 and a half"],
            &["9 pi"],
            &["minus 9"],
            &["9"],
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
        assert_eq!(text("12 eggs\n#### Solu").as_deref(), Some("12"), "a heading may begin so");
        assert_eq!(text("none"), None);
    }

    #[test]
    fn an_answer_line_is_complete_with_its_newline() {
        assert!(completes_answer_line("a\n#### 12\n", 9));
        assert!(completes_answer_line("#### 12\nmore", 7));
        assert!(!completes_answer_line("#### 12\nmore", 8));
        assert!(!completes_answer_line("#### 12", 0));
        assert!(completes_answer_line("#### (13 - (5 + 6)) * 12\n", 0));
        assert!(completes_answer_line("#### 18. 5 each\n", 0));
        for heading in ["Step 1: add", "Solution", "1. Find the boxes", "2) Add", "yes"] {
            assert!(!completes_answer_line(&format!("#### {heading}\n"), 0), "{heading}");
        }
        assert!(!completes_answer_line("####\n", 0));
        assert!(!completes_answer_line("é\n", 1), "an offset inside a code point is no text");
    }
}
