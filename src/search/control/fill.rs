//! Starting nodes: from an algorithm's request to a lane of the batch.

use super::Search;
use crate::engine::{Branch, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{CancelToken, Event, Observer};
use crate::reward::Features;
use crate::search::algo::{Extend, Hold};
use crate::search::lane::{Growth, Lane, Until};
use crate::search::node::{End, Held, NodeId};
use crate::search::vocabulary::Vocabulary;
use crate::text::TokenId;

impl<E: Engine + ?Sized, V: Vocabulary> Search<'_, '_, E, V> {
    /// Starts nodes until the batch is full, the ledger covers no more, or the algorithm wants no more.
    pub(super) fn fill(&mut self, observer: &mut dyn Observer, cancel: &CancelToken) -> Result<()> {
        while self.lanes.len() < self.width && !self.ledger.exhausted() {
            if let Some(growth) = self.parked.pop_front() {
                self.start(growth, observer, cancel)?;
                continue;
            }
            let Some(extend) = self.held.take().or_else(|| self.algorithm.ask(&mut self.tree)) else { break };
            let (cap, cap_end) = self.cap(&extend);
            let granted = match extend.until {
                // It draws nothing, but without a token left nothing will follow it.
                Until::Prompt => self.ledger.has_tokens().then_some(cap),
                _ => self.ledger.reserve(cap, self.lanes.is_empty()),
            };
            let Some(granted) = granted else {
                self.held = Some(extend);
                break;
            };
            let cap_end = if granted < cap { End::Tokens } else { cap_end };
            let node = self.add(&extend)?;
            let growth = self.growth(node, extend, granted, cap_end)?;
            observer.event(&Event::NodeStarted {
                node: node.number(),
                parent: self.tree.parent(node).number(),
                greedy: growth.greedy,
            });
            self.start(growth, observer, cancel)?;
        }
        Ok(())
    }

    /// The node that a request asks for, with the tokens that are put into the model's mouth.
    pub(super) fn add(&mut self, extend: &Extend) -> Result<NodeId> {
        if extend.until == Until::Prompt {
            return Ok(self.add_prompt(extend));
        }
        let forced = if extend.forced.is_empty() { Vec::new() } else { self.vocabulary.encode(&extend.forced)? };
        let mut stream = self.stream_at(extend.at);
        let id = self.tree.add(extend.at);
        self.untold.push_back(id);
        let node = self.tree.node_mut(id);
        for &token in &forced {
            self.vocabulary.append(&mut stream, token, &mut node.text);
        }
        node.keep = extend.keep;
        node.forced = forced.len();
        node.tokens = forced;
        node.held = match extend.hold {
            Hold::Text if self.params.grammar.is_some() => Held::Text,
            Hold::Rest if self.params.grammar.is_some() => Held::From(node.text.len()),
            _ => Held::No,
        };
        Ok(id)
    }

    /// Tokens that the node may draw, and why it ends there: its step's, its solution's or its own.
    fn cap(&self, extend: &Extend) -> (u64, End) {
        let left = self.params.max_tokens.saturating_sub(self.tree.drawn(extend.at)).max(1);
        let own = match extend.until {
            Until::Step => self.rules.step.max_tokens,
            Until::Tokens(most) => most,
            Until::Markers(_) | Until::Before(_) | Until::Solution => u64::MAX,
            Until::Prompt => return (0, End::Prompt),
        };
        let own = own.min(extend.max_tokens.unwrap_or(u64::MAX)).max(1);
        if own < left { (own, End::Step) } else { (left, End::Length) }
    }

    pub(super) fn growth(&mut self, node: NodeId, extend: Extend, cap: u64, cap_end: End) -> Result<Growth<V::Stream>> {
        let guide = self.guide_at(node, &extend)?;
        let above = self.tree.tokens(extend.at);
        let (mut stream, mut text) = (self.stream_at(extend.at), String::new());
        let mut ends = Vec::new();
        for &token in &self.tree.node(node).tokens {
            self.vocabulary.append(&mut stream, token, &mut text);
            ends.push(text.len());
        }
        let line = self.tree.text(extend.at);
        let line = line.rsplit('\n').next().unwrap_or_default();
        let window = self.drawing.params().repetition_window;
        let seen: Vec<TokenId> =
            self.prompt.iter().chain(&above).chain(&self.tree.node(node).tokens).copied().collect();
        Ok(Growth {
            node,
            until: extend.until,
            greedy: extend.greedy,
            judged: extend.judged && self.judging.is_some(),
            keep: extend.keep,
            bar: extend.bar,
            confidence: extend.confidence,
            stop_at_answer: guide.is_none() && extend.stop_at_answer.unwrap_or(self.rules.stop_at_answer),
            guide,
            cap,
            cap_end,
            stream,
            ends,
            before: line.to_owned(),
            history: seen.get(seen.len().saturating_sub(window)..).unwrap_or_default().to_vec(),
            features: Features::default(),
            judgeable: Vec::new(),
        })
    }

    /// The half code point that may stand at the end of `id`: the stream goes through the whole text.
    pub(super) fn stream_at(&self, id: NodeId) -> V::Stream {
        let (mut stream, mut text) = (self.vocabulary.stream(), String::new());
        for token in self.tree.text_tokens(id) {
            self.vocabulary.append(&mut stream, token, &mut text);
        }
        stream
    }

    /// Gives a growing node its KV: a fork of the nearest ancestor that has some, and the tokens in between to be computed.
    pub(super) fn start(
        &mut self,
        growth: Growth<V::Stream>,
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<()> {
        let node = growth.node;
        let path = self.path_through(node);
        if path.len() > self.engine.info().n_ctx {
            self.tree.node_mut(node).end = Some(End::Context);
            self.retire(&growth, observer);
            return Ok(());
        }
        match self.fork_above(node) {
            Ok(branch) if growth.until == Until::Prompt => self.read(growth, branch, &path, observer, cancel),
            Ok(mut branch) => {
                // A path without new tokens computes its last one again, for its logits.
                let held = self.engine.len(&branch).min(path.len().saturating_sub(1));
                self.engine.truncate(&mut branch, held)?;
                let feed = path.get(held..).unwrap_or_default().to_vec();
                self.lanes.push(Lane { growth, branch, feed });
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Memory => {
                self.without_room(growth, observer);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The prompt and all tokens up to where `node` stands.
    pub(super) fn path_through(&self, node: NodeId) -> Vec<TokenId> {
        let mut path = self.prompt.clone();
        path.extend(self.tree.tokens(self.tree.parent(node)));
        path.extend(&self.tree.node(node).tokens);
        path
    }

    /// A fork of the nearest ancestor that has KV.
    fn fork_above(&mut self, node: NodeId) -> Result<Branch> {
        let branch = match self.tree.ancestry(node).skip(1).find(|&above| self.kept.get(above).is_some()) {
            Some(above) => self.kept.get(above),
            None => self.trunk.as_ref(),
        };
        let branch = branch.ok_or_else(|| Error::new(ErrorKind::Internal, "a node was started before the prompt"))?;
        self.engine.fork(branch)
    }
}
