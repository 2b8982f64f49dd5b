//! [`Grove`]: the steps of a search as branches of a judge's own engine.

use std::collections::{HashMap, HashSet};

use crate::engine::{Batch, Branch, Engine, Rows, Tap, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::reward::{JudgeUsage, StepId};
use crate::text::TokenId;

/// A tree of passages with their KV. Each step's branch forks from its parent's, so that no passage is computed twice unless
/// a memory cap took its KV in between: then the branches that were used least recently go, and come back when they are
/// needed.
pub(super) struct Grove<E> {
    engine: E,
    nodes: HashMap<StepId, Node>,
    rows: Rows,
    /// Counts calls of [`Grove::pass`].
    clock: u64,
    tokens: u64,
    passes: u64,
}

struct Node {
    parent: Option<StepId>,
    tokens: Vec<TokenId>,
    probe: Vec<TokenId>,
    /// Tokens from the root to its end.
    end: usize,
    /// Its KV, while it is held.
    branch: Option<Branch>,
    /// The call in which it was last needed.
    used: u64,
    children: usize,
    released: bool,
}

/// The rows of one node that a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// The one with this index, counted over its passage and its probe.
    One(usize),
    /// The last of its passage.
    Last,
    /// Every one of its passage.
    All,
}

impl Reads {
    /// Whether row `i` of a passage of `n` tokens is one of them.
    fn includes(self, i: usize, n: usize) -> bool {
        match self {
            Self::One(at) => at == i,
            Self::Last => i + 1 == n,
            Self::All => i < n,
        }
    }
}

/// Takes the row with this index of this node.
pub(super) type Take<'a> = dyn FnMut(StepId, usize, &[f32]) -> Result<()> + 'a;

/// What to read, and where it goes.
pub(super) struct Reading<'a> {
    pub want: Want,
    pub taps: &'a [Tap],
    pub interrupt: &'a Interrupt,
    /// Where every row goes.
    pub take: &'a mut Take<'a>,
}

/// Nodes that one branch runs through in one pass.
#[derive(Debug, Clone)]
struct Lane {
    /// The node whose KV it goes on from; `None` for an empty branch.
    from: Option<StepId>,
    nodes: Vec<StepId>,
}

impl<E: Engine> Grove<E> {
    pub fn new(engine: E) -> Self {
        Self { engine, nodes: HashMap::new(), rows: Rows::new(), clock: 0, tokens: 0, passes: 0 }
    }

    pub fn engine(&self) -> &E {
        &self.engine
    }

    pub fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    /// Forgets all steps and starts from these tokens.
    pub fn begin(&mut self, prompt: Vec<TokenId>) {
        self.clear();
        let end = prompt.len();
        self.nodes.insert(StepId::ROOT, Node::new(None, prompt, Vec::new(), end));
    }

    /// Forgets everything and gives all KV back.
    pub fn clear(&mut self) {
        for (_, node) in self.nodes.drain() {
            if let Some(branch) = node.branch {
                self.engine.release(branch);
            }
        }
        (self.tokens, self.passes) = (0, 0);
    }

    /// Adds a step behind its parent; one that is there already is replaced.
    pub fn insert(&mut self, id: StepId, parent: StepId, tokens: Vec<TokenId>, probe: Vec<TokenId>) -> Result<()> {
        let Some(above) = self.nodes.get(&parent) else {
            let what = if parent == StepId::ROOT {
                "the judge was not told the question"
            } else {
                "its parent was not judged"
            };
            return Err(Error::invalid(format!("step {} cannot be judged: {what}, or was released", id.0)));
        };
        let end = above.end + tokens.len();
        match self.nodes.get_mut(&id) {
            None => {
                self.nodes.insert(id, Node::new(Some(parent), tokens, probe, end));
                if let Some(above) = self.nodes.get_mut(&parent) {
                    above.children += 1;
                }
            }
            Some(node) => {
                (node.tokens, node.probe, node.end) = (tokens, probe, end);
                if let Some(branch) = node.branch.take() {
                    self.engine.release(branch);
                }
            }
        }
        Ok(())
    }

    /// Whether the engine's context holds the path to this step's end, with its probe.
    pub fn fits(&self, id: StepId) -> Result<bool> {
        let node = self.node(id)?;
        Ok(node.end + node.probe.len() <= self.engine.info().n_ctx)
    }

    /// Computes these nodes, in as few passes as their tree allows, and hands over the rows they want: one pass for steps
    /// whose parents' KV is held. On an error what was handed over stays true.
    pub fn pass(&mut self, asked: &[(StepId, Reads)], reading: &mut Reading<'_>) -> Result<()> {
        self.clock += 1;
        let reads: HashMap<StepId, Reads> = asked.iter().copied().collect();
        for (id, _) in asked {
            // Its rows are wanted, so it is computed again.
            if let Some(branch) = self.nodes.get_mut(id).and_then(|node| node.branch.take()) {
                self.engine.release(branch);
            }
        }
        for wave in self.waves(asked)? {
            self.run(wave, &reads, reading)?;
        }
        Ok(())
    }

    /// The step will not be followed by another.
    pub fn release(&mut self, id: StepId) {
        if id == StepId::ROOT {
            return;
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.released = true;
            if let Some(branch) = node.branch.take() {
                self.engine.release(branch);
            }
        }
        // Its tokens stay while a step behind it may have to be computed again.
        let mut at = Some(id);
        while let Some(id) = at.filter(|id| self.nodes.get(id).is_some_and(|n| n.released && n.children == 0)) {
            at = self.nodes.remove(&id).and_then(|node| node.parent);
            if let Some(parent) = at.and_then(|id| self.nodes.get_mut(&id)) {
                parent.children = parent.children.saturating_sub(1);
            }
        }
    }

    pub fn usage(&self) -> JudgeUsage {
        JudgeUsage { tokens: self.tokens, passes: self.passes, kv_bytes: self.engine.memory().kv }
    }

    /// The passes that compute these nodes, each a list of branches. A branch runs on through a node and its child; what
    /// forks within one pass waits for the next, because KV can be forked only once it is there.
    fn waves(&self, asked: &[(StepId, Reads)]) -> Result<Vec<Vec<Lane>>> {
        let mut waves: Vec<Vec<Lane>> = Vec::new();
        let mut planned: HashMap<StepId, (usize, usize)> = HashMap::new();
        for (id, _) in asked {
            let (from, nodes) = self.missing(*id, &planned)?;
            let Some(&first) = nodes.first() else { continue };
            let place = from.and_then(|id| planned.get(&id).copied());
            let joins = place.filter(|&(wave, lane)| {
                let lane = waves.get(wave).and_then(|wave| wave.get(lane));
                lane.is_some_and(|lane| lane.nodes.last().copied() == from && !self.probes(from))
            });
            let (wave, lane) = match (joins, place) {
                (Some(at), _) => at,
                (None, Some((wave, _))) => (wave + 1, usize::MAX),
                (None, None) => (0, usize::MAX),
            };
            if waves.len() <= wave {
                waves.push(Vec::new());
            }
            let Some(lanes) = waves.get_mut(wave) else {
                return Err(Error::new(ErrorKind::Internal, format!("step {} has no pass", first.0)));
            };
            let lane = match lanes.get_mut(lane) {
                Some(joined) => {
                    joined.nodes.extend(&nodes);
                    lane
                }
                None => {
                    lanes.push(Lane { from, nodes: nodes.clone() });
                    lanes.len() - 1
                }
            };
            planned.extend(nodes.into_iter().map(|id| (id, (wave, lane))));
        }
        Ok(waves)
    }

    /// The nodes from `id` upward that have neither KV nor a place in a pass, topmost first, and what they follow.
    fn missing(&self, id: StepId, planned: &HashMap<StepId, (usize, usize)>) -> Result<(Option<StepId>, Vec<StepId>)> {
        let mut nodes = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at.filter(|id| !planned.contains_key(id)) {
            let node = self.node(id)?;
            if node.branch.is_some() {
                break;
            }
            nodes.push(id);
            at = node.parent;
        }
        nodes.reverse();
        Ok((at, nodes))
    }

    /// Runs these lanes in one pass. When memory is short, branches go that were used least recently; when that is not
    /// enough, half of the lanes run first.
    fn run(&mut self, wave: Vec<Lane>, reads: &HashMap<StepId, Reads>, reading: &mut Reading<'_>) -> Result<()> {
        let mut todo = vec![wave];
        while let Some(mut lanes) = todo.pop() {
            for lane in &mut lanes {
                // Eviction may have taken what it was to follow.
                while let Some(from) = lane.from.filter(|id| self.nodes.get(id).is_some_and(|n| n.branch.is_none())) {
                    lane.nodes.insert(0, from);
                    lane.from = self.node(from)?.parent;
                }
            }
            match self.forward(&lanes, reads, reading) {
                Err(error) if error.kind() == ErrorKind::Memory => {
                    if self.evict(&lanes) {
                        todo.push(lanes);
                    } else if lanes.len() > 1 {
                        let rest = lanes.split_off(lanes.len() / 2);
                        todo.push(rest);
                        todo.push(lanes);
                    } else {
                        return Err(error.context("judging a step"));
                    }
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// One pass over these lanes.
    fn forward(&mut self, lanes: &[Lane], reads: &HashMap<StepId, Reads>, reading: &mut Reading<'_>) -> Result<()> {
        let mut branches = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let at = lane.from.and_then(|id| self.nodes.get(&id)).and_then(|node| node.branch.as_ref());
            let branch = match at {
                Some(at) => self.engine.fork(at),
                None => self.engine.root(),
            };
            match branch {
                Ok(branch) => branches.push(branch),
                Err(error) => {
                    branches.into_iter().for_each(|branch| self.engine.release(branch));
                    return Err(error);
                }
            }
        }
        let mut batch = Batch::new(reading.interrupt).with_taps(reading.taps);
        let mut order = Vec::new();
        for (lane, branch) in lanes.iter().zip(&branches) {
            for id in &lane.nodes {
                let Some(node) = self.nodes.get(id) else { continue };
                let asked = reads.get(id);
                let probe = if asked.is_some() { node.probe.as_slice() } else { &[] };
                for (i, &token) in node.tokens.iter().chain(probe).enumerate() {
                    let wanted = asked.is_some_and(|reads| reads.includes(i, node.tokens.len()));
                    batch.push(branch, token, if wanted { reading.want } else { Want::None });
                    order.extend(wanted.then_some((*id, i)));
                }
            }
        }
        let n = batch.len() as u64;
        if n > 0
            && let Err(error) = self.engine.forward(&batch, &mut self.rows)
        {
            branches.into_iter().for_each(|branch| self.engine.release(branch));
            return Err(error);
        }
        self.tokens += n;
        self.passes += u64::from(n > 0);
        for (lane, branch) in lanes.iter().zip(branches) {
            self.keep(lane, branch)?;
        }
        for (at, (id, i)) in order.into_iter().enumerate() {
            let row = if reading.want.logits() { self.rows.logits(at) } else { self.rows.hidden(at) };
            let row = row.ok_or_else(|| Error::new(ErrorKind::Internal, "the engine left a row out"))?;
            (reading.take)(id, i, row)?;
        }
        Ok(())
    }

    /// Gives every node of the lane the KV up to its end.
    fn keep(&mut self, lane: &Lane, mut branch: Branch) -> Result<()> {
        let Some((last, others)) = lane.nodes.split_last() else {
            self.engine.release(branch);
            return Ok(());
        };
        if let Some(from) = lane.from.and_then(|id| self.nodes.get_mut(&id)) {
            from.used = self.clock;
        }
        let end = self.node(*last)?.end;
        if let Err(error) = self.engine.truncate(&mut branch, end) {
            self.engine.release(branch);
            return Err(error);
        }
        for id in others {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            node.used = self.clock;
            // Without room for another branch, a node is computed again when it is needed.
            let Ok(mut own) = self.engine.fork(&branch) else { continue };
            let spare = match self.engine.truncate(&mut own, node.end) {
                Ok(()) if !node.released => node.branch.replace(own),
                Ok(()) | Err(_) => Some(own),
            };
            if let Some(branch) = spare {
                self.engine.release(branch);
            }
        }
        let spare = match self.nodes.get_mut(last) {
            Some(node) => {
                node.used = self.clock;
                node.branch.replace(branch)
            }
            None => Some(branch),
        };
        if let Some(branch) = spare {
            self.engine.release(branch);
        }
        Ok(())
    }

    /// Gives back the KV of the node that was used least recently and that nothing needs now; false when there is none.
    fn evict(&mut self, lanes: &[Lane]) -> bool {
        let needed: HashSet<StepId> = lanes.iter().filter_map(|lane| lane.from).collect();
        let held = self.nodes.iter().filter(|(_, node)| node.branch.is_some());
        // A branch shares its pages with those that go on from it: leaves go first.
        let inner: HashSet<StepId> = held.clone().filter_map(|(_, node)| node.parent).collect();
        let spare = held.filter(|(id, _)| !needed.contains(id));
        let oldest = spare.min_by_key(|(id, node)| (inner.contains(id), node.used, **id)).map(|(id, _)| *id);
        let branch = oldest.and_then(|id| self.nodes.get_mut(&id)).and_then(|node| node.branch.take());
        branch.map(|branch| self.engine.release(branch)).is_some()
    }

    fn probes(&self, id: Option<StepId>) -> bool {
        id.and_then(|id| self.nodes.get(&id)).is_some_and(|node| !node.probe.is_empty())
    }

    fn node(&self, id: StepId) -> Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| Error::invalid(format!("step {} was released or never judged", id.0)))
    }
}

impl Node {
    fn new(parent: Option<StepId>, tokens: Vec<TokenId>, probe: Vec<TokenId>, end: usize) -> Self {
        Self { parent, tokens, probe, end, branch: None, used: 0, children: 0, released: false }
    }
}
