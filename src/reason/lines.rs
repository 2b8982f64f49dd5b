//! Lists and verdicts in replies, as small models write them.

/// The items of a list: the texts of numbered or marked lines; of a reply without any, all of its lines.
pub(super) fn items(text: &str) -> Vec<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked: Vec<String> = lines().filter_map(unmarked).map(str::to_owned).collect();
    if marked.is_empty() { lines().map(str::to_owned).collect() } else { marked }
}

/// What stands behind `1.`, `2)`, `-` or `*`; `None` for a line without such a mark.
fn unmarked(line: &str) -> Option<&str> {
    let line = line.trim_start_matches('*').trim_start();
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = match digits {
        0 => line.strip_prefix(['-', '•']),
        _ => line.get(digits..)?.strip_prefix(['.', ')', ':']),
    };
    let rest = rest?.trim().trim_matches('*').trim();
    // `-5 + 3` and `1.5 kg` are no items.
    let bare = line.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let decimal = digits > 0
        && line.get(digits..)?.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (!rest.is_empty() && !bare && !decimal).then_some(rest)
}

/// Which of `words` stands last in `text`, whatever the case, as a word of its own.
pub(super) fn last_word(text: &str, words: &[&str]) -> Option<usize> {
    let text = text.to_lowercase();
    let mut found = text.split(|c: char| !c.is_alphanumeric()).rev();
    found.find_map(|word| words.iter().position(|known| *known == word))
}

/// The last whole number of a text.
pub(super) fn last_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).rev().find_map(|digits| digits.parse().ok())
}

/// The rating that a text ends with, as in `Score: 7.5`, `7/10` or `7 out of 10`: the first number of the last line that has one,
/// without the scale's own.
pub(super) fn rating(text: &str, best: u32) -> Option<f64> {
    let scales = [
        format!("/{best}"),
        format!("/ {best}"),
        format!("out of {best}"),
        format!("0 to {best}"),
        format!("0-{best}"),
    ];
    text.lines().rev().find_map(|line| {
        let line = scales.iter().fold(line.to_lowercase(), |line, scale| without(&line, scale));
        let mut numbers = line.split(|c: char| !c.is_ascii_digit() && c != '.').map(|digits| digits.trim_matches('.'));
        numbers.find_map(|digits| digits.parse::<f64>().ok()).map(|rating| rating.min(best.into()))
    })
}

/// `line` without `scale`, which ends in a number, unless that goes on.
fn without(line: &str, scale: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once(scale) {
        out.push_str(before);
        out.push_str(if behind.starts_with(|c: char| c.is_ascii_digit()) { scale } else { " " });
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_lines_are_items_and_without_any_all_lines_are() {
        let list = "Sure:\n1. How many?\n 2) **How much?**\n\n- And *then*?\n3: x\nDone.";
        assert_eq!(items(list), ["How many?", "How much?", "And *then*", "x"].map(|s| s.replace("then*", "then*?")));
        assert_eq!(items("first\n\n second "), ["first", "second"]);
        assert_eq!(items("1.5 kg\n-5 + 3 = -2"), ["1.5 kg", "-5 + 3 = -2"]);
        assert!(items(" \n").is_empty());
    }

    #[test]
    fn the_last_verdict_counts_and_only_as_a_word() {
        let words = ["sure", "likely", "impossible"];
        assert_eq!(last_word("It is not sure.\nImpossible!", &words), Some(2));
        assert_eq!(last_word("unlikely, surely", &words), None);
        assert_eq!((last_number("the best is 2, not 13."), last_number("none")), (Some(13), None));
        assert_eq!(last_number("99999999999999999999999 7 99999999999999999999999"), Some(7));
    }

    #[test]
    fn a_rating_is_not_its_scale() {
        for (text, expected) in [
            ("7", Some(7.0)),
            ("Step 1 is wrong.\nScore: 2/10", Some(2.0)),
            ("2 out of 10.", Some(2.0)),
            ("**Rating:** 7.5 / 10.", Some(7.5)),
            ("On a scale from 0 to 10 I give it 3, because step 9 is wrong.\nDone.", Some(3.0)),
            ("0-10: 4", Some(4.0)),
            ("10/10", Some(10.0)),
            ("5/100", Some(5.0)),
            ("12 points", Some(10.0)),
            ("99999999999999999999999", Some(10.0)),
            ("none ...", None),
            ("", None),
        ] {
            assert_eq!(rating(text, 10), expected, "{text}");
        }
    }
}
