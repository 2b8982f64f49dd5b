//! Arithmetic.

use serde_json::{Value, json};

use super::{Tool, text};
use crate::error::{Error, Result};
use crate::reason::calc;

/// Evaluates expressions exactly.
///
/// A comma in the brackets of a function stands between values, so that `max(1,200)` is 200; elsewhere it may group digits by
/// thousands, as in `1,200 + 3`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calculator;

impl Tool for Calculator {
    fn name(&self) -> &str {
        "calculator"
    }

    fn about(&self) -> &str {
        "Computes an expression with + - * / // % ^ ( ) and min, max, abs, round, sqrt, gcd."
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "expression": { "type": "string", "description": "for example (3 + 4) * 2" } },
            "required": ["expression"],
        })
    }

    fn call(&self, arguments: &Value) -> Result<Vec<u8>> {
        // Small models write sums as people do.
        let plain = text(arguments, "expression").replace('$', "").replace('×', "*").replace('÷', "/");
        let plain = ungrouped(plain.trim().trim_end_matches('=').trim_end_matches("= ?"));
        let value = calc::run(&plain).map_err(|e| match plain.contains(',') {
            true => Error::invalid(format!("{e}; a comma in the brackets of a function stands between values")),
            false => e,
        });
        Ok(calc::shown(value?.last).into_bytes())
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

/// `text` without the commas that group digits by thousands.
fn ungrouped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // Whether each open bracket is a function's.
    let mut functions = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' => functions.push(plain.trim_end().ends_with(|c: char| c.is_alphanumeric() || c == '_')),
            ')' => drop(functions.pop()),
            ',' if functions.last() != Some(&true) && groups(text, at) => continue,
            _ => {}
        }
        plain.push(c);
    }
    plain
}

/// Whether the comma at byte `at` stands behind one to three digits of a whole number and before three.
fn groups(text: &str, at: usize) -> bool {
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
    let head = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let behind = after.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&(before.len() - head.len())) && !head.ends_with('.') && behind == 3
}
