//! The judge's side of the loop: which hidden states it reads, and what it says of ended nodes.

use std::time::Instant;

use crate::engine::Tap;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::{Aggregation, Features, Judge, JudgeUsage, Step, StepId};
use crate::search::budget::Usage;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// A judge, or none.
pub(super) struct Judging<'a, 'j> {
    judge: Option<&'a mut (dyn Judge + 'j)>,
    taps: Vec<Tap>,
    entropy: bool,
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
        Ok(Self { judge, taps, entropy })
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
        let paths: Vec<String> = ended.iter().map(|ended| tree.text(tree.parent(ended.node))).collect();
        let mut texts = Vec::new();
        for (ended, above) in ended.iter().zip(&paths) {
            for mark in &tree.node(ended.node).steps {
                let own = tree.node(ended.node).text.get(..mark.bytes).unwrap_or_default();
                texts.push(format!("{above}{own}"));
            }
        }
        let mut texts = texts.iter();
        let mut steps = Vec::new();
        for ended in ended {
            steps_of(tree, ended, !self.taps.is_empty(), &mut texts, &mut steps);
        }
        if steps.is_empty() {
            return Ok(());
        }
        // A head takes microseconds and has its states only now: it is not interrupted.
        let uninterrupted = Interrupt::default();
        let scores = judge.judge(&steps, if self.taps.is_empty() { interrupt } else { &uninterrupted });
        let JudgeUsage { tokens, passes, .. } = judge.usage();
        (usage.reward_tokens, usage.reward_passes) = (tokens, passes);
        usage.reward_wall += start.elapsed();
        let scores = scores?;
        if scores.len() != steps.len() {
            let message = format!("the judge gave {} values for {} steps", scores.len(), steps.len());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let mut scores = scores.into_iter();
        for ended in ended {
            for mark in &mut tree.node_mut(ended.node).steps {
                mark.score = scores.next().map(|score| if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) });
            }
        }
        Ok(())
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

/// The steps of one node as the judge sees them.
fn steps_of<'t>(
    tree: &'t Tree,
    ended: &'t Ended,
    reads_hidden: bool,
    paths: &mut impl Iterator<Item = &'t String>,
    steps: &mut Vec<Step<'t>>,
) {
    let node = tree.node(ended.node);
    let mut parent = above(tree, ended.node);
    let (mut from_token, mut from_byte) = (0, 0);
    for (index, mark) in node.steps.iter().enumerate() {
        let drawn = |tokens: usize| tokens.saturating_sub(node.forced);
        steps.push(Step {
            id: ended.node.step(index),
            parent,
            text: node.text.get(from_byte..mark.bytes).unwrap_or_default(),
            path: paths.next().map_or("", String::as_str),
            tokens: node.tokens.get(from_token..mark.tokens).unwrap_or_default(),
            draws: node.draws.get(drawn(from_token)..drawn(mark.tokens)).unwrap_or_default(),
            features: ended.features.get(index).filter(|_| reads_hidden),
            complete: index + 1 == node.steps.len() && node.end.is_some_and(|end| end.is_complete()),
        });
        parent = ended.node.step(index);
        (from_token, from_byte) = (mark.tokens, mark.bytes);
    }
}

/// The last step before `node` in the same text.
fn above(tree: &Tree, node: NodeId) -> StepId {
    let with_steps = tree.path(node).into_iter().rev().skip(1).find(|&id| !tree.node(id).steps.is_empty());
    with_steps.map_or(StepId(0), |id| id.step(tree.node(id).steps.len() - 1))
}
