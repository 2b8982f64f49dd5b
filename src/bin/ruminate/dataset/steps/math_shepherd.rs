//! Math-Shepherd (Wang et al., arXiv 2312.08935): `input`, a question and a solution in which ` ки` stands behind every step, and
//! `label`, the same text with `+` or `-` in its place: whether some rollout from there was right.

use ruminate::learn::LabelledStep;
use serde_json::Value;

use super::StepQuestion;
use super::format::{text, trimmed};

const MARK: &str = "ки";
/// What the first step begins with; the question stands before it.
const FIRST: &str = "Step 1:";

pub(super) fn read(row: &Value) -> Result<StepQuestion, String> {
    let (input, mut marked) = (text(row, "input")?, text(row, "label")?);
    let (parts, rest) = input.rsplit_once(MARK).ok_or("input has no ки")?;
    let (question, _) = parts.split_once(FIRST).ok_or("input has no `Step 1:`")?;
    let question = question.len();
    let text = trimmed(parts.get(..question).unwrap_or_default(), "the question")?;
    let differs = || "label is another text than input".to_owned();
    let mut steps: Vec<LabelledStep> = Vec::new();
    for part in parts.get(question..).unwrap_or_default().split(MARK) {
        let whole = if steps.is_empty() { parts.get(..question + part.len()) } else { Some(part) };
        marked = marked.strip_prefix(whole.ok_or_else(differs)?).ok_or_else(differs)?;
        let (value, behind) = match (marked.strip_prefix('+'), marked.strip_prefix('-')) {
            (Some(behind), _) => (1.0, behind),
            (_, Some(behind)) => (0.0, behind),
            _ => return Err("label has neither + nor - behind a step".to_owned()),
        };
        marked = behind;
        let parent = steps.len().checked_sub(1);
        steps.push(LabelledStep { parent, text: trimmed(part, "a step")?, value: Some(value), complete: false });
    }
    if marked.trim() != rest.trim() {
        return Err(differs());
    }
    if let Some(last) = steps.last_mut() {
        last.complete = true;
    }
    Ok(StepQuestion { text, steps })
}
