//! Days of the Gregorian calendar.

use serde_json::{Value, json};

use super::{Tool, text};
use crate::error::{Error, Result};

/// Adds days to a date, counts the days between two, and names the day of the week.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dates;

const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
/// Days that can be added, at most.
const MOST: u64 = 4_000_000;

impl Tool for Dates {
    fn name(&self) -> &str {
        "dates"
    }

    fn about(&self) -> &str {
        "Adds days to a date, or counts the days from one date until another; tells the weekday."
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "date": { "type": "string", "description": "as YYYY-MM-DD" },
                "days": { "type": "integer", "description": "days to add; negative to go back" },
                "until": { "type": "string", "description": "the other date, as YYYY-MM-DD" },
            },
            "required": ["date"],
        })
    }

    fn call(&self, arguments: &Value) -> Result<Vec<u8>> {
        let date = number_of(text(arguments, "date"))?;
        if let Some(until) = arguments["until"].as_str() {
            return Ok(format!("{} days", number_of(until)? - date).into_bytes());
        }
        let days = arguments["days"].as_i64().unwrap_or_default();
        if days.unsigned_abs() > MOST {
            return Err(Error::invalid(format!("at most {MOST} days can be added")));
        }
        Ok(date_of(date + days).into_bytes())
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

/// Days since 1970-01-01. Months count from March, so that the leap day ends a year; a cycle of 400 years has 146,097 days.
fn number_of(date: &str) -> Result<i64> {
    let bad = || {
        Error::invalid(format!("{:?} is no date: write it as YYYY-MM-DD", date.chars().take(24).collect::<String>()))
    };
    let parts: Vec<i64> =
        date.trim().splitn(3, '-').map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| bad())?;
    let &[year, month, day] = parts.as_slice() else { return Err(bad()) };
    if !((1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)) {
        return Err(bad());
    }
    let shifted = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let number = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719_468;
    // The 31st of a month with 30 days is another date.
    if date_of(number).starts_with(&format!("{year:04}-{month:02}-{day:02}")) { Ok(number) } else { Err(bad()) }
}

fn date_of(number: i64) -> String {
    let days = number + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (month, day) = ((shifted + 2) % 12 + 1, of_year - (153 * shifted + 2) / 5 + 1);
    let year = year + era * 400 + i64::from(month <= 2);
    let weekday = usize::try_from(number.rem_euclid(7)).ok().and_then(|index| WEEKDAYS.get(index)).unwrap_or(&"");
    format!("{year:04}-{month:02}-{day:02}, {weekday}")
}
