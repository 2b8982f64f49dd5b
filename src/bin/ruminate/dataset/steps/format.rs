//! How labelled steps are written down: one JSON object a line.

use serde_json::Value;

use super::{StepQuestion, math_shepherd, omega_prm, prm800k};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StepFormat {
    /// People's ratings of each step: PRM800K.
    Prm800k,
    /// Steps marked by where rollouts led: Math-Shepherd.
    MathShepherd,
    /// Trees with a share of right rollouts at each step: `OpenR`'s OmegaPRM.
    OmegaPrm,
}

impl StepFormat {
    pub fn name(self) -> &'static str {
        match self {
            Self::Prm800k => "prm800k",
            Self::MathShepherd => "math-shepherd",
            Self::OmegaPrm => "omega-prm",
        }
    }

    /// The format that a row shows, if it is one of these.
    pub fn of(row: &str) -> Option<Self> {
        let row: Value = serde_json::from_str(row).ok()?;
        let has = |pointer: &str| row.pointer(pointer).is_some();
        match () {
            () if has("/question/problem") && has("/label/steps") => Some(Self::Prm800k),
            () if has("/input") && has("/label") => Some(Self::MathShepherd),
            () if has("/question") && has("/reasoning_steps") => Some(Self::OmegaPrm),
            () => None,
        }
    }

    /// One row.
    pub fn read(self, row: &str) -> Result<StepQuestion, String> {
        let row: Value = serde_json::from_str(row).map_err(|e| format!("no JSON object: {e}"))?;
        match self {
            Self::Prm800k => prm800k::read(&row),
            Self::MathShepherd => math_shepherd::read(&row),
            Self::OmegaPrm => omega_prm::read(&row),
        }
    }
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value.get(field).and_then(Value::as_str).ok_or_else(|| format!("{field} is missing or no text"))
}

pub(super) fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], String> {
    let list = value.get(field).and_then(Value::as_array).map(Vec::as_slice);
    list.ok_or_else(|| format!("{field} is missing or no list"))
}

/// A text without blanks around it; an error without anything else.
pub(super) fn trimmed(text: &str, what: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err(format!("{what} is empty")) } else { Ok(text.to_owned()) }
}
