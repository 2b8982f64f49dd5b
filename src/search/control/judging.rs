//! The judge's side of the loop: which hidden states it reads, and what it says of ended nodes.

use std::time::Instant;

use crate::engine::Tap;
use crate::error::Result;
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Features, Judge, JudgeUsage, Step, StepId, one_for_each};
use crate::search::budget::Usage;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// A judge, or none.
pub(super) struct Judging<'a, 'j> {
    judge: Option<&'a mut (dyn Judge + 'j)>,
    taps: Vec<Tap>,
    entropy: bool,
    /// Of what the judge has spent, what the account knows.
    charged: JudgeUsage,
}

/// An ended node with the hidden states of its steps.
pub(super) struct Ended {
    pub node: NodeId,
    pub features: Vec<Features>,
}

impl<'a, 'j> Judging<'a, 'j> {
    pub fn new(mut judge: Option<&'a mut (dyn Judge + 'j)>, question: &str) -> Result<Self> {
        if let Some(judge) = judge.as_deref_mut() {
            judge.begin(question)?;
        }
        let taps = judge.as_deref().map_or_else(Vec::new, |judge| judge.taps().to_vec());
        let entropy = judge.as_deref().is_some_and(|judge| judge.wants_entropy());
        Ok(Self { judge, taps, entropy, charged: JudgeUsage::default() })
    }

    pub fn is_some(&self) -> bool {
        self.judge.is_some()
    }

    /// The judge's name, or an empty text.
    pub fn name(&self) -> String {
        self.judge.as_deref().map(|judge| judge.name().to_owned()).unwrap_or_default()
    }

    /// How its values become one.
    pub fn aggregation(&self) -> Aggregation {
        self.judge.as_deref().map_or(Aggregation::Last, |judge| judge.aggregation())
    }

    /// Hidden states to ask the engine for.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    pub fn entropy(&self) -> bool {
        self.entropy
    }

    /// Has all steps of these nodes judged in one call; their parents were judged earlier.
    pub fn judge(&mut self, tree: &mut Tree, ended: &[Ended], interrupt: &Interrupt, usage: &mut Usage) -> Result<()> {
        let Some(judge) = self.judge.as_deref_mut() else { return Ok(()) };
        let start = Instant::now();
        let nodes: Vec<NodeId> = ended.iter().map(|ended| ended.node).collect();
        let written = written(tree, &nodes);
        let features = ended.iter().flat_map(|ended| {
            let count = tree.node(ended.node).steps.len();
            (0..count).map(|index| ended.features.get(index).filter(|_| !self.taps.is_empty()))
        });
        let steps: Vec<Step<'_>> =
            written.iter().zip(features).map(|(written, features)| written.step(tree, features)).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let scores = judge.judge(&steps, interrupt);
        self.charge(start, usage);
        let mut scores = one_for_each(scores?, steps.len(), &self.name())?.into_iter();
        for node in nodes {
            for mark in &mut tree.node_mut(node).steps {
                mark.score = scores.next().map(|score| if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) });
            }
        }
        Ok(())
    }

    /// Shows the judge the steps of a node that was judged before the search was saved.
    pub fn recall(&mut self, tree: &Tree, node: NodeId, interrupt: &Interrupt, usage: &mut Usage) -> Result<()> {
        let Some(judge) = self.judge.as_deref_mut() else { return Ok(()) };
        let start = Instant::now();
        let written = written(tree, &[node]);
        let steps: Vec<Step<'_>> = written.iter().map(|written| written.step(tree, None)).collect();
        let done = judge.recall(&steps, interrupt);
        self.charge(start, usage);
        done
    }

    /// What the judge has spent since the last call.
    fn charge(&mut self, start: Instant, usage: &mut Usage) {
        let spent = self.judge.as_deref().map_or(self.charged, |judge| judge.usage());
        usage.reward_tokens += spent.tokens.saturating_sub(self.charged.tokens);
        usage.reward_passes += spent.passes.saturating_sub(self.charged.passes);
        usage.reward_kv_peak_bytes = usage.reward_kv_peak_bytes.max(spent.kv_bytes);
        usage.reward_wall += start.elapsed();
        self.charged = spent;
    }

    /// The text of `node` will not go on.
    pub fn release(&mut self, tree: &Tree, node: NodeId) {
        if let Some(judge) = self.judge.as_deref_mut() {
            for index in 0..tree.node(node).steps.len() {
                judge.release(node.step(index));
            }
        }
    }

    /// Nothing will go on.
    pub fn end(&mut self, tree: &Tree) {
        for node in tree.ids().filter(|&id| !tree.node(id).closed) {
            self.release(tree, node);
        }
    }
}

/// A step with the text that it ends.
struct Written {
    node: NodeId,
    index: usize,
    parent: StepId,
    path: String,
    /// Where in the path it begins: what no judge was asked about stands at the beginning of the step behind it.
    from: usize,
}

/// The steps of these nodes, node by node.
fn written(tree: &Tree, nodes: &[NodeId]) -> Vec<Written> {
    let mut written = Vec::new();
    for &id in nodes {
        let before = tree.text(tree.parent(id));
        let (mut parent, mut from) = above(tree, id);
        let node = tree.node(id);
        for (index, mark) in node.steps.iter().enumerate() {
            let path = format!("{before}{}", node.text.get(..mark.bytes).unwrap_or_default());
            let to = path.len();
            written.push(Written { node: id, index, parent, path, from: from.min(to) });
            (parent, from) = (id.step(index), to);
        }
    }
    written
}

impl Written {
    fn step<'s>(&'s self, tree: &'s Tree, features: Option<&'s Features>) -> Step<'s> {
        let node = tree.node(self.node);
        let before = self.index.checked_sub(1).and_then(|index| node.steps.get(index)).map_or(0, |mark| mark.tokens);
        let end = node.steps.get(self.index).map_or(before, |mark| mark.tokens);
        let drawn = |tokens: usize| tokens.saturating_sub(node.forced);
        Step {
            id: self.node.step(self.index),
            parent: self.parent,
            text: self.path.get(self.from..).unwrap_or_default(),
            path: &self.path,
            tokens: node.tokens.get(before..end).unwrap_or_default(),
            draws: node.draws.get(drawn(before)..drawn(end)).unwrap_or_default(),
            features,
            complete: self.index + 1 == node.steps.len() && node.end.is_some_and(|end| end.is_complete()),
        }
    }
}

/// The last judged step before `node` in the same text, and where in the text it ends.
fn above(tree: &Tree, node: NodeId) -> (StepId, usize) {
    let judged = |id: NodeId| tree.node(id).steps.iter().rposition(|mark| mark.score.is_some()).map(|at| (id, at));
    let Some((id, at)) = tree.path(node).into_iter().rev().skip(1).find_map(judged) else { return (StepId::ROOT, 0) };
    let bytes = tree.node(id).steps.get(at).map_or(0, |mark| mark.bytes);
    (id.step(at), tree.text(tree.parent(id)).len() + bytes)
}
