//! `OmegaPRM` (Luo et al., arXiv 2406.06592) as `OpenR` writes its trees: `question`, and `reasoning_steps`, the question's node with
//! `children`, each with its `text`, its `mc_value` (the share of rollouts from its end that were right) and `children` of its own.

use ruminate::learn::LabelledStep;
use serde_json::Value;

use super::StepQuestion;
use super::format::{list, text, trimmed};

pub(super) fn read(row: &Value) -> Result<StepQuestion, String> {
    let question = trimmed(text(row, "question")?, "question")?;
    let root = row.get("reasoning_steps").ok_or("reasoning_steps is missing")?;
    let mut steps = Vec::new();
    // Depth first, children in their order: the last one pushed is the next one taken.
    let mut open: Vec<(&Value, Option<usize>)> =
        list(root, "children")?.iter().rev().map(|node| (node, None)).collect();
    while let Some((node, parent)) = open.pop() {
        let share = node.get("mc_value").and_then(Value::as_f64).filter(|share| (0.0..=1.0).contains(share));
        let value = Some(share.ok_or("an mc_value is missing or not from 0 to 1")? as f32);
        let children = list(node, "children")?;
        let text = trimmed(text(node, "text")?, "the text of a step")?;
        // What nothing follows was rolled out to its end.
        open.extend(children.iter().rev().map(|child| (child, Some(steps.len()))));
        steps.push(LabelledStep { parent, text, value, complete: children.is_empty() });
    }
    Ok(StepQuestion { text: question, steps })
}
