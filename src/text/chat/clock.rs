//! `strftime_now`: today's date for templates that ask for it.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `now` (else the system clock) in UTC, in the letters of C's `strftime` that templates use. Another letter is an error.
pub(super) fn format(now: Option<SystemTime>, format: &str) -> Result<String, Error> {
    let since = now.unwrap_or_else(SystemTime::now).duration_since(UNIX_EPOCH);
    let seconds = since.map_err(|e| invalid("the clock stands before 1970").with_source(e))?.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days).ok_or_else(|| invalid("the clock stands too far in the future"))?;
    let hour = second / 3600;
    let month_name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    let day_name = DAYS.get(((days + 4) % 7) as usize).copied().unwrap_or_default();

    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let letter = letters.next();
        let (letter, is_short) = if letter == Some('-') { (letters.next(), true) } else { (letter, false) };
        let number = match letter {
            Some('Y') => (year, 4),
            Some('y') => (year % 100, 2),
            Some('m') => (month, 2),
            Some('d') => (day, 2),
            Some('H') => (hour, 2),
            Some('I') => ((hour + 11) % 12 + 1, 2),
            Some('M') => (second / 60 % 60, 2),
            Some('S') => (second % 60, 2),
            other => {
                out.push_str(match other {
                    Some('B') => month_name,
                    Some('b') => month_name.get(..3).unwrap_or_default(),
                    Some('A') => day_name,
                    Some('a') => day_name.get(..3).unwrap_or_default(),
                    Some('p') => {
                        if hour < 12 {
                            "AM"
                        } else {
                            "PM"
                        }
                    }
                    Some('%') => "%",
                    _ => return Err(invalid("strftime_now knows the letters YymdHIMSBbAap%")),
                });
                continue;
            }
        };
        let (value, width) = if is_short { (number.0, 1) } else { number };
        write!(out, "{value:0width$}").map_err(|e| invalid("a date could not be written").with_source(e))?;
    }
    Ok(out)
}

/// Year, month and day of a number of days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> Option<(u64, u64, u64)> {
    let days = days.checked_add(719_468).filter(|&days| days < 1 << 40)?;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Some((year_of_era + era * 400 + u64::from(month <= 2), month, day))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_as_date_writes_them() {
        // From `date -u -d @N '+…'`.
        for (seconds, want) in [
            (0, "1970-01-01 00:00:00 Thursday Thu January Jan 70 12 AM 1"),
            (951_825_599, "2000-02-29 11:59:59 Tuesday Tue February Feb 00 11 AM 29"),
            (1_734_048_000, "2024-12-13 00:00:00 Friday Fri December Dec 24 12 AM 13"),
            (4_107_585_600, "2100-03-01 12:00:00 Monday Mon March Mar 00 12 PM 1"),
        ] {
            let now = Some(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(format(now, "%Y-%m-%d %H:%M:%S %A %a %B %b %y %I %p %-d").unwrap(), want);
        }
        assert_eq!(format(Some(UNIX_EPOCH), "100%%").unwrap(), "100%");
        for odd in ["%", "%Q", "%-", "%é"] {
            assert!(format(None, odd).is_err());
        }
        assert!(format(None, "%Y").unwrap().as_str() >= "2024");
    }
}
