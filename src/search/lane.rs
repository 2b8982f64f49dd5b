//! One growing node: the engine's branch behind it, and what one row of logits makes of it.

use super::answer;
use super::tree::{End, Node, NodeId};
use super::vocabulary::Vocabulary;
use crate::engine::{Branch, Row, Sampler};
use crate::error::Result;
use crate::observe::{Event, Observer};
use crate::text::TokenId;

/// What a node needs beyond its place in the tree in order to grow; outlives its KV.
pub(super) struct Growth<S> {
    pub node: NodeId,
    pub greedy: bool,
    /// Tokens that it may hold, and why it ends there.
    pub cap: u64,
    pub cap_end: End,
    /// Half a code point, between tokens.
    pub stream: S,
    /// The last tokens of the prompt and all of its own: what the repetition penalty looks back on.
    pub history: Vec<TokenId>,
}

/// A growing node with its KV.
pub(super) struct Lane<S> {
    pub growth: Growth<S>,
    pub branch: Branch,
    /// Tokens to append to the branch in the next pass.
    pub feed: Vec<TokenId>,
}

impl<S> Lane<S> {
    /// Takes the next token from a row of logits into `node`; says whether the node ends with it.
    pub fn grow<V: Vocabulary<Stream = S>>(
        &mut self,
        node: &mut Node,
        row: Row<'_>,
        sampler: &mut Sampler,
        vocabulary: &V,
        rules: &Rules,
        observer: &mut dyn Observer,
    ) -> Result<Option<End>> {
        let growth = &mut self.growth;
        let uniform = node.stream.uniform(node.tokens.len() as u64);
        let sampled = sampler.sample_row(row, &growth.history, uniform)?;
        node.tokens.push(sampled.token);
        node.logprob += sampled.logprob;
        growth.history.push(sampled.token);
        self.feed.clear();
        self.feed.push(sampled.token);
        if vocabulary.is_eog(sampled.token) {
            return Ok(Some(End::Eog));
        }
        let before = node.text.len();
        vocabulary.append(&mut growth.stream, sampled.token, &mut node.text);
        if let Some(text) = node.text.get(before..).filter(|text| !text.is_empty()) {
            observer.event(&Event::NodeText { node: growth.node.number(), text });
        }
        if rules.stop_at_answer && answer::completes_answer_line(&node.text, before) {
            return Ok(Some(End::Answer));
        }
        Ok((node.tokens.len() as u64 >= growth.cap).then_some(growth.cap_end))
    }
}

/// What ends every node alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Ends a text after a complete `#### answer` line.
    pub stop_at_answer: bool,
}
