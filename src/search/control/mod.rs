//! The control loop: keeps the batch full with nodes of unequal length, charges the ledger, and always has a best answer.
//!
//! The prompt is computed once, except for its last token, which every branch computes anew: a fork shares KV, not logits.
//! The same holds for every node that gets children. Finished nodes are refilled at once. When KV runs short, ended nodes
//! give up theirs first, then the youngest that grows; what is needed again is computed again from its tokens. A place in
//! the tree owns its random numbers, so nothing but time is lost.

mod fill;
mod guiding;
mod judging;
mod kept;
mod pass;
mod prompt;
mod saved;

use std::collections::{BTreeMap, VecDeque};

use self::judging::{Ended, Judging};
use self::kept::Kept;
use super::algo::{Algorithm, Extend, Programmed, Verdict, verdict};
use super::answer::Answer;
use super::budget::{Ledger, Usage};
use super::lane::{Growth, Lane, Rules};
use super::node::{End, NodeId};
use super::outcome::{Outcome, StopReason};
use super::tree::Tree;
use super::{Program, SearchParams, Vocabulary, Vote};
use crate::engine::{Branch, Engine, Rows, Sampler, SamplerParams};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{CancelToken, Event, Observer};
use crate::reward::Judge;
use crate::text::{Grammar, Guide, TokenId};

/// A search that can be paused, saved and gone on with.
///
/// It runs only inside [`advance`](Self::advance); between two calls it is paused, and its clock stands still. Its branches
/// are given back to the engine when it is finished or dropped.
pub struct Search<'a, 'j, E: Engine + ?Sized, V: Vocabulary> {
    engine: &'a mut E,
    vocabulary: &'a V,
    prompt: Vec<TokenId>,
    params: SearchParams,
    rules: Rules,
    drawing: Sampler,
    greedy: Sampler,
    algorithm: Box<dyn Algorithm + 'a>,
    /// The program's name, if one says what is grown.
    program: String,
    /// What grammars begin with, by grammar.
    guides: BTreeMap<Grammar, Guide>,
    tree: Tree,
    ledger: Ledger,
    rows: Rows,
    judging: Judging<'a, 'j>,
    /// The branch that holds the prompt but for its last token, and whether it holds all of that.
    trunk: Option<Branch>,
    /// Ended nodes that may get children, with their KV.
    kept: Kept,
    lanes: Vec<Lane<V::Stream>>,
    /// Growing nodes that gave up their KV, oldest first.
    parked: VecDeque<Growth<V::Stream>>,
    /// A request that the ledger does not cover yet.
    held: Option<Extend>,
    /// Nodes asked for and not yet told, in that order.
    untold: VecDeque<NodeId>,
    /// Ended nodes that the judge was interrupted over.
    unjudged: Vec<Ended>,
    /// Judged nodes of a saved search that the judge has to see again.
    recalled: VecDeque<NodeId>,
    /// Branches decoded at once, at most: the free width, less once KV ran short.
    width: usize,
    /// The engine's own cap on KV, put back in the end.
    kv_limit: u64,
    /// Why a node that was told had been cut short.
    cut: Option<StopReason>,
    stop_reason: Option<StopReason>,
    /// An error ended it: what it holds belongs together no more.
    failed: bool,
}

impl<'a, 'j, E: Engine + ?Sized, V: Vocabulary> Search<'a, 'j, E, V> {
    /// A search that has not begun. `question` is what a judge with an engine of its own is told; see
    /// [`solve`](super::solve) for the rest and for the errors.
    pub fn new(
        engine: &'a mut E,
        vocabulary: &'a V,
        prompt: &[TokenId],
        params: &SearchParams,
        judge: Option<&'a mut (dyn Judge + 'j)>,
        question: &str,
    ) -> Result<Self> {
        params.validate()?;
        let n_ctx = engine.info().n_ctx;
        if prompt.is_empty() {
            return Err(Error::invalid("the prompt holds no token"));
        }
        if prompt.len() > n_ctx {
            let message = format!("the prompt has {} tokens and the context holds {n_ctx}", prompt.len());
            return Err(Error::new(ErrorKind::ContextLength, message));
        }
        let mut guides = BTreeMap::new();
        if let Some(grammar) = &params.grammar {
            guides.insert(grammar.clone(), vocabulary.guide(grammar)?);
        }
        let judging = Judging::new(judge, question)?;
        let kv_limit = engine.memory().kv_limit;
        Ok(Self {
            width: engine.info().free_width.max(1),
            algorithm: params.algo.start(params, judging.is_some(), engine.info().free_width),
            program: String::new(),
            engine,
            vocabulary,
            prompt: prompt.to_vec(),
            rules: Rules { stop_at_answer: params.stop_at_answer, step: params.step.clone() },
            drawing: Sampler::new(params.sampler.clone())?,
            greedy: Sampler::new(SamplerParams { temperature: 0.0, ..params.sampler.clone() })?,
            guides,
            tree: Tree::new(params.seed, params.aggregation.unwrap_or(judging.aggregation()))
                .reading(params.grammar.clone(), params.thinking.clone()),
            ledger: Ledger::new(&params.budget, Usage::default()),
            rows: Rows::new(),
            judging,
            trunk: None,
            kept: Kept::default(),
            lanes: Vec::new(),
            parked: VecDeque::new(),
            held: None,
            untold: VecDeque::new(),
            unjudged: Vec::new(),
            recalled: VecDeque::new(),
            kv_limit,
            cut: None,
            stop_reason: None,
            failed: false,
            params: params.clone(),
        })
    }

    /// This search, which has not begun, with a program that says what is grown, in place of an algorithm:
    /// [`SearchParams::algo`] and the constants of algorithms count for nothing.
    #[must_use]
    pub fn with_program(mut self, program: Box<dyn Program + 'a>) -> Self {
        let vote = match self.params.vote {
            Some(vote) => vote,
            None if program.vote() == Vote::Majority && self.judging.is_some() => Vote::Weighted,
            None => program.vote(),
        };
        self.program = program.name().to_owned();
        self.algorithm = Box::new(Programmed::new(program, vote, self.params.early_stop.clone()));
        self
    }

    /// This search, which has not begun, with what an earlier run of it learned from elsewhere than its nodes
    /// ([`Outcome::journal`]), so that it goes the same way. [`Format`](ErrorKind::Format) for a journal of another search.
    pub fn with_journal(mut self, journal: &str) -> Result<Self> {
        self.algorithm.recall(journal)?;
        Ok(self)
    }

    /// Runs about `passes` forward passes, prompts not counted; `None` when the search has not ended with them. A budget that
    /// runs out, a deadline and a cancellation are no errors but reasons to stop. After an error the search can only be finished.
    pub fn advance(
        &mut self,
        passes: u64,
        observer: &mut dyn Observer,
        cancel: &CancelToken,
    ) -> Result<Option<StopReason>> {
        if self.stop_reason.is_some() {
            return Ok(self.stop_reason);
        }
        self.check_sound()?;
        self.ledger.start();
        let done = self.run(passes, observer, cancel);
        self.ledger.stop();
        self.engine.set_kv_limit(self.kv_limit);
        self.stop_reason = match done {
            Ok(reason) => reason,
            Err(error) if error.kind() == ErrorKind::Cancelled && cancel.is_cancelled() => Some(StopReason::Cancelled),
            Err(error) if error.kind() == ErrorKind::Cancelled => Some(StopReason::Deadline),
            Err(error) => {
                self.failed = true;
                self.release_all();
                return Err(error);
            }
        };
        Ok(self.stop_reason)
    }

    fn check_sound(&self) -> Result<()> {
        if self.failed { Err(Error::invalid("the search ended with an error and cannot go on")) } else { Ok(()) }
    }

    /// What has been spent so far.
    pub fn usage(&self) -> &Usage {
        &self.ledger.usage
    }

    /// The best answer so far; a search that had not ended is given up as cancelled. All branches are given back.
    pub fn finish(mut self, observer: &mut dyn Observer) -> Outcome {
        self.release_all();
        // Of a search that was cut off, the best so far counts everything there is; what merely ran beside a decision not.
        let untold = std::mem::take(&mut self.untold);
        for node in untold.into_iter().filter(|_| self.stop_reason != Some(StopReason::Finished)) {
            if self.tree.node(node).end.is_none() {
                self.tree.node_mut(node).end = Some(End::Interrupted);
                self.report(node, observer);
            }
            self.algorithm.tell(&mut self.tree, node);
        }
        let Verdict { answer, text, complete, score, candidates } = self.algorithm.verdict(&self.tree);
        Outcome {
            answer,
            text,
            complete,
            score,
            stop_reason: self.stop_reason.unwrap_or(StopReason::Cancelled),
            algo: self.params.algo,
            seed: self.params.seed,
            candidates,
            usage: self.ledger.usage.clone(),
            journal: self.algorithm.journal(),
        }
    }

    /// Errors of kind [`Cancelled`](ErrorKind::Cancelled) are the caller's interrupts and the deadline.
    fn run(&mut self, passes: u64, observer: &mut dyn Observer, cancel: &CancelToken) -> Result<Option<StopReason>> {
        let end = self.ledger.usage.forward_passes.saturating_add(passes);
        self.algorithm.attend(&self.ledger.interrupt(cancel));
        self.prefill(observer, cancel)?;
        self.judge_again(cancel)?;
        loop {
            self.tell(observer);
            self.algorithm.fault().map_or(Ok(()), Err)?;
            if self.algorithm.is_done() {
                return Ok(Some(self.cut.unwrap_or(StopReason::Finished)));
            }
            self.ledger.interrupt(cancel).check()?;
            if self.ledger.exhausted() {
                return Ok(Some(StopReason::Energy));
            }
            let filled = self.fill(observer, cancel);
            self.algorithm.fault().map_or(filled, Err)?;
            if self.lanes.is_empty() {
                if self.held.is_some() {
                    return Ok(Some(StopReason::Tokens));
                }
                // Nodes that ended without a pass are told first, and may lead to new ones.
                if self.untold.is_empty() {
                    return Ok(Some(self.cut.unwrap_or(StopReason::Finished)));
                }
                continue;
            }
            if self.ledger.usage.forward_passes >= end {
                return Ok(None);
            }
            self.pass(observer, cancel)?;
        }
    }

    /// Tells the algorithm about ended nodes, in the order in which it asked for them.
    fn tell(&mut self, observer: &mut dyn Observer) {
        while !self.algorithm.is_done() {
            let Some(&node) = self.untold.front().filter(|&&node| self.tree.node(node).end.is_some()) else { break };
            self.untold.pop_front();
            self.note_cut(node);
            self.tree.find_twin(node);
            self.algorithm.tell(&mut self.tree, node);
            if let Some(journal) = self.algorithm.news() {
                observer.event(&Event::Learned { journal: &journal });
            }
        }
        for node in self.tree.take_closed() {
            observer.event(&Event::NodeClosed { node: node.number() });
            self.let_go(node);
        }
    }

    /// A node that was cut short is why the search ends short.
    fn note_cut(&mut self, node: NodeId) {
        match self.tree.node(node).end {
            Some(End::Tokens) => self.cut = Some(StopReason::Tokens),
            Some(End::Memory) if self.cut.is_none() => self.cut = Some(StopReason::Memory),
            _ => {}
        }
    }

    /// Settles the account of a node that ended.
    fn retire(&mut self, growth: &Growth<V::Stream>, observer: &mut dyn Observer) {
        let drawn = self.tree.node(growth.node).draws.len() as u64;
        self.ledger.refund(growth.cap.saturating_sub(drawn));
        self.ledger.tick();
        self.tree.node_mut(growth.node).wall_ms = self.ledger.usage.wall.as_secs_f64() * 1e3;
        self.report(growth.node, observer);
    }

    /// Tells the observer what an ended node has become.
    fn report(&self, id: NodeId, observer: &mut dyn Observer) {
        let node = self.tree.node(id);
        let found = verdict::shown(&self.tree, id);
        observer.event(&Event::NodeDone {
            node: id.number(),
            parent: self.tree.parent(id).number(),
            text: &node.text,
            tokens: &node.tokens,
            logprob: node.logprob,
            score: self.tree.score(id),
            value: self.tree.value(id),
            end: node.end.map_or("", End::name),
            answer: found.as_ref().map(Answer::text),
            policy_tokens: self.ledger.usage.policy_tokens,
            wall_ms: self.ledger.usage.wall.as_secs_f64() * 1e3,
        });
    }

    /// A closed node's KV and what the judge kept for it.
    fn let_go(&mut self, node: NodeId) {
        self.judging.release(&self.tree, node);
        if let Some(branch) = self.kept.remove(node) {
            self.engine.release(branch);
        }
    }

    fn release_all(&mut self) {
        for node in self.tree.take_closed() {
            self.let_go(node);
        }
        for lane in std::mem::take(&mut self.lanes) {
            self.engine.release(lane.branch);
        }
        for branch in self.kept.take_all() {
            self.engine.release(branch);
        }
        if let Some(trunk) = self.trunk.take() {
            self.engine.release(trunk);
        }
        self.judging.end(&self.tree);
    }
}

impl<E: Engine + ?Sized, V: Vocabulary> Drop for Search<'_, '_, E, V> {
    fn drop(&mut self) {
        self.release_all();
    }
}
