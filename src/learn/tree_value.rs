//! Values of a tree's steps by what was found below them, as ReST-MCTS* infers them (Zhang et al., arXiv 2406.03816, section 3).

use std::collections::{BTreeMap, BTreeSet};

use super::grow::Grown;
use super::recorder::Recorder;
use super::rows::Label;
use crate::reward::StepId;

/// The value of a step is `max(0, v + (1 - v) * r / m)`, where `v` is its parent's and the prompt's is 0; `r` is 1 where a right
/// answer was found at or below it and else -1; `m` counts the steps from it to the nearest right end, itself included. Where there is
/// none, `m` is that of the last step before it that has one, as in the published program. A tree without a right answer has no
/// values.
pub(super) fn labels(tree: &Recorder, grown: &Grown) -> BTreeMap<StepId, Label> {
    let ends: BTreeSet<StepId> =
        grown.solutions.iter().filter(|s| s.right).filter_map(|s| s.steps.last().copied()).collect();
    let mut left: BTreeMap<StepId, f64> = BTreeMap::new();
    // A step's number is above its parent's.
    for (&id, step) in tree.steps().iter().rev() {
        if ends.contains(&id) {
            left.insert(id, 1.0);
        }
        if let Some(&below) = left.get(&id) {
            let above = left.entry(step.parent).or_insert(f64::INFINITY);
            *above = above.min(below + 1.0);
        }
    }
    let Some(&of_prompt) = left.get(&StepId::ROOT) else { return BTreeMap::new() };
    let mut known = BTreeMap::from([(StepId::ROOT, (0.0, of_prompt))]);
    let mut labels = BTreeMap::new();
    for (&id, step) in tree.steps() {
        let Some(&(above, its_left)) = known.get(&step.parent) else { continue };
        let right = left.contains_key(&id);
        let steps = left.get(&id).copied().unwrap_or(its_left);
        let sign = if right { 1.0 } else { -1.0 };
        let value: f64 = (above + (1.0 - above) * sign / steps).max(0.0);
        known.insert(id, (value, steps));
        labels.insert(id, Label { right, value: value as f32 });
    }
    labels
}
