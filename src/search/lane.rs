//! One growing node: the engine's branch behind it, and what one row of logits makes of it.

use super::answer;
use super::node::{End, Mark, Node, NodeId};
use super::step::StepRule;
use super::vocabulary::Vocabulary;
use crate::engine::{Branch, Row, Sampler};
use crate::error::Result;
use crate::observe::{Event, Observer};
use crate::reward::{Draw, Features};
use crate::text::{Guide, TokenId};

/// Where a node ends, if nothing else ends it first.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Until {
    /// After one step.
    Step,
    /// After that many tokens.
    Tokens(u64),
    /// When the text holds one of these.
    Markers(Vec<String>),
    /// When the text holds one of these, which is taken off again.
    Before(Vec<String>),
    /// With the solution.
    Solution,
    /// Before the first token: it is part of a prompt.
    Prompt,
}

/// Ends a node that the model is unsure of: when the mean [`Draw::confidence`] of the last `window` tokens is below
/// `least` (Fu et al., "Deep Think with Confidence", arXiv 2508.15260).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    pub window: usize,
    pub least: f64,
}

/// What a node needs beyond its place in the tree in order to grow; outlives its KV.
pub(super) struct Growth<S> {
    pub node: NodeId,
    pub until: Until,
    pub greedy: bool,
    pub judged: bool,
    /// Whether its KV stays for children.
    pub keep: bool,
    pub bar: Option<Bar>,
    pub confidence: bool,
    /// Whether a complete `#### answer` line ends it.
    pub stop_at_answer: bool,
    /// Holds its next tokens to a grammar.
    pub guide: Option<Guide>,
    /// Tokens that it may draw, and why it ends there.
    pub cap: u64,
    pub cap_end: End,
    /// Half a code point, between tokens.
    pub stream: S,
    /// Where in the node's text each of its tokens ends.
    pub ends: Vec<usize>,
    /// Text before the node, as far as the answer's line may reach back.
    pub before: String,
    /// The last tokens of the prompt and of the path and all of its own: what the repetition penalty looks back on.
    pub history: Vec<TokenId>,
    /// Hidden states of the step that is being drawn; complete steps' wait for the judge.
    pub features: Features,
    pub judgeable: Vec<Features>,
}

/// A growing node with its KV.
pub(super) struct Lane<S> {
    pub growth: Growth<S>,
    pub branch: Branch,
    /// Tokens to append to the branch in the next pass.
    pub feed: Vec<TokenId>,
}

/// What a pass gave one lane.
pub(super) struct Drawn<'a> {
    pub row: Row<'a>,
    pub hidden: Option<&'a [f32]>,
    pub entropy: bool,
}

/// What ends every node alike, unless it is asked for otherwise.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Ends a text after a complete `#### answer` line.
    pub stop_at_answer: bool,
    pub step: StepRule,
}

impl<S> Lane<S> {
    /// Takes the next token from a row of logits into `node`; says whether the node ends with it.
    pub fn grow<V: Vocabulary<Stream = S>>(
        &mut self,
        node: &mut Node,
        drawn: &Drawn<'_>,
        sampler: &mut Sampler,
        vocabulary: &V,
        rules: &Rules,
        observer: &mut dyn Observer,
    ) -> Result<Option<End>> {
        let growth = &mut self.growth;
        let uniform = node.stream.uniform(node.tokens.len() as u64);
        let sampled = match &mut growth.guide {
            Some(guide) => {
                let permitted = guide.permitted()?;
                sampler.sample_row_among(drawn.row, permitted.words(), &growth.history, uniform)?
            }
            None => sampler.sample_row(drawn.row, &growth.history, uniform)?,
        };
        let entropy = if drawn.entropy { sampler.entropy(drawn.row)? } else { f64::NAN };
        node.tokens.push(sampled.token);
        let confidence = if growth.confidence { sampler.confidence(drawn.row)? } else { f64::NAN };
        let (logprob, entropy, confidence) = (sampled.logprob as f32, entropy as f32, confidence as f32);
        node.draws.push(Draw { logprob, entropy, confidence });
        node.logprob += sampled.logprob;
        if let Some(hidden) = drawn.hidden {
            growth.features.push(hidden);
        }
        growth.history.push(sampled.token);
        self.feed.clear();
        self.feed.push(sampled.token);
        let before = node.text.len();
        let end = growth.end_of(node, sampled.token, vocabulary, rules);
        let end = growth.follow(sampled.token, end)?;
        if let Some(text) = node.text.get(before..).filter(|text| !text.is_empty()) {
            observer.event(&Event::NodeText { node: growth.node.number(), text });
        }
        let unsure = growth.bar.is_some_and(|bar| is_unsure(&node.draws, bar));
        let end = end.or(unsure.then_some(End::Confidence));
        let full = node.draws.len() as u64 >= growth.cap;
        let end = match end {
            // A step that ends where the solution has to end cannot be gone on from.
            Some(End::Step) | None if full && (end.is_none() || growth.cap_end == End::Length) => Some(growth.cap_end),
            _ => end,
        };
        if end.is_some() || rules.step.is_complete(&node.text, node.open_step().1) {
            growth.mark(node);
        }
        Ok(end)
    }
}

impl<S> Growth<S> {
    /// Appends the token's text, and says whether the text ends of itself there.
    fn end_of<V: Vocabulary<Stream = S>>(
        &mut self,
        node: &mut Node,
        token: TokenId,
        vocabulary: &V,
        rules: &Rules,
    ) -> Option<End> {
        if vocabulary.is_eog(token) {
            return Some(End::Eog);
        }
        let from = node.text.len();
        vocabulary.append(&mut self.stream, token, &mut node.text);
        self.ends.push(node.text.len());
        if self.stop_at_answer && self.completes_answer(&node.text, from) {
            return Some(End::Answer);
        }
        let done = match &self.until {
            Until::Step => rules.step.is_complete(&node.text, node.open_step().1),
            Until::Tokens(most) => node.draws.len() as u64 >= *most,
            Until::Markers(markers) => markers.iter().any(|marker| ends_with_new(&node.text, marker, from)),
            Until::Before(marks) => node.cut(marks, &self.ends),
            Until::Solution | Until::Prompt => false,
        };
        done.then_some(End::Step)
    }

    /// Tells the grammar of the token, and says whether the text is whole with it.
    fn follow(&mut self, token: TokenId, end: Option<End>) -> Result<Option<End>> {
        let Some(guide) = self.guide.as_mut().filter(|_| end != Some(End::Eog)) else { return Ok(end) };
        guide.advance(token)?;
        Ok(if guide.is_done() { Some(End::Whole) } else { end })
    }

    /// The line of the answer may have begun before this node.
    fn completes_answer(&self, text: &str, from: usize) -> bool {
        if self.before.is_empty() || text.get(..from).is_some_and(|own| own.contains('\n')) {
            return answer::completes_answer_line(text, from);
        }
        answer::completes_answer_line(&format!("{}{text}", self.before), self.before.len() + from)
    }

    /// Ends the step that is being drawn, unless it is empty.
    pub fn mark(&mut self, node: &mut Node) {
        if node.steps.last().is_none_or(|last| last.tokens < node.tokens.len()) {
            node.steps.push(Mark { tokens: node.tokens.len(), bytes: node.text.len(), score: None });
            self.judgeable.push(std::mem::take(&mut self.features));
        }
    }
}

/// Whether `marker` stands in `text` and ends behind byte `from`: what came before was looked through then.
fn ends_with_new(text: &str, marker: &str, from: usize) -> bool {
    let mut start = from.saturating_sub(marker.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    text.get(start..).is_some_and(|new| new.contains(marker))
}

fn is_unsure(draws: &[Draw], bar: Bar) -> bool {
    let Some(window) = draws.len().checked_sub(bar.window.max(1)).and_then(|from| draws.get(from..)) else {
        return false;
    };
    let sum: f64 = window.iter().map(|draw| f64::from(draw.confidence)).sum();
    sum / (window.len() as f64) < bar.least
}
