//! How a question set is written down.
//!
//! - `gsm8k`: JSON lines `{question, answer}`, the answer worked and ending with `#### n` (Cobbe et al., 2021).
//! - `math`: JSON lines `{problem, solution}` with `\boxed{…}` in the solution, or `{problem, answer}` (Hendrycks et al.,
//!   2021); with both, the answer counts.
//! - `game24`: the CSV of the Tree-of-Thoughts paper, whose column `Puzzles` holds four numbers (Yao et al., 2023). The
//!   paper's test is rows 900 to 999, counted from 0 without the header.
//! - `countdown`: JSON lines `{nums, target}` or `{numbers, target}`; every number has to be used, as TinyZero scores it.

use ruminate::search::answer;
use serde_json::Value;

use super::Question;
use super::gold::Gold;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Gsm8k,
    Math,
    Game24,
    Countdown,
}

impl Format {
    /// Whether the questions say themselves what an answer has to look like.
    pub fn is_puzzle(self) -> bool {
        matches!(self, Self::Game24 | Self::Countdown)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gsm8k => "gsm8k",
            Self::Math => "math",
            Self::Game24 => "game24",
            Self::Countdown => "countdown",
        }
    }

    /// The format that the first row shows.
    pub fn of(text: &str) -> Result<Self, String> {
        let first = text.lines().find(|line| !line.trim().is_empty()).ok_or("the question set is empty")?;
        if puzzle_column(first).is_some() {
            return Ok(Self::Game24);
        }
        let unknown = "the format is none of gsm8k, math, game24 and countdown";
        let row: Value = serde_json::from_str(first).map_err(|_| unknown)?;
        let has = |field: &str| row.get(field).is_some();
        match () {
            () if has("target") && (has("nums") || has("numbers")) => Ok(Self::Countdown),
            () if has("problem") => Ok(Self::Math),
            () if has("question") && has("answer") => Ok(Self::Gsm8k),
            () => Err(format!("{unknown}; the first row has other fields")),
        }
    }

    /// All rows; the error names the line.
    pub fn read(self, text: &str) -> Result<Vec<Question>, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let numbered = |(at, row): (usize, Result<Question, String>)| row.map_err(|e| format!("line {}: {e}", at + 1));
        if self != Self::Game24 {
            return lines.map(|(at, line)| (at, self.json_row(line))).map(numbered).collect();
        }
        let column = lines.next().and_then(|(_, head)| puzzle_column(head));
        let column = column.ok_or("the first line has no column Puzzles")?;
        lines.map(|(at, line)| (at, puzzle_row(line, column))).map(numbered).collect()
    }

    fn json_row(self, line: &str) -> Result<Question, String> {
        let row: Value = serde_json::from_str(line).map_err(|e| format!("no JSON object: {e}"))?;
        match self {
            Self::Math => math_row(&row),
            Self::Countdown => countdown_row(&row),
            Self::Gsm8k | Self::Game24 => gsm8k_row(&row),
        }
    }
}

fn gsm8k_row(row: &Value) -> Result<Question, String> {
    let worked = text(row, "answer")?;
    let last = worked.rsplit_once("####").map(|(_, last)| last).ok_or("the answer has no line `#### n`")?;
    let gold = Gold::number(last).map_err(|e| format!("behind `####`: {e}"))?;
    Ok(Question { text: question(row, "question")?, gold, worked: Some(worked.to_owned()) })
}

fn math_row(row: &Value) -> Result<Question, String> {
    let worked = row.get("solution").and_then(Value::as_str);
    let boxed = || worked.and_then(answer::extract).filter(|found| found.marked).map(|f| f.answer.text().to_owned());
    let given = match row.get("answer") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let gold = given.or_else(boxed).ok_or("there is neither an answer nor a \\boxed one in the solution")?;
    let gold = Gold::expression(&gold).map_err(|e| e.to_string())?;
    Ok(Question { text: question(row, "problem")?, gold, worked: worked.map(str::to_owned) })
}

fn countdown_row(row: &Value) -> Result<Question, String> {
    let numbers = row.get("nums").or_else(|| row.get("numbers")).and_then(Value::as_array);
    let numbers = numbers.ok_or("nums is no list")?.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>();
    let numbers = numbers.ok_or("nums holds something else than whole numbers")?;
    let target = row.get("target").and_then(Value::as_i64).ok_or("target is no whole number")?;
    puzzle(&numbers, target)
}

fn puzzle_row(line: &str, column: usize) -> Result<Question, String> {
    let cell = line.split(',').nth(column).ok_or("a column is missing")?;
    let numbers = cell.split_whitespace().map(str::parse).collect::<Result<Vec<i64>, _>>();
    let numbers = numbers.map_err(|_| "the puzzle holds something else than whole numbers")?;
    if numbers.len() != 4 {
        return Err(format!("the puzzle has {} numbers, not 4", numbers.len()));
    }
    puzzle(&numbers, 24)
}

fn puzzle(numbers: &[i64], target: i64) -> Result<Question, String> {
    let gold = Gold::puzzle(numbers, target).map_err(|e| e.to_string())?;
    let list = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let text = format!(
        "Use each of the numbers {list} exactly once, with + - * / and parentheses, to make {target}. \
         End with a line that holds `####` and the expression alone, without `= {target}`."
    );
    Ok(Question { text, gold, worked: None })
}

/// Which column of a CSV header holds the puzzles. The published file quotes no field.
fn puzzle_column(head: &str) -> Option<usize> {
    head.split(',').position(|name| name.trim() == "Puzzles")
}

fn question(row: &Value, field: &str) -> Result<String, String> {
    let text = text(row, field)?.trim();
    if text.is_empty() { Err(format!("{field} is empty")) } else { Ok(text.to_owned()) }
}

fn text<'a>(row: &'a Value, field: &str) -> Result<&'a str, String> {
    row.get(field).and_then(Value::as_str).ok_or_else(|| format!("{field} is missing or no text"))
}
