//! PRM800K (Lightman et al., arXiv 2305.20050; openai/prm800k, MIT): `question.problem`, and `label.steps`, each with `completions`
//! that people rated -1, 0 or 1, the `chosen_completion` that the next step goes on from, or a `human_completion` in its place.
//!
//! A neutral step is right, as the paper counts it. What was chosen comes first among its siblings; the others lead nowhere. A
//! completion that nobody rated has no label.

use ruminate::learn::LabelledStep;
use serde_json::Value;

use super::StepQuestion;
use super::format::{list, text, trimmed};

pub(super) fn read(row: &Value) -> Result<StepQuestion, String> {
    let question = row.get("question").ok_or("question is missing")?;
    let text = trimmed(text(question, "problem")?, "problem")?;
    let label = row.get("label").ok_or("label is missing")?;
    let solved = label.get("finish_reason").and_then(Value::as_str) == Some("solution");
    let rounds = list(label, "steps")?;
    let (mut steps, mut parent) = (Vec::new(), None);
    for (i, round) in rounds.iter().enumerate() {
        let completions = match round.get("completions") {
            None | Some(Value::Null) => &[],
            Some(_) => list(round, "completions")?,
        };
        let chosen = match round.get("chosen_completion") {
            None | Some(Value::Null) => None,
            Some(place) => {
                let place = place.as_u64().and_then(|place| usize::try_from(place).ok());
                let place = place.filter(|place| *place < completions.len());
                Some(place.ok_or_else(|| format!("step {}: chosen_completion is none of them", i + 1))?)
            }
        };
        let written = round.get("human_completion").filter(|human| !human.is_null());
        let is_last = solved && i + 1 == rounds.len();
        let main = chosen.and_then(|place| completions.get(place)).or(written);
        let others = completions.iter().enumerate().filter(|(place, _)| Some(*place) != chosen);
        let step = |completion, ends| step(completion, parent, ends).map_err(|e| format!("step {}: {e}", i + 1));
        let main = main.map(|main| step(main, is_last)).transpose()?.flatten();
        let others = others.filter_map(|(_, other)| step(other, false).transpose()).collect::<Result<Vec<_>, _>>()?;
        let next = main.is_some().then_some(steps.len());
        steps.extend(main.into_iter().chain(others));
        // Without a step to go on from, what follows goes on from nothing.
        let Some(_) = next else { break };
        parent = next;
    }
    Ok(StepQuestion { text, steps })
}

/// A step; `None` for an empty one, which some rows hold.
fn step(completion: &Value, parent: Option<usize>, ends: bool) -> Result<Option<LabelledStep>, String> {
    let Ok(text) = trimmed(text(completion, "text")?, "text") else { return Ok(None) };
    let value = match completion.get("rating") {
        None | Some(Value::Null) => None,
        Some(rating) => match rating.as_i64() {
            Some(-1) => Some(0.0),
            Some(0 | 1) => Some(1.0),
            _ => return Err(format!("a rating of {rating} is none of -1, 0 and 1")),
        },
    };
    let complete = ends || text.contains("# Answer");
    Ok(Some(LabelledStep { parent, text, value, complete }))
}
