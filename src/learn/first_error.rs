//! Where solutions go wrong, found by halving: the search of `OmegaPRM` (Luo et al., arXiv 2406.06592, algorithm 1).

use std::collections::BTreeMap;

use super::grow::{Grower, Grown, Solution};
use super::labels::OmegaParams;
use super::recorder::Recorder;
use super::rows::Label;
use crate::engine::Engine;
use crate::error::Result;
use crate::reward::StepId;
use crate::search::Vocabulary;

/// Looks for the first error of wrong solutions, the most telling ones first. Rollouts from a middle join the pool of solutions to
/// search, and what is known of a step is never drawn again.
pub(super) fn search<E, V>(
    grower: &mut Grower<'_, E, V>,
    tree: &mut Recorder,
    grown: &mut Grown,
    params: &OmegaParams,
) -> Result<()>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    let mut visits: BTreeMap<StepId, u64> = BTreeMap::new();
    for _ in 0..params.searches {
        let Some(chosen) = choose(tree, grown, &visits, params) else { break };
        *visits.entry(chosen.from).or_default() += 1;
        chosen.searched = true;
        let steps = chosen.steps.clone();
        // Right answers follow its first `low` steps, and were not seen to follow its first `high`.
        let (mut low, mut high) = (0, steps.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            let Some(&at) = steps.get(middle - 1) else { break };
            let share = grower.draw(tree, grown, at, params.rollouts)?;
            *(if share > 0.0 { &mut low } else { &mut high }) = middle;
        }
    }
    Ok(())
}

/// The wrong solution with the highest Q + U among those that go on from where right answers follow.
fn choose<'a>(
    tree: &Recorder,
    grown: &'a mut Grown,
    visits: &BTreeMap<StepId, u64>,
    params: &OmegaParams,
) -> Option<&'a mut Solution> {
    let all = (visits.values().sum::<u64>() as f64).sqrt();
    let score = |solution: &Solution| -> Option<f64> {
        let share = grown.shares.get(&solution.from).copied().filter(|&share| share > 0.0)?;
        let tokens = solution.steps.iter().filter_map(|id| tree.steps().get(id)).map(|step| step.tokens.len());
        let length = tokens.sum::<usize>() as f64 / params.longest;
        let q = params.alpha.powf(1.0 - share) * params.beta.powf(length);
        let visited = visits.get(&solution.from).copied().unwrap_or(0) as f64;
        Some(q + params.c_puct * all / (1.0 + visited))
    };
    let mut best: Option<(f64, usize)> = None;
    for (i, solution) in grown.solutions.iter().enumerate() {
        if solution.right || solution.searched || solution.steps.is_empty() {
            continue;
        }
        if let Some(score) = score(solution)
            && best.is_none_or(|(most, _)| score > most)
        {
            best = Some((score, i));
        }
    }
    grown.solutions.get_mut(best?.1)
}

/// The labels of the steps about which something is known. Steps that nothing was drawn after have the label of the next one that
/// has one, as the paper's tree has an edge for all of them: up to it no error was passed, or the only one. A wrong solution that was
/// not searched says nothing of its steps.
pub(super) fn labels(grown: &Grown) -> BTreeMap<StepId, Label> {
    let mut labels = BTreeMap::new();
    for solution in grown.solutions.iter().filter(|solution| solution.right || solution.searched) {
        let mut label = Label::hard(solution.right);
        for &step in solution.steps.iter().rev() {
            if let Some(&share) = grown.shares.get(&step) {
                label = Label::soft(share);
            }
            labels.insert(step, label);
        }
    }
    labels
}
