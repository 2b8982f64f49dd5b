//! Preference pairs from a search tree: siblings by what became of them.

use std::collections::{BTreeMap, HashMap};

use super::preference::Preference;
use super::recorder::Recorder;
use crate::reward::StepId;
use crate::text::TokenId;

/// Which pairs are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairParams {
    /// Pairs of one branching point, at most.
    pub most: usize,
    /// What the solutions below the chosen sibling are worth in the mean is at least this much above that of the rejected one.
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

/// What a search went on from.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Its text, names of control tokens included.
    pub text: &'a str,
    /// Its tokens.
    pub tokens: &'a [TokenId],
}

/// One way to go on from a branching point, up to the next one or to its end.
struct Sibling {
    text: String,
    /// Solutions below it, and the sum of what they are worth.
    visits: usize,
    worth: f64,
    /// It does not end the turn.
    open: bool,
}

impl Sibling {
    fn value(&self) -> f64 {
        self.worth / self.visits.max(1) as f64
    }
}

/// The pairs of the search that `recorder` was told of: at every branching point siblings are ordered by what the solutions below
/// them are worth in the mean, and the best are set against the worst. Steps that nothing branches off are taken together (MCTS-DPO, Xie
/// et al., arXiv 2405.00451), so that independent samples give pairs of whole solutions.
///
/// `worth` is told the last step of a solution and its whole text, and says what that is worth, from 0 to 1: by a verifier, or by a
/// judge ([`Judged`](super::Judged)). What was cut off is worth nothing. With [`PairParams::by_visits`], a pair's smoothing is MCTS-DPO's
/// `min(1 - 1 / (1 + N_rejected / N_chosen), 0.5)`.
pub fn pairs(
    recorder: &Recorder,
    prompt: Prompt<'_>,
    worth: &dyn Fn(StepId, &str) -> f64,
    params: &PairParams,
) -> Vec<Preference> {
    let mut children: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    for (&id, step) in recorder.steps() {
        // Whoever goes on from himself is no tree.
        if step.parent < id {
            children.entry(step.parent).or_default().push(id);
        }
    }
    let tree = Tree { recorder, children, prompt, worth };
    let mut pairs = Vec::new();
    tree.branching(StepId::ROOT, "", params, &mut pairs);
    pairs
}

struct Tree<'a> {
    recorder: &'a Recorder,
    children: BTreeMap<StepId, Vec<StepId>>,
    prompt: Prompt<'a>,
    worth: &'a dyn Fn(StepId, &str) -> f64,
}

impl Tree<'_> {
    /// The pairs of the branching point `at` and of those above it; `path` is the text from the prompt to it.
    fn branching(&self, at: StepId, path: &str, params: &PairParams, pairs: &mut Vec<Preference>) {
        let mut siblings: Vec<Sibling> = Vec::new();
        let mut by_text: HashMap<(String, bool), usize> = HashMap::new();
        for &child in self.of(at) {
            let (text, last) = self.chain(child);
            let path = format!("{path}{text}");
            let (visits, worth) = self.outcomes(last, &path);
            if !self.of(last).is_empty() {
                self.branching(last, &path, params, pairs);
            }
            let complete = self.is_complete(last);
            // What follows the answer's line is no part of it; the end of the turn is.
            let text = if complete { text.trim_end().to_owned() } else { text };
            let place = *by_text.entry((text.clone(), complete)).or_insert(siblings.len());
            match siblings.get_mut(place) {
                Some(twin) => (twin.visits, twin.worth) = (twin.visits + visits, twin.worth + worth),
                None => siblings.push(Sibling { text, visits, worth, open: !complete }),
            }
        }
        siblings.retain(|sibling| !sibling.text.is_empty());
        siblings.sort_by(|a, b| b.value().total_cmp(&a.value()));
        let prompt = format!("{}{path}", self.prompt.text);
        let prompt_tokens = [self.prompt.tokens, &self.recorder.tokens(at)].concat();
        pairs.extend(set_against(&siblings, params).map(|(chosen, rejected)| Preference {
            prompt: prompt.clone(),
            prompt_tokens: prompt_tokens.clone(),
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
            text.push_str(self.recorder.steps().get(&last).map_or("", |step| &step.text));
            match self.of(last) {
                &[only] => last = only,
                _ => return (text, last),
            }
        }
    }

    fn is_complete(&self, step: StepId) -> bool {
        self.recorder.steps().get(&step).is_some_and(|step| step.complete)
    }

    /// Solutions at or below `last`, and the sum of what they are worth.
    fn outcomes(&self, last: StepId, path: &str) -> (usize, f64) {
        let children = self.of(last);
        if children.is_empty() {
            return (1, if self.is_complete(last) { (self.worth)(last, path) } else { 0.0 });
        }
        let below = children.iter().map(|&child| {
            let (text, last) = self.chain(child);
            self.outcomes(last, &format!("{path}{text}"))
        });
        below.fold((0, 0.0), |(n, worth), (more, also)| (n + more, worth + also))
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
    use crate::reward::verify::{Number, Verifier};
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

    const PROMPT: Prompt<'_> = Prompt { text: "Q", tokens: &[9] };

    /// Worth 1 where it ends with this number.
    fn by_number(number: &str) -> impl Fn(StepId, &str) -> f64 {
        let number = Number::new(number).unwrap();
        move |_, text| f64::from(u8::from(number.accepts(text)))
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
        let pairs = pairs(&recorder, PROMPT, &by_number("7"), &PairParams::default());
        assert_eq!(texts(&pairs), [("Q", "a\n#### 7", "c"), ("Q", "#### 7", "b\n#### 8")]);
        assert_eq!((pairs[0].chosen_open, pairs[0].rejected_open), (false, true));
        assert_eq!(pairs[0].prompt_tokens, [9]);
        assert!(super::pairs(&recorder, PROMPT, &by_number("9"), &PairParams::default()).is_empty());
        // Worth by anything else, such as by what a judge said of the last step.
        let late = |step: StepId, _: &str| step.0 as f64 / 10.0;
        let params = PairParams { most: 1, gap: 0.3, ..PairParams::default() };
        let by_judge = super::pairs(&recorder, PROMPT, &late, &params);
        assert_eq!(texts(&by_judge), [("Q", "a\n#### 7", "c")], "what was cut off is worth nothing");
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
        let pairs = pairs(&recorder, PROMPT, &by_number("7"), &params);
        let below_x = ("Qx\n", "#### 7", "#### 6");
        assert_eq!(texts(&pairs), [below_x, ("Qx\n", "so #### 7", "#### 6"), ("Q", "x\n", "y\n")]);
        let top = &pairs[2];
        assert!(top.chosen_open && top.rejected_open);
        assert_eq!(
            (pairs[0].prompt_tokens.as_slice(), top.prompt_tokens.as_slice()),
            ([9, 1].as_slice(), [9].as_slice())
        );
        assert!((top.smoothing.unwrap() - (1.0 - 1.0 / (1.0 + 2.0 / 3.0))).abs() < 1e-12);
        assert_eq!(pairs[0].smoothing, Some(0.5));
    }
}
