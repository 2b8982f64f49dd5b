//! A paused search as bytes, and a search that goes on from them in another process.
//!
//! What an algorithm knows is what it was told, so it is not saved: it is asked again and told again, and must ask for the
//! same nodes. Tokens, values and KV of the nodes come from the file, so nothing is computed twice and the rest of the search
//! is the same as if it had never stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::time::Duration;

use super::Search;
use crate::engine::{Branch, Engine};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::observe::CancelToken;
use crate::reward::{Draw, Features};
use crate::search::algo::Extend;
use crate::search::budget::{Ledger, Usage};
use crate::search::control::judging::Ended;
use crate::search::lane::{Growth, Lane, Until};
use crate::search::node::{End, Mark, NodeId};
use crate::search::vocabulary::Vocabulary;
use crate::storage::wire::{get_f64, get_raw, get_text, get_u64, get_within, put_f64, put_raw, put_text, put_u64};
use crate::text::TokenId;

const MAGIC: &[u8; 8] = b"RUMSRCH3";
/// Caps of what a file may claim.
const MOST_NODES: u64 = 1 << 24;
const MOST_TOKENS: u64 = 1 << 24;
const MOST_FEATURES: u64 = 1 << 24;
const MOST_JOURNAL: u64 = 1 << 26;
const NONE: u64 = u64::MAX;

impl<'a, 'j, E: Engine + ?Sized, V: Vocabulary> Search<'a, 'j, E, V> {
    /// Writes the search, which is paused, with all its KV. [`Unsupported`](crate::ErrorKind::Unsupported) when the engine
    /// cannot save KV, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a search that ended with an error.
    pub fn save(&self, out: &mut dyn Write) -> Result<()> {
        self.check_sound()?;
        put_raw(out, MAGIC)?;
        put_text(out, &self.key())?;
        put_text(out, &self.algorithm.journal())?;
        save_usage(&self.ledger.usage, out)?;
        put_u64(out, self.width as u64)?;
        let told = self.tree.ids().count() - self.untold.len();
        put_u64(out, told as u64)?;
        put_u64(out, self.tree.ids().count() as u64)?;
        let growing: BTreeMap<NodeId, &Growth<V::Stream>> = self
            .lanes
            .iter()
            .map(|lane| &lane.growth)
            .chain(&self.parked)
            .map(|growth| (growth.node, growth))
            .collect();
        for id in self.tree.ids() {
            self.save_node(id, growing.get(&id).copied(), out)?;
        }
        let kept: Vec<(NodeId, &Branch)> = self.kept.iter().collect();
        let lanes: Vec<(NodeId, &Branch)> = self.lanes.iter().map(|lane| (lane.growth.node, &lane.branch)).collect();
        for branches in [&kept, &lanes] {
            put_u64(out, branches.len() as u64)?;
            branches.iter().try_for_each(|(node, _)| put_u64(out, node.number()))?;
        }
        let branches: Vec<&Branch> =
            self.trunk.iter().chain(kept.iter().chain(&lanes).map(|(_, branch)| *branch)).collect();
        put_u64(out, branches.len() as u64)?;
        self.engine.save(&branches, out)
    }

    /// This search, which has not begun, from where the saved one stood. All that it was made with must be that of the saved search,
    /// the engine's model, context and KV format included; threads, instruction set and free width may differ. Errors of kind
    /// [`Format`](crate::ErrorKind::Format) for a damaged file, and for one that other arguments belong to.
    pub fn load(self, input: &mut dyn Read) -> Result<Self> {
        let mut search = self;
        let mut magic = [0; 8];
        get_raw(input, &mut magic)?;
        if &magic != MAGIC {
            return Err(Error::format("this file holds no saved search"));
        }
        let key = search.key();
        if get_text(input, Limits::default().prompt_bytes as u64, "the saved search's description")? != key {
            return Err(Error::format("the saved search has another model, prompt, judge or parameters"));
        }
        let journal = get_text(input, MOST_JOURNAL, "what tools said")?;
        search.algorithm.recall(&journal)?;
        search.ledger = Ledger::new(&search.params.budget, load_usage(input)?);
        let width = get_within(input, Limits::default().branches as u64, "the width")? as usize;
        search.width = search.width.min(width.max(1));
        let told = get_within(input, MOST_NODES, "told nodes")?;
        let nodes = get_within(input, MOST_NODES, "nodes")?;
        let mut growing = BTreeMap::new();
        for _ in 0..nodes {
            let growth = search.load_node(input)?;
            growing.extend(growth.map(|growth| (growth.node, growth)));
        }
        while ((nodes as usize) - search.untold.len().min(nodes as usize)) < told as usize {
            search.tell_again()?;
        }
        search.load_branches(input, growing)?;
        search.recalled = search.judged_above();
        Ok(search)
    }

    /// Everything that must be the same.
    fn key(&self) -> String {
        let model = &self.engine.info().fingerprint;
        let (judge, taps) = (self.judging.name(), self.judging.taps());
        format!("{model} {judge} {taps:?} {:?} {:?} {}", self.params, self.prompt, self.program)
    }

    fn save_node(&self, id: NodeId, growth: Option<&Growth<V::Stream>>, out: &mut dyn Write) -> Result<()> {
        let node = self.tree.node(id);
        for number in [self.tree.parent(id).number(), node.forced as u64, node.tokens.len() as u64] {
            put_u64(out, number)?;
        }
        node.tokens.iter().try_for_each(|&token| put_u64(out, u64::from(token)))?;
        for draw in &node.draws {
            [draw.logprob, draw.entropy, draw.confidence].into_iter().try_for_each(|n| put_f64(out, f64::from(n)))?;
        }
        put_f64(out, node.logprob)?;
        put_f64(out, node.wall_ms)?;
        put_u64(out, node.steps.len() as u64)?;
        for mark in &node.steps {
            [mark.tokens as u64, mark.bytes as u64].into_iter().try_for_each(|n| put_u64(out, n))?;
            put_f64(out, mark.score.map_or(f64::NAN, f64::from))?;
        }
        put_u64(out, node.end.map_or(NONE, place_of))?;
        let Some(growth) = growth else {
            let unjudged = self.unjudged.iter().find(|ended| ended.node == id).map_or(&[][..], |ended| &ended.features);
            put_u64(out, unjudged.len() as u64)?;
            return unjudged.iter().try_for_each(|features| save_features(features, out));
        };
        [growth.cap, place_of(growth.cap_end)].into_iter().try_for_each(|n| put_u64(out, n))?;
        put_u64(out, growth.judgeable.len() as u64)?;
        growth.judgeable.iter().chain([&growth.features]).try_for_each(|features| save_features(features, out))
    }

    /// Reads the next node into the tree, asking and telling the algorithm until it wants it.
    fn load_node(&mut self, input: &mut dyn Read) -> Result<Option<Growth<V::Stream>>> {
        let extend = self.ask_again()?;
        let parent = get_u64(input)?;
        let (forced, len) = (get_u64(input)?, get_within(input, MOST_TOKENS, "tokens of a node")?);
        let id = self.add(&extend)?;
        let node = self.tree.node(id);
        let draws_none = !node.prompt || forced == len;
        if parent != extend.at.number() || forced != node.forced as u64 || forced > len || !draws_none {
            return Err(Error::format("the saved tree is not the one that this search makes"));
        }
        let mut tokens = Vec::new();
        for _ in 0..len {
            tokens.push(TokenId::try_from(get_u64(input)?).map_err(|_| Error::format("a token is out of range"))?);
        }
        if tokens.get(..node.forced) != Some(node.tokens.as_slice()) {
            return Err(Error::format("the saved tree puts other words into the model's mouth"));
        }
        let mut draws = Vec::new();
        for _ in forced..len {
            let (logprob, entropy) = (get_f64(input)? as f32, get_f64(input)? as f32);
            draws.push(Draw { logprob, entropy, confidence: get_f64(input)? as f32 });
        }
        let (logprob, wall_ms) = (get_f64(input)?, get_f64(input)?);
        let mut steps = Vec::new();
        for _ in 0..get_within(input, len, "steps of a node")? {
            let tokens = get_within(input, len, "the end of a step")? as usize;
            let (bytes, score) = (get_u64(input)? as usize, get_f64(input)?);
            steps.push(Mark { tokens, bytes, score: (!score.is_nan()).then_some(score as f32) });
        }
        let end = match get_u64(input)? {
            NONE => None,
            place => Some(end_at(place)?),
        };
        let n_vocab = self.engine.info().n_vocab;
        if tokens.iter().any(|&token| token as usize >= n_vocab) {
            return Err(Error::format("a saved token is not in the vocabulary"));
        }
        if !self.tree.node(id).prompt {
            let (mut stream, mut text) = (self.stream_at(extend.at), String::new());
            let mut ends = Vec::new();
            for &token in &tokens {
                if !self.vocabulary.is_eog(token) {
                    self.vocabulary.append(&mut stream, token, &mut text);
                }
                ends.push(text.len());
            }
            let node = self.tree.node_mut(id);
            (node.tokens, node.text) = (tokens, text);
            if let Until::Before(marks) = &extend.until {
                node.cut(marks, &ends);
            }
        }
        let node = self.tree.node_mut(id);
        (node.draws, node.logprob) = (draws, logprob);
        (node.steps, node.end, node.wall_ms) = (steps, end, wall_ms);
        if node.steps.iter().any(|mark| node.text.get(..mark.bytes).is_none()) {
            return Err(Error::format("a saved step ends outside its text"));
        }
        if end.is_some() {
            self.load_unjudged(id, input)?;
            return Ok(None);
        }
        let (cap, cap_end) = (get_u64(input)?, end_at(get_u64(input)?)?);
        let drawn = self.tree.node(id).draws.len() as u64;
        self.ledger.grant(cap.saturating_sub(drawn));
        let mut growth = self.growth(id, extend, cap, cap_end)?;
        for _ in 0..get_within(input, len, "steps to be judged")? {
            growth.judgeable.push(load_features(input)?);
        }
        growth.features = load_features(input)?;
        Ok(Some(growth))
    }

    fn ask_again(&mut self) -> Result<Extend> {
        loop {
            match self.algorithm.ask(&mut self.tree) {
                Some(extend) => return Ok(extend),
                None => self.tell_again()?,
            }
        }
    }

    fn tell_again(&mut self) -> Result<()> {
        let node = self.untold.front().copied().filter(|&node| self.tree.node(node).end.is_some());
        let node = node.ok_or_else(|| Error::format("the saved tree has nodes that this search would not make"))?;
        self.untold.pop_front();
        self.note_cut(node);
        self.tree.find_twin(node);
        self.algorithm.tell(&mut self.tree, node);
        Ok(())
    }

    fn load_branches(&mut self, input: &mut dyn Read, mut growing: BTreeMap<NodeId, Growth<V::Stream>>) -> Result<()> {
        let mut names = [Vec::new(), Vec::new()];
        for names in &mut names {
            for _ in 0..get_within(input, MOST_NODES, "branches")? {
                names.push(get_u64(input)?);
            }
        }
        let count = get_u64(input)?;
        let mut branches = self.engine.load(input)?.into_iter();
        let [kept, lanes] = names;
        let fits = branches.len() as u64 == count && count == u64::from(count > 0) + (kept.len() + lanes.len()) as u64;
        self.trunk = branches.next();
        let mut place = |branch: Branch, node: u64, lane: bool| -> Option<Branch> {
            let Some(node) = self.tree.ids().find(|id| id.number() == node) else { return Some(branch) };
            if !lane {
                return self.kept.insert(node, branch);
            }
            let growth = growing.remove(&node).filter(|growth| growth.until != Until::Prompt);
            let Some(growth) = growth else { return Some(branch) };
            let path = self.path_through(node);
            let feed = path.get(self.engine.len(&branch)..).unwrap_or_default().to_vec();
            self.lanes.push(Lane { growth, branch, feed });
            None
        };
        let named = kept.into_iter().map(|node| (node, false)).chain(lanes.into_iter().map(|node| (node, true)));
        let mut strays = Vec::new();
        for ((node, lane), branch) in named.zip(&mut branches) {
            strays.extend(place(branch, node, lane));
        }
        strays.extend(branches);
        let fits = fits && strays.is_empty() && self.lanes.iter().all(|lane| !lane.feed.is_empty());
        strays.into_iter().for_each(|branch| self.engine.release(branch));
        self.parked = growing.into_values().collect();
        if fits { Ok(()) } else { Err(Error::format("the saved branches do not belong to the saved tree")) }
    }

    /// The hidden states of an ended node that the judge was interrupted over; a node that it was not has none.
    fn load_unjudged(&mut self, node: NodeId, input: &mut dyn Read) -> Result<()> {
        let steps = self.tree.node(node).steps.len();
        let mut features = Vec::new();
        for _ in 0..get_within(input, steps as u64, "steps to be judged")? {
            features.push(load_features(input)?);
        }
        if !features.is_empty() && features.len() != steps {
            return Err(Error::format("a saved step has no hidden states to be judged by"));
        }
        if !features.is_empty() {
            self.unjudged.push(Ended { node, features });
        }
        Ok(())
    }

    /// Judged nodes whose texts may go on, parents first.
    fn judged_above(&self) -> VecDeque<NodeId> {
        let mut above = BTreeSet::new();
        for id in self.tree.ids().collect::<Vec<_>>().into_iter().rev() {
            let node = self.tree.node(id);
            if node.end.is_none() || (node.keep && !node.closed) || above.contains(&id) {
                above.extend([id, self.tree.parent(id)]);
            }
        }
        above.into_iter().filter(|&id| self.tree.score(id).is_some()).collect()
    }

    /// What a judge with an engine of its own kept is not in the file: it sees those texts again. What it was interrupted over is
    /// judged now.
    pub(super) fn judge_again(&mut self, cancel: &CancelToken) -> Result<()> {
        let interrupt = self.ledger.interrupt(cancel);
        while let Some(&node) = self.recalled.front() {
            self.judging.recall(&self.tree, node, &interrupt, &mut self.ledger.usage)?;
            self.recalled.pop_front();
        }
        self.judging.judge(&mut self.tree, &self.unjudged, &interrupt, &mut self.ledger.usage)?;
        for ended in std::mem::take(&mut self.unjudged) {
            if !self.tree.node(ended.node).keep {
                self.judging.release(&self.tree, ended.node);
            }
        }
        Ok(())
    }
}

fn place_of(end: End) -> u64 {
    End::ALL.iter().position(|(other, _)| *other == end).map_or(NONE, |place| place as u64)
}

fn end_at(place: u64) -> Result<End> {
    let end = usize::try_from(place).ok().and_then(|place| End::ALL.get(place)).map(|(end, _)| *end);
    end.ok_or_else(|| Error::format("a saved node ended for a reason that there is not"))
}

fn save_features(features: &Features, out: &mut dyn Write) -> Result<()> {
    put_u64(out, u64::from(features.count))?;
    for values in [&features.last, &features.sum] {
        put_u64(out, values.len() as u64)?;
        values.iter().try_for_each(|&value| put_f64(out, f64::from(value)))?;
    }
    Ok(())
}

fn load_features(input: &mut dyn Read) -> Result<Features> {
    let count = get_within(input, u64::from(u32::MAX), "hidden states")? as u32;
    let mut vectors = [Vec::new(), Vec::new()];
    for values in &mut vectors {
        for _ in 0..get_within(input, MOST_FEATURES, "hidden states")? {
            values.push(get_f64(input)? as f32);
        }
    }
    let [last, sum] = vectors;
    Ok(Features { last, sum, count })
}

fn save_usage(usage: &Usage, out: &mut dyn Write) -> Result<()> {
    for number in counts(&mut usage.clone()) {
        put_u64(out, *number)?;
    }
    [usage.wall, usage.reward_wall].into_iter().try_for_each(|time| put_f64(out, time.as_secs_f64()))?;
    put_f64(out, usage.joules.joules)
}

fn load_usage(input: &mut dyn Read) -> Result<Usage> {
    let mut usage = Usage::default();
    for number in counts(&mut usage) {
        *number = get_u64(input)?;
    }
    let mut time =
        || Duration::try_from_secs_f64(get_f64(input)?).map_err(|_| Error::format("a saved time is damaged"));
    (usage.wall, usage.reward_wall) = (time()?, time()?);
    usage.joules.joules = get_f64(input)?;
    Ok(usage)
}

fn counts(usage: &mut Usage) -> [&mut u64; 9] {
    [
        &mut usage.prompt_tokens,
        &mut usage.policy_tokens,
        &mut usage.reward_tokens,
        &mut usage.reward_passes,
        &mut usage.reward_kv_peak_bytes,
        &mut usage.recomputed_tokens,
        &mut usage.forward_passes,
        &mut usage.kv_peak_bytes,
        &mut usage.peak_bytes,
    ]
}
