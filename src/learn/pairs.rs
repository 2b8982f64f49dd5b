//! Preference pairs from a search tree: siblings by what became of them.

use std::collections::{BTreeMap, HashMap};

use super::preference::Preference;
use super::recorder::{Recorded, Recorder};
use crate::reward::StepId;
use crate::reward::verify::Verifier;

/// Which pairs are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairParams {
    /// Pairs of one branching point, at most.
    pub most: usize,
    /// The share of right solutions below the chosen sibling is at least this much above that below the rejected one.
    pub gap: f64,
    /// Whether a pair is trusted by how often its siblings were visited.
    pub by_visits: bool,
}

impl Default for PairParams {
    /// Four pairs a branching point, at least half of the solutions apart, all trusted alike.
    fn default() -> Self {
        Self { most: 4, gap: 0.5, by_visits: false }
    }
}

/// One way to go on from a branching point, up to the next one or to its end.
struct Sibling {
    text: String,
    /// Solutions below it, and how many of them are right.
    visits: usize,
    right: usize,
    /// It does not end the turn.
    open: bool,
}

impl Sibling {
    fn value(&self) -> f64 {
        self.right as f64 / self.visits.max(1) as f64
    }
}

/// The pairs of the search that `recorder` was told of: at every branching point siblings are ordered by the share of right
/// solutions below them, and the best are set against the worst. Steps that nothing branches off are taken together (MCTS-DPO, Xie
/// et al., arXiv 2405.00451), so that independent samples give pairs of whole solutions.
///
/// `prompt` is the text that the search went on from. With [`PairParams::by_visits`], a pair's smoothing is MCTS-DPO's
/// `min(1 - 1 / (1 + N_rejected / N_chosen), 0.5)`.
pub fn pairs(recorder: &Recorder, prompt: &str, verifier: &dyn Verifier, params: &PairParams) -> Vec<Preference> {
    let mut children: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    for (&id, step) in recorder.steps() {
        // Whoever goes on from himself is no tree.
        if step.parent < id {
            children.entry(step.parent).or_default().push(id);
        }
    }
    let tree = Tree { steps: recorder.steps(), children, verifier };
    let mut pairs = Vec::new();
    tree.branching(StepId::ROOT, prompt, "", params, &mut pairs);
    pairs
}

struct Tree<'a> {
    steps: &'a BTreeMap<StepId, Recorded>,
    children: BTreeMap<StepId, Vec<StepId>>,
    verifier: &'a dyn Verifier,
}

impl Tree<'_> {
    /// The pairs of the branching point `at` and of those above it; `path` is the text from the prompt to it.
    fn branching(&self, at: StepId, prompt: &str, path: &str, params: &PairParams, pairs: &mut Vec<Preference>) {
        let mut siblings: Vec<Sibling> = Vec::new();
        let mut by_text: HashMap<(String, bool), usize> = HashMap::new();
        for &child in self.of(at) {
            let (text, last) = self.chain(child);
            let path = format!("{path}{text}");
            let (visits, right) = self.outcomes(last, &path);
            if !self.of(last).is_empty() {
                self.branching(last, prompt, &path, params, pairs);
            }
            let complete = self.steps.get(&last).is_some_and(|step| step.complete);
            // What follows the answer's line is no part of it; the end of the turn is.
            let text = if complete { text.trim_end().to_owned() } else { text };
            let place = *by_text.entry((text.clone(), complete)).or_insert(siblings.len());
            match siblings.get_mut(place) {
                Some(twin) => (twin.visits, twin.right) = (twin.visits + visits, twin.right + right),
                None => siblings.push(Sibling { text, visits, right, open: !complete }),
            }
        }
        siblings.retain(|sibling| !sibling.text.is_empty());
        siblings.sort_by(|a, b| b.value().total_cmp(&a.value()));
        pairs.extend(set_against(&siblings, params).map(|(chosen, rejected)| Preference {
            prompt: format!("{prompt}{path}"),
            chosen: Some(chosen.text.clone()),
            rejected: Some(rejected.text.clone()),
            chosen_open: chosen.open,
            rejected_open: rejected.open,
            smoothing: params.by_visits.then(|| {
                let ratio = rejected.visits as f64 / chosen.visits.max(1) as f64;
                (1.0 - 1.0 / (1.0 + ratio)).min(0.5)
            }),
            ..Preference::default()
        }));
    }

    /// The text from `first` on until something branches off or it ends, and its last step.
    fn chain(&self, first: StepId) -> (String, StepId) {
        let (mut text, mut last) = (String::new(), first);
        loop {
            text.push_str(self.steps.get(&last).map_or("", |step| &step.text));
            match self.of(last) {
                &[only] => last = only,
                _ => return (text, last),
            }
        }
    }

    /// Solutions at or below `last`, and how many of them are right; what was cut off is wrong.
    fn outcomes(&self, last: StepId, path: &str) -> (usize, usize) {
        let children = self.of(last);
        if children.is_empty() {
            let complete = self.steps.get(&last).is_some_and(|step| step.complete);
            let right = complete && self.verifier.accepts(path);
            return (1, usize::from(right));
        }
        let below = children.iter().map(|&child| {
            let (text, last) = self.chain(child);
            self.outcomes(last, &format!("{path}{text}"))
        });
        below.fold((0, 0), |(n, right), (more, also)| (n + more, right + also))
    }

    fn of(&self, at: StepId) -> &[StepId] {
        self.children.get(&at).map_or(&[], Vec::as_slice)
    }
}

/// The best against the worst, the next best against the next worst, each as often as it takes; `siblings` are best first.
fn set_against<'a>(
    siblings: &'a [Sibling],
    params: &PairParams,
) -> impl Iterator<Item = (&'a Sibling, &'a Sibling)> + use<'a> {
    let (gap, n) = (params.gap.max(f64::MIN_POSITIVE), siblings.len());
    let ends = siblings.first().zip(siblings.last()).map(|(best, worst)| (best.value(), worst.value()));
    let (best, worst) = ends.unwrap_or_default();
    let high = siblings.iter().take_while(|s| s.value() - worst >= gap).count();
    let low = siblings.iter().rev().take_while(|s| best - s.value() >= gap).count();
    let most = if high == 0 || low == 0 { 0 } else { params.most.min(high.max(low)) };
    let pair = move |i: usize| Some((siblings.get(i % high)?, siblings.get(n - 1 - i % low)?));
    (0..most).filter_map(pair).filter(move |(chosen, rejected)| chosen.value() - rejected.value() >= gap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Tap;
    use crate::observe::Interrupt;
    use crate::reward::verify::Number;
    use crate::reward::{Draw, Features, Judge, Step};

    fn recorder(steps: &[(u64, u64, &str, bool)]) -> Recorder {
        let mut recorder = Recorder::new(vec![Tap::Final]).unwrap();
        for &(id, parent, text, complete) in steps {
            let features = Features { last: vec![0.0], sum: vec![0.0], count: 1 };
            let step = Step {
                id: StepId(id),
                parent: StepId(parent),
                text,
                path: "",
                tokens: &[1],
                draws: &[Draw::default()],
                features: Some(&features),
                complete,
            };
            recorder.judge(&[step], &Interrupt::default()).unwrap();
        }
        recorder
    }

    fn texts(pairs: &[Preference]) -> Vec<(&str, &str, &str)> {
        pairs
            .iter()
            .map(|p| (p.prompt.as_str(), p.chosen.as_deref().unwrap(), p.rejected.as_deref().unwrap()))
            .collect()
    }

    #[test]
    fn independent_samples_give_pairs_of_whole_solutions() {
        let recorder = recorder(&[
            (1, 0, "a\n", false),
            (2, 0, "b\n", false),
            (3, 1, "#### 7\n", true),
            (4, 2, "#### 8\n", true),
            (5, 0, "#### 7\n", true),
            (6, 0, "c", false),
            // A twin of the first.
            (7, 0, "a\n#### 7\n", true),
        ]);
        let verifier = Number::new("7").unwrap();
        let pairs = pairs(&recorder, "Q", &verifier, &PairParams::default());
        assert_eq!(texts(&pairs), [("Q", "a\n#### 7", "c"), ("Q", "#### 7", "b\n#### 8")]);
        assert_eq!((pairs[0].chosen_open, pairs[0].rejected_open), (false, true));
        assert!(super::pairs(&recorder, "Q", &Number::new("9").unwrap(), &PairParams::default()).is_empty());
    }

    #[test]
    fn siblings_of_a_tree_are_ordered_by_what_became_of_them() {
        // Of the first step's three solutions two are right, of the second's one neither.
        let recorder = recorder(&[
            (1, 0, "x\n", false),
            (2, 0, "y\n", false),
            (3, 1, "#### 7\n", true),
            (4, 1, "so #### 7\n", true),
            (5, 1, "#### 6\n", true),
            (6, 2, "#### 1\n", true),
            (7, 2, "#### 2\n", true),
        ]);
        let params = PairParams { by_visits: true, ..PairParams::default() };
        let pairs = pairs(&recorder, "Q", &Number::new("7").unwrap(), &params);
        let below_x = ("Qx\n", "#### 7", "#### 6");
        assert_eq!(texts(&pairs), [below_x, ("Qx\n", "so #### 7", "#### 6"), ("Q", "x\n", "y\n")]);
        let top = &pairs[2];
        assert!(top.chosen_open && top.rejected_open);
        assert!((top.smoothing.unwrap() - (1.0 - 1.0 / (1.0 + 2.0 / 3.0))).abs() < 1e-12);
        assert_eq!(pairs[0].smoothing, Some(0.5));
    }
}
