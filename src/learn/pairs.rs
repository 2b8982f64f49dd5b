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

/// Bytes of what all solutions of one tree are read as, at most: text and tokens from the prompt on. Steps that solutions share count
/// for each of them, so that a small file cannot ask for work and pairs without end.
const MOST_BYTES: usize = 256 << 20;

/// The pairs of the search that `recorder` was told of: at every branching point siblings are ordered by what the solutions below
/// them are worth in the mean, and the best are set against the worst. Steps that nothing branches off are taken together (MCTS-DPO, Xie
/// et al., arXiv 2405.00451), so that independent samples give pairs of whole solutions. The deepest branching points come first.
///
/// `worth` is told the last step of a solution and its whole text, and says what that is worth, from 0 to 1: by a verifier, or by a
/// judge ([`Judged`](super::Judged)). What was cut off is worth nothing. With [`PairParams::by_visits`], a pair's smoothing is MCTS-DPO's
/// `min(1 - 1 / (1 + N_rejected / N_chosen), 0.5)`.
///
/// A tree whose solutions come to more than 256 MiB, each counted from the prompt on with four bytes a token, gives no pairs.
pub fn pairs(
    recorder: &Recorder,
    prompt: Prompt<'_>,
    worth: &dyn Fn(StepId, &str) -> f64,
    params: &PairParams,
) -> Vec<Preference> {
    let tree = Tree::new(recorder);
    let (mut pairs, mut left) = (Vec::new(), MOST_BYTES);
    let mut path = Path { text: String::new(), tokens: prompt.tokens.to_vec() };
    // A tree may be as deep as it has steps: the points above wait here.
    let mut points = vec![Point::new(StepId::ROOT, (0, path.tokens.len()))];
    while let Some(point) = points.last_mut() {
        if let Some(&child) = tree.of(point.at).get(point.children) {
            point.children += 1;
            let start = path.end();
            let last = tree.follow(child, &mut path);
            if !tree.of(last).is_empty() {
                points.push(Point::new(last, start));
                continue;
            }
            let bytes = prompt.text.len() + path.text.len() + size_of_val(path.tokens.as_slice());
            let Some(rest) = left.checked_sub(bytes) else { return Vec::new() };
            left = rest;
            let complete = tree.is_complete(last);
            let worth = if complete { worth(last, &path.text) } else { 0.0 };
            point.add(path.cut(start), complete, (1, worth));
        } else if let Some(mut point) = points.pop() {
            pairs.extend(point.pairs(prompt, &path, params));
            let text = path.cut(point.start);
            if let Some(above) = points.last_mut() {
                above.add(text, tree.is_complete(point.at), (point.visits, point.worth));
            }
        }
    }
    pairs
}

struct Tree<'a> {
    recorder: &'a Recorder,
    children: BTreeMap<StepId, Vec<StepId>>,
}

impl<'a> Tree<'a> {
    fn new(recorder: &'a Recorder) -> Self {
        let mut children: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
        for (&id, step) in recorder.steps() {
            // Whoever goes on from himself is no tree.
            if step.parent < id {
                children.entry(step.parent).or_default().push(id);
            }
        }
        Self { recorder, children }
    }

    fn of(&self, at: StepId) -> &[StepId] {
        self.children.get(&at).map_or(&[], Vec::as_slice)
    }

    /// Appends `first` and what follows it until something branches off or it ends; the last of these steps.
    fn follow(&self, first: StepId, path: &mut Path) -> StepId {
        let mut last = first;
        loop {
            if let Some(step) = self.recorder.steps().get(&last) {
                path.text.push_str(&step.text);
                path.tokens.extend(&step.tokens);
            }
            match self.of(last) {
                &[only] => last = only,
                _ => return last,
            }
        }
    }

    fn is_complete(&self, step: StepId) -> bool {
        self.recorder.steps().get(&step).is_some_and(|step| step.complete)
    }
}

/// The way to where the walk is: the text from the prompt's end on, and all tokens.
struct Path {
    text: String,
    tokens: Vec<TokenId>,
}

impl Path {
    fn end(&self) -> (usize, usize) {
        (self.text.len(), self.tokens.len())
    }

    /// Goes back to an earlier end; the text behind it.
    fn cut(&mut self, (text, tokens): (usize, usize)) -> String {
        self.tokens.truncate(tokens);
        self.text.split_off(text)
    }
}

/// A branching point whose siblings are being told.
struct Point {
    at: StepId,
    /// Where the path ended before the steps that lead here alone.
    start: (usize, usize),
    /// Children that the walk has been to.
    children: usize,
    siblings: Vec<Sibling>,
    by_text: HashMap<(String, bool), usize>,
    /// Solutions below it, and the sum of what they are worth.
    visits: usize,
    worth: f64,
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

impl Point {
    fn new(at: StepId, start: (usize, usize)) -> Self {
        Self { at, start, children: 0, siblings: Vec::new(), by_text: HashMap::new(), visits: 0, worth: 0.0 }
    }

    fn add(&mut self, text: String, complete: bool, (visits, worth): (usize, f64)) {
        (self.visits, self.worth) = (self.visits + visits, self.worth + worth);
        // What follows the answer's line is no part of it; the end of the turn is.
        let text = if complete { text.trim_end().to_owned() } else { text };
        let place = *self.by_text.entry((text.clone(), complete)).or_insert(self.siblings.len());
        match self.siblings.get_mut(place) {
            Some(twin) => (twin.visits, twin.worth) = (twin.visits + visits, twin.worth + worth),
            None => self.siblings.push(Sibling { text, visits, worth, open: !complete }),
        }
    }

    /// The pairs of its siblings; `path` leads to it.
    fn pairs(&mut self, prompt: Prompt<'_>, path: &Path, params: &PairParams) -> impl Iterator<Item = Preference> {
        self.siblings.retain(|sibling| !sibling.text.is_empty());
        self.siblings.sort_by(|a, b| b.value().total_cmp(&a.value()));
        set_against(&self.siblings, params).map(move |(chosen, rejected)| Preference {
            prompt: format!("{}{}", prompt.text, path.text),
            prompt_tokens: path.tokens.clone(),
            chosen: Some(chosen.text.clone()),
            rejected: Some(rejected.text.clone()),
            chosen_open: chosen.open,
            rejected_open: rejected.open,
            smoothing: params.by_visits.then(|| {
                let ratio = rejected.visits as f64 / chosen.visits.max(1) as f64;
                (1.0 - 1.0 / (1.0 + ratio)).min(0.5)
            }),
            ..Preference::default()
        })
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
