//! The control loop: keeps the batch full with nodes of unequal length, charges the ledger, and always has a best answer.
//!
//! The prompt is computed once, except for its last token, which every branch computes anew: a fork shares KV, not logits.
//! Finished nodes are refilled at once. When KV runs short the youngest branch gives up its KV, keeps its tokens, and goes
//! on once there is room; a place in the tree owns its random numbers, so nothing but time is lost.

use std::collections::VecDeque;

use super::algo::{Algorithm, Extend};
use super::budget::Ledger;
use super::lane::{Growth, Lane, Rules};
use super::outcome::{Outcome, StopReason};
use super::tree::{End, NodeId, Tree};
use super::{SearchParams, Vocabulary, answer};
use crate::engine::{Batch, Branch, Engine, Rows, Sampler, SamplerParams, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{CancelToken, Event, Observer};
use crate::text::TokenId;

/// Tokens of the prompt in one pass: between passes the clock is checked and progress shown.
const PREFILL_CHUNK: usize = 256;

struct Control<'a, E: ?Sized, V: Vocabulary> {
    engine: &'a mut E,
    vocabulary: &'a V,
    prompt: &'a [TokenId],
    observer: &'a mut dyn Observer,
    cancel: &'a CancelToken,
    rules: Rules,
    drawing: Sampler,
    greedy: Sampler,
    algorithm: Box<dyn Algorithm>,
    tree: Tree,
    ledger: Ledger,
    rows: Rows,
    /// The branch that holds the prompt but for its last token.
    trunk: Option<Branch>,
    lanes: Vec<Lane<V::Stream>>,
    /// Growing nodes that gave up their KV, oldest first.
    parked: VecDeque<Growth<V::Stream>>,
    /// A request that the ledger does not cover yet.
    held: Option<Extend>,
    /// Nodes asked for and not yet told, in that order.
    untold: VecDeque<NodeId>,
    /// Branches decoded at once, at most: the free width, less once KV ran short.
    width: usize,
    /// Why a node that was told had been cut short.
    cut: Option<StopReason>,
}

/// Runs the search; see [`solve`](super::solve).
pub(super) fn run<E: Engine + ?Sized, V: Vocabulary>(
    engine: &mut E,
    vocabulary: &V,
    prompt: &[TokenId],
    params: &SearchParams,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Outcome> {
    let ledger = Ledger::open(&params.budget);
    let n_ctx = engine.info().n_ctx;
    if prompt.is_empty() {
        return Err(Error::invalid("the prompt holds no token"));
    }
    if prompt.len() > n_ctx {
        let message = format!("the prompt has {} tokens and the context holds {n_ctx}", prompt.len());
        return Err(Error::new(ErrorKind::ContextLength, message));
    }
    let mut control = Control {
        width: engine.info().free_width.max(1),
        engine,
        vocabulary,
        prompt,
        observer,
        cancel,
        rules: Rules { stop_at_answer: params.stop_at_answer },
        drawing: Sampler::new(params.sampler.clone())?,
        greedy: Sampler::new(SamplerParams { temperature: 0.0, ..params.sampler.clone() })?,
        algorithm: params.algo.start(params),
        tree: Tree::new(params.seed),
        ledger,
        rows: Rows::new(),
        trunk: None,
        lanes: Vec::new(),
        parked: VecDeque::new(),
        held: None,
        untold: VecDeque::new(),
        cut: None,
    };
    let stop_reason = control.search();
    control.release_all();
    let stop_reason = stop_reason?;
    let verdict = control.algorithm.verdict(&control.tree);
    Ok(Outcome {
        answer: verdict.answer,
        text: verdict.text,
        score: verdict.score,
        stop_reason,
        algo: params.algo,
        seed: params.seed,
        candidates: verdict.candidates,
        usage: control.ledger.close(),
    })
}

impl<E: Engine + ?Sized, V: Vocabulary> Control<'_, E, V> {
    fn search(&mut self) -> Result<StopReason> {
        let reason = match self.grow_until_done() {
            Ok(reason) => return Ok(reason),
            Err(error) if error.kind() == ErrorKind::Cancelled && self.cancel.is_cancelled() => StopReason::Cancelled,
            Err(error) if error.kind() == ErrorKind::Cancelled && self.ledger.overdue() => StopReason::Deadline,
            Err(error) => return Err(error),
        };
        // The best so far counts everything there is, finished or not.
        for node in std::mem::take(&mut self.untold) {
            if self.tree.node(node).end.is_none() {
                self.tree.node_mut(node).end = Some(End::Interrupted);
                self.report(node);
            }
            self.algorithm.tell(&self.tree, node);
        }
        Ok(reason)
    }

    /// Errors of kind [`Cancelled`](ErrorKind::Cancelled) are the caller's interrupts.
    fn grow_until_done(&mut self) -> Result<StopReason> {
        self.prefill()?;
        loop {
            self.ledger.interrupt(self.cancel).check()?;
            self.fill()?;
            self.tell();
            if self.algorithm.is_done() || (self.lanes.is_empty() && self.held.is_none()) {
                return Ok(self.cut.unwrap_or(StopReason::Finished));
            }
            if self.lanes.is_empty() {
                return Ok(StopReason::Tokens);
            }
            self.pass()?;
            self.tell();
            if self.algorithm.is_done() {
                return Ok(self.cut.unwrap_or(StopReason::Finished));
            }
        }
    }

    /// Computes the prompt but for its last token.
    fn prefill(&mut self) -> Result<()> {
        let trunk = self.trunk.insert(self.engine.root()?);
        let interrupt = self.ledger.interrupt(self.cancel);
        let (_, body) = self.prompt.split_last().ok_or_else(|| Error::invalid("the prompt holds no token"))?;
        let total = self.prompt.len() as u64;
        self.ledger.usage.prompt_tokens = total;
        let mut done = 0;
        for chunk in body.chunks(PREFILL_CHUNK) {
            interrupt.check()?;
            let mut batch = Batch::new(&interrupt);
            batch.extend(trunk, chunk, Want::None);
            self.engine.forward(&batch, &mut self.rows).map_err(|error| match error.kind() {
                ErrorKind::Memory => error.context(format!("the prompt of {total} tokens alone needs more memory")),
                _ => error,
            })?;
            done += chunk.len() as u64;
            self.observer.event(&Event::Progress { what: "prompt", done, total });
            record(&mut self.ledger, self.engine);
        }
        Ok(())
    }

    /// Starts nodes until the batch is full, the ledger covers no more, or the algorithm wants no more.
    fn fill(&mut self) -> Result<()> {
        while self.lanes.len() < self.width {
            if let Some(growth) = self.parked.pop_front() {
                self.start(growth)?;
                continue;
            }
            let Some(extend) = self.held.take().or_else(|| self.algorithm.ask(&self.tree)) else { break };
            let Some(cap) = self.ledger.reserve(extend.max_tokens, self.lanes.is_empty()) else {
                self.held = Some(extend);
                break;
            };
            let node = self.tree.add(extend.at);
            self.untold.push_back(node);
            let (number, parent) = (node.number(), extend.at.number());
            self.observer.event(&Event::NodeStarted { node: number, parent, greedy: extend.greedy });
            let window = self.drawing.params().repetition_window.min(self.prompt.len());
            self.start(Growth {
                node,
                greedy: extend.greedy,
                cap,
                cap_end: if cap < extend.max_tokens { End::Tokens } else { End::Length },
                stream: self.vocabulary.stream(),
                history: self.prompt.get(self.prompt.len() - window..).unwrap_or_default().to_vec(),
            })?;
        }
        Ok(())
    }

    /// Gives a growing node its KV: a fork of the prompt, with the tokens it already has to be computed again.
    fn start(&mut self, growth: Growth<V::Stream>) -> Result<()> {
        let Some(trunk) = &self.trunk else {
            return Err(Error::new(ErrorKind::Internal, "a branch was started before the prompt"));
        };
        match self.engine.fork(trunk) {
            Ok(branch) => {
                let feed = self.prompt.last().into_iter().chain(&self.tree.node(growth.node).tokens).copied().collect();
                self.lanes.push(Lane { growth, branch, feed });
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Memory => {
                self.without_room(growth);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// One forward pass over all lanes, one token more for each.
    fn pass(&mut self) -> Result<()> {
        let interrupt = self.ledger.interrupt(self.cancel);
        let mut batch = Batch::new(&interrupt);
        for lane in &self.lanes {
            batch.extend(&lane.branch, &lane.feed, Want::Logits);
        }
        match self.engine.forward(&batch, &mut self.rows) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Memory => {
                let youngest = (0..self.lanes.len()).max_by_key(|&i| self.lanes.get(i).map(|lane| lane.growth.node));
                if let Some(youngest) = youngest.map(|i| self.lanes.remove(i)) {
                    self.engine.release(youngest.branch);
                    self.without_room(youngest.growth);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        record(&mut self.ledger, self.engine);
        self.absorb()
    }

    /// Draws each lane's next token from its row, and retires the lanes that end with it.
    fn absorb(&mut self) -> Result<()> {
        let n_ctx = self.engine.info().n_ctx;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let row = self.rows.row(i);
            let row = row.ok_or_else(|| Error::new(ErrorKind::Internal, "a pass left out a row of logits"))?;
            // A resumed lane fed the prompt's last token and one token that is new; all others were fed before.
            self.ledger.usage.recomputed_tokens += lane.feed.len().saturating_sub(2) as u64;
            let sampler = if lane.growth.greedy { &mut self.greedy } else { &mut self.drawing };
            let node = self.tree.node_mut(lane.growth.node);
            let end = lane.grow(node, row, sampler, self.vocabulary, &self.rules, self.observer)?;
            let full = self.engine.len(&lane.branch) >= n_ctx;
            node.end = end.or(full.then_some(End::Context));
            self.ledger.draw();
        }
        let tree = &self.tree;
        let (ended, growing) =
            std::mem::take(&mut self.lanes).into_iter().partition(|lane| tree.node(lane.growth.node).end.is_some());
        self.lanes = growing;
        let ended: Vec<Lane<V::Stream>> = ended;
        for lane in ended {
            self.engine.release(lane.branch);
            self.retire(&lane.growth);
        }
        Ok(())
    }

    /// A branch did not fit beside the others: it waits for room, and fewer run at once from now on. A branch that does
    /// not even fit alone ends here.
    fn without_room(&mut self, growth: Growth<V::Stream>) {
        if self.lanes.is_empty() {
            self.tree.node_mut(growth.node).end = Some(End::Memory);
            self.retire(&growth);
        } else {
            self.width = self.lanes.len();
            let at = self.parked.partition_point(|other| other.node < growth.node);
            self.parked.insert(at, growth);
        }
    }

    /// Settles the account of a node that ended.
    fn retire(&mut self, growth: &Growth<V::Stream>) {
        let tokens = self.tree.node(growth.node).tokens.len();
        self.ledger.refund(growth.cap.saturating_sub(tokens as u64));
        self.report(growth.node);
    }

    /// Tells the observer what a node that ended has become.
    fn report(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        let text = self.tree.text(id);
        let complete = node.end.is_some_and(End::is_complete);
        let found = if complete { answer::extract(&text) } else { answer::extract_unfinished(&text) };
        self.observer.event(&Event::NodeDone {
            node: id.number(),
            parent: node.parent.map_or(0, NodeId::number),
            text: &node.text,
            tokens: &node.tokens,
            logprob: node.logprob,
            score: None,
            end: node.end.map_or("", End::name),
            answer: found.as_ref().map(|found| found.answer.text()),
            policy_tokens: self.ledger.usage.policy_tokens,
            wall_ms: self.ledger.wall_ms(),
        });
    }

    /// Tells the algorithm about ended nodes, in the order in which it asked for them.
    fn tell(&mut self) {
        while let Some(&node) = self.untold.front() {
            let Some(end) = self.tree.node(node).end else { return };
            self.untold.pop_front();
            match end {
                End::Tokens => self.cut = Some(StopReason::Tokens),
                End::Memory if self.cut.is_none() => self.cut = Some(StopReason::Memory),
                _ => {}
            }
            self.algorithm.tell(&self.tree, node);
            if self.algorithm.is_done() {
                return;
            }
        }
    }

    fn release_all(&mut self) {
        for lane in std::mem::take(&mut self.lanes) {
            self.engine.release(lane.branch);
        }
        if let Some(trunk) = self.trunk.take() {
            self.engine.release(trunk);
        }
    }
}

/// Counts a pass, and the memory that it left in use.
fn record<E: Engine + ?Sized>(ledger: &mut Ledger, engine: &E) {
    let memory = engine.memory();
    let usage = &mut ledger.usage;
    usage.forward_passes += 1;
    usage.kv_peak_bytes = usage.kv_peak_bytes.max(memory.kv);
    usage.peak_bytes = usage.peak_bytes.max(memory.weights.saturating_add(memory.kv).saturating_add(memory.scratch));
}
