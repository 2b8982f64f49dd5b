//! A program in the place of an algorithm.
//!
//! What the program wants becomes places in the tree at the moment when it is told, and is asked for in that order: it is
//! told in the order of its asking, so that both orders are the same for every schedule.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Algorithm, Extend, Hold, Verdict, verdict};
use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::search::lane::Until;
use crate::search::node::{End, NodeId};
use crate::search::program::{Call, Program, Proposal, Request, Thought, ThoughtEnd, ThoughtId};
use crate::search::tree::Tree;
use crate::search::vote::{EarlyStop, Tally, Vote};
use crate::text::TokenId;

pub(in crate::search) struct Programmed<'p> {
    program: Box<dyn Program + 'p>,
    vote: Vote,
    begun: bool,
    places: Vec<Place>,
    /// Parts of prompts that are open, by what they follow.
    prompts: HashMap<(PlaceId, Vec<TokenId>), PlaceId>,
    thoughts: BTreeMap<ThoughtId, PlaceId>,
    queue: VecDeque<Piece>,
    /// The places of the nodes, in the order of their numbers.
    asked: Vec<PlaceId>,
    proposals: Vec<Proposal>,
    /// Proposals that may still come, if that is known, and when fewer are enough.
    expected: Option<usize>,
    early_stop: EarlyStop,
    decided: bool,
    fault: Option<Error>,
    failed: bool,
}

type PlaceId = usize;

/// Where a node is or will be; the first is the root's.
struct Place {
    node: Option<NodeId>,
    above: PlaceId,
    kind: Kind,
}

enum Kind {
    /// The search's own prompt.
    Root,
    /// A part of a prompt: what it is found by, replies that have not ended, and whether other parts follow it.
    Prompt {
        tokens: Vec<TokenId>,
        replies: usize,
        inner: bool,
    },
    Reply {
        id: ThoughtId,
        solves: bool,
        stops: Vec<String>,
    },
}

/// Something to do when the loop asks.
enum Piece {
    Grow(PlaceId, Box<Extend>),
    Close(PlaceId),
}

impl<'p> Programmed<'p> {
    pub fn new(program: Box<dyn Program + 'p>, vote: Vote, early_stop: EarlyStop) -> Self {
        Self {
            program,
            vote,
            begun: false,
            places: vec![Place { node: None, above: 0, kind: Kind::Root }],
            prompts: HashMap::new(),
            thoughts: BTreeMap::new(),
            queue: VecDeque::new(),
            asked: Vec::new(),
            proposals: Vec::new(),
            expected: None,
            early_stop,
            decided: false,
            fault: None,
            failed: false,
        }
    }

    fn go_on(&mut self, tree: &Tree, told: Option<Thought>) {
        let taken = self.program.next(told).and_then(|requests| requests.into_iter().try_for_each(|r| self.take(r)));
        if let Err(error) = taken {
            self.failed = true;
            self.fault.get_or_insert(error);
        }
        self.decided = self.is_decided(tree);
    }

    /// Whether what may still be put forward cannot change the majority, or is not asked for any more.
    fn is_decided(&self, tree: &Tree) -> bool {
        let (Some(left), Vote::Majority) = (self.expected, self.vote) else { return false };
        if self.early_stop == EarlyStop::Never {
            return false;
        }
        let mut tally = Tally::default();
        for (index, proposal) in self.proposals.iter().enumerate() {
            tally.cast(verdict::proposed(proposal, tree.grammar()), index, proposal.weight);
        }
        tally.is_decided(&self.early_stop) || tally.is_settled(left)
    }

    fn take(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Think(call) => self.plan(call)?,
            Request::PutForward(proposal) => {
                self.proposals.push(proposal);
                self.expected = self.expected.map(|left| left.saturating_sub(1));
            }
            Request::Withdraw => self.proposals.clear(),
            Request::Expect(n) => self.expected = Some(self.expected.unwrap_or(0).saturating_add(n)),
            Request::LetGo(id) => {
                let place = self.place_of(id)?;
                self.queue.push_back(Piece::Close(place));
            }
        }
        Ok(())
    }

    /// Gives a call and the parts of its prompt their places; parts that are open already are shared.
    fn plan(&mut self, call: Call) -> Result<()> {
        let mut above = call.at.map_or(Ok(0), |id| self.place_of(id))?;
        for tokens in call.prompt.into_iter().filter(|tokens| !tokens.is_empty()) {
            if let Some(Place { kind: Kind::Prompt { inner, .. }, .. }) = self.places.get_mut(above) {
                *inner = true;
            }
            above = match self.prompts.get(&(above, tokens.clone())) {
                Some(&open) => open,
                None => {
                    let part = Extend::prompt(NodeId::ROOT, tokens.clone());
                    let kind = Kind::Prompt { tokens: tokens.clone(), replies: 0, inner: false };
                    let place = self.push(above, kind, part);
                    self.prompts.insert((above, tokens), place);
                    place
                }
            };
        }
        if let Some(Place { kind: Kind::Prompt { replies, .. }, .. }) = self.places.get_mut(above) {
            *replies += 1;
        }
        let hold = match call.grammar {
            Some(grammar) => Hold::Own(grammar),
            None if call.solves => Hold::Text,
            None => Hold::Free,
        };
        let reply = Extend {
            hold,
            until: if call.stops.is_empty() { Until::Solution } else { Until::Markers(call.stops.clone()) },
            max_tokens: call.max_tokens,
            greedy: call.greedy,
            judged: call.solves,
            keep: call.keep,
            forced: call.forced,
            stop_at_answer: Some(call.stop_at_answer),
            ..Extend::solution(NodeId::ROOT)
        };
        let kind = Kind::Reply { id: call.id, solves: call.solves, stops: call.stops };
        let place = self.push(above, kind, reply);
        if self.thoughts.insert(call.id, place).is_some() {
            return Err(Error::invalid(format!("the program asked for two thoughts of the number {}", call.id.0)));
        }
        Ok(())
    }

    fn push(&mut self, above: PlaceId, kind: Kind, extend: Extend) -> PlaceId {
        let place = self.places.len();
        self.places.push(Place { node: None, above, kind });
        self.queue.push_back(Piece::Grow(place, Box::new(extend)));
        place
    }

    fn place_of(&self, id: ThoughtId) -> Result<PlaceId> {
        let known = self.thoughts.get(&id).copied();
        known.ok_or_else(|| Error::invalid(format!("the program goes on from a thought {} that there is not", id.0)))
    }

    fn node_of(&self, place: PlaceId) -> NodeId {
        self.places.get(place).and_then(|place| place.node).unwrap_or(NodeId::ROOT)
    }

    /// A reply to the prompt that ends at `place` has ended. The last part of a prompt rarely comes again; those that other
    /// parts follow are what calls have in common.
    fn replied(&mut self, tree: &mut Tree, place: PlaceId) {
        let Some(Place { node, above, kind: Kind::Prompt { tokens, replies, inner } }) = self.places.get_mut(place)
        else {
            return;
        };
        *replies = replies.saturating_sub(1);
        if *replies == 0 && !*inner {
            let key = (*above, std::mem::take(tokens));
            let node = *node;
            self.prompts.remove(&key);
            node.into_iter().for_each(|node| tree.close(node));
        }
    }

    /// The last reply that holds an answer, a solution before any other.
    fn latest(&self, tree: &Tree) -> Option<NodeId> {
        let replies = self.asked.iter().filter_map(|&place| match self.places.get(place) {
            // What waits for the budget has no node yet.
            Some(Place { node: Some(node), kind: Kind::Reply { solves, .. }, .. }) if *node < tree.next_id() => {
                Some((*node, *solves))
            }
            _ => None,
        });
        let rank = |&(node, solves): &(NodeId, bool)| {
            let ballot = verdict::ballot(tree, node).is_some();
            let guess = ballot || verdict::guess(tree, node).is_some();
            (ballot && solves, guess && solves, ballot, guess, !tree.text(node).is_empty())
        };
        replies.max_by_key(rank).map(|(node, _)| node)
    }
}

impl Algorithm for Programmed<'_> {
    fn ask(&mut self, tree: &mut Tree) -> Option<Extend> {
        if !std::mem::replace(&mut self.begun, true) {
            self.go_on(tree, None);
        }
        if self.failed {
            return None;
        }
        loop {
            match self.queue.pop_front()? {
                Piece::Close(place) => tree.close(self.node_of(place)),
                Piece::Grow(place, extend) => {
                    let above = self.places.get(place).map_or(0, |place| place.above);
                    let at = self.node_of(above);
                    // The loop makes the node before it asks again.
                    if let Some(place) = self.places.get_mut(place) {
                        place.node = Some(tree.next_id());
                    }
                    self.asked.push(place);
                    return Some(Extend { at, ..*extend });
                }
            }
        }
    }

    fn tell(&mut self, tree: &mut Tree, node: NodeId) {
        let number = usize::try_from(node.number()).unwrap_or_default();
        let place = number.checked_sub(1).and_then(|index| self.asked.get(index)).copied();
        let Some(Place { above, kind: Kind::Reply { id, stops, .. }, .. }) =
            place.and_then(|place| self.places.get(place))
        else {
            return;
        };
        let (id, above) = (*id, *above);
        let text = tree.node(node).text.clone();
        let stopped = stops.iter().any(|stop| text.contains(stop.as_str()));
        self.replied(tree, above);
        let end = match tree.node(node).end {
            Some(End::Eog | End::Answer | End::Whole) => ThoughtEnd::Complete,
            Some(End::Step) if stopped => ThoughtEnd::Stop,
            Some(End::Step | End::Length | End::Confidence) => ThoughtEnd::Length,
            Some(End::Context | End::Memory) => ThoughtEnd::Room,
            Some(End::Tokens | End::Interrupted | End::Prompt) | None => return,
        };
        let thought = Thought {
            id,
            text,
            end,
            value: tree.value(node),
            confidence: tree.confidence(node),
            tokens: tree.node(node).draws.len() as u64,
        };
        self.go_on(tree, Some(thought));
    }

    fn is_done(&self) -> bool {
        self.begun && (self.decided || self.program.is_done())
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        if !self.proposals.is_empty() {
            return Verdict::of_proposals(&self.proposals, self.vote, tree.grammar());
        }
        let latest: Vec<NodeId> = self.latest(tree).into_iter().collect();
        Verdict::of(tree, &latest, self.vote, &|node| tree.value(node))
    }

    fn attend(&mut self, interrupt: &Interrupt) {
        self.program.attend(interrupt);
    }

    fn journal(&self) -> String {
        self.program.journal()
    }

    fn news(&mut self) -> Option<String> {
        self.program.news()
    }

    fn recall(&mut self, journal: &str) -> Result<()> {
        self.program.recall(journal)
    }

    fn fault(&mut self) -> Option<Error> {
        self.fault.take()
    }
}
