//! Arithmetic.

use serde_json::{Value, json};

use super::{Tool, text};
use crate::error::Result;
use crate::reason::calc;

/// Evaluates expressions exactly.
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
        let plain = text(arguments, "expression").replace(['$', ','], "").replace('×', "*").replace('÷', "/");
        let plain = plain.trim().trim_end_matches('=').trim_end_matches("= ?");
        Ok(calc::shown(calc::run(plain)?.last).into_bytes())
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}
