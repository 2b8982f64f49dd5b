//! Which rows of a question set are wanted.

use std::ops::Range;

use crate::exit::Failure;

/// `A..B` as a half-open range; an open end is `usize::MAX`.
pub fn rows(text: &str) -> Result<Range<usize>, String> {
    let (start, end) = text.split_once("..").ok_or("write A..B, such as 0..100")?;
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("{text:?} is no row"));
    let end = if end.trim().is_empty() { usize::MAX } else { number(end)? };
    let start = if start.trim().is_empty() { 0 } else { number(start)? };
    if start < end { Ok(start..end) } else { Err("the range is empty".to_owned()) }
}

/// `rows`, with an open end at `n`; an error unless a set of `n` rows has them.
pub fn within(rows: Range<usize>, n: usize) -> Result<Range<usize>, Failure> {
    let rows = rows.start..if rows.end == usize::MAX { n } else { rows.end };
    if rows.is_empty() || rows.end > n {
        return Err(Failure::usage(format!("rows {}..{} of a set of {n} rows", rows.start, rows.end)));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_half_open_range() {
        assert_eq!(rows("0..100"), Ok(0..100));
        assert_eq!(rows(" 7 .. "), Ok(7..usize::MAX));
        assert_eq!(rows("..3"), Ok(0..3));
        for bad in ["", "5", "5..5", "9..3", "a..b", "-1..4", "1..2..3", "99999999999999999999.."] {
            assert!(rows(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_that_a_set_does_not_have_are_refused() {
        assert_eq!(within(2..usize::MAX, 5).ok(), Some(2..5));
        assert_eq!(within(2..5, 5).ok(), Some(2..5));
        assert!(within(2..6, 5).is_err() && within(5..usize::MAX, 5).is_err() && within(0..0, 5).is_err());
    }
}
