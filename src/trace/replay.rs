//! Compares a search that runs now with a trace of it, node by node.
//!
//! A search is the same for any thread count and batch width, but it can be given up at different moments: nodes that ran
//! beside the decision when it fell may exist on one side alone if the width differs. With the same width nothing may
//! differ. A recorded search that a deadline, a caller or a crash cut short is compared as far as it came.

use std::collections::HashSet;
use std::fmt;

use super::{Node, OutcomeRecord, Trace};
use crate::observe::{CancelToken, Event, Observer};
use crate::search::{Outcome, SearchParams};

/// An observer that compares what it sees with a trace, and passes it on.
pub struct Replay<'a> {
    trace: &'a Trace,
    inner: &'a mut dyn Observer,
    cancel: CancelToken,
    /// Both searches keep the same number of lanes.
    same_width: bool,
    /// The recorded search was ended from outside.
    cut: bool,
    /// Recorded nodes with something to compare, not yet seen.
    open: HashSet<u64>,
    nodes: usize,
    tokens: u64,
    beside: usize,
    difference: Option<Difference>,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Nodes that were compared.
    pub nodes: usize,
    /// Tokens in them.
    pub tokens: u64,
    /// Nodes on one side alone, which ran beside the decision.
    pub beside: usize,
    /// The first difference; `None` when the two are the same search.
    pub difference: Option<Difference>,
}

/// A value that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The node; `None` for the outcome.
    pub node: Option<u64>,
    /// What differs.
    pub field: String,
    /// In the trace.
    pub recorded: String,
    /// In the search that ran now.
    pub replayed: String,
}

impl<'a> Replay<'a> {
    /// A comparison with `trace` of a search of `width` lanes. `cancel` is cancelled as soon as nothing is left to learn:
    /// hand it to the search.
    pub fn new(trace: &'a Trace, width: usize, cancel: &CancelToken, inner: &'a mut dyn Observer) -> Self {
        let cut = was_cut(trace);
        // Of nodes that grew beside the decision when it fell nobody heard; those of a search that was cut short count.
        let told = |node: &&Node| node.done.is_some() || (cut && !node.text.is_empty());
        Self {
            trace,
            inner,
            cancel: cancel.clone(),
            same_width: width == trace.header.free_width,
            cut,
            open: trace.nodes.iter().filter(told).map(|node| node.number).collect(),
            nodes: 0,
            tokens: 0,
            beside: 0,
            difference: None,
        }
    }

    /// The parameters of the recorded search, but for its clock and energy: those end a search at a moment that no other run
    /// can meet again.
    pub fn params(trace: &Trace) -> SearchParams {
        let mut params = trace.header.params.clone();
        (params.budget.wall, params.budget.joules) = (None, None);
        params
    }

    /// Whether nothing is left to learn: the search was cancelled for that and by nobody else.
    pub fn is_settled(&self) -> bool {
        self.difference.is_some() || (self.cut && self.open.is_empty())
    }

    /// Compares the outcomes too, and gives the verdict.
    pub fn finish(mut self, outcome: &Outcome) -> Verdict {
        match self.open.iter().min().copied() {
            Some(node) if self.same_width => self.differ(Some(node), "node", "grown", "not reached"),
            _ => self.beside += self.open.len(),
        }
        if self.difference.is_none() && !self.cut {
            self.compare_outcomes(outcome);
        }
        Verdict { nodes: self.nodes, tokens: self.tokens, beside: self.beside, difference: self.difference }
    }

    fn compare_outcomes(&mut self, outcome: &Outcome) {
        let Some(recorded) = &self.trace.outcome else { return };
        let replayed = OutcomeRecord::new(outcome, 0.0);
        let fields = [
            ("answer", shown(&recorded.answer), shown(&replayed.answer)),
            ("text", quoted(&recorded.text), quoted(&replayed.text)),
            ("score", shown(&recorded.score), shown(&replayed.score)),
            ("stop reason", recorded.stop_reason.clone(), replayed.stop_reason.clone()),
            ("candidates", votes(recorded), votes(&replayed)),
        ];
        for (field, recorded, replayed) in fields {
            self.compare(None, field, recorded, replayed);
        }
    }

    fn started(&mut self, node: u64, parent: u64, greedy: bool) {
        match self.trace.node(node) {
            Some(recorded) => {
                self.compare(Some(node), "parent", recorded.parent.to_string(), parent.to_string());
                self.compare(Some(node), "greedy", recorded.greedy.to_string(), greedy.to_string());
            }
            None if self.same_width && !self.cut => self.differ(Some(node), "node", "none", "started"),
            None => {}
        }
    }

    fn done(&mut self, number: u64, now: &Now<'_>) {
        let trace = self.trace;
        let Some(recorded) = trace.node(number).filter(|_| self.open.remove(&number)) else {
            self.beside += 1;
            return;
        };
        self.nodes += 1;
        match &recorded.done {
            Some(done) if done.end == "interrupted" || now.end == "interrupted" => {
                // One of them was given up: the shorter is the beginning of the longer.
                let length = done.tokens.len().min(now.tokens.len());
                self.compare_tokens(number, done.tokens.get(..length), now.tokens.get(..length));
                let (same_width, cut) = (self.same_width, self.cut);
                if same_width && !cut {
                    self.compare(Some(number), "end", done.end.clone(), now.end.to_owned());
                }
            }
            Some(done) => {
                self.compare_tokens(number, Some(&done.tokens), Some(now.tokens));
                let fields = [
                    ("text", quoted(&recorded.text), quoted(now.text)),
                    ("log-probability", shown(&done.logprob), shown(&now.logprob.is_finite().then_some(now.logprob))),
                    ("score", shown(&done.score), shown(&now.score)),
                    ("end", done.end.clone(), now.end.to_owned()),
                    ("answer", shown(&done.answer), shown(&now.answer)),
                ];
                for (field, recorded, replayed) in fields {
                    self.compare(Some(number), field, recorded, replayed);
                }
            }
            None => {
                // Killed while it grew: its text is all there is.
                let length = recorded.text.len().min(now.text.len());
                let (before, after) = (recorded.text.get(..length), now.text.get(..length));
                self.compare(
                    Some(number),
                    "text",
                    quoted(before.unwrap_or(&recorded.text)),
                    quoted(after.unwrap_or(now.text)),
                );
            }
        }
    }

    fn compare_tokens(&mut self, node: u64, recorded: Option<&[u32]>, replayed: Option<&[u32]>) {
        let (recorded, replayed) = (recorded.unwrap_or_default(), replayed.unwrap_or_default());
        self.tokens += recorded.len().min(replayed.len()) as u64;
        let length = recorded.len().max(replayed.len());
        if let Some(at) = (0..length).find(|&at| recorded.get(at) != replayed.get(at)) {
            let field = format!("token {}", at + 1);
            self.compare(Some(node), &field, shown(&recorded.get(at)), shown(&replayed.get(at)));
        }
    }

    fn compare(&mut self, node: Option<u64>, field: &str, recorded: String, replayed: String) {
        if recorded != replayed {
            self.differ(node, field, &recorded, &replayed);
        }
    }

    /// Keeps the first difference; nothing after it is worth computing.
    fn differ(&mut self, node: Option<u64>, field: &str, recorded: &str, replayed: &str) {
        if self.difference.is_none() {
            let (field, recorded, replayed) = (field.to_owned(), recorded.to_owned(), replayed.to_owned());
            self.difference = Some(Difference { node, field, recorded, replayed });
            self.cancel.cancel();
        }
    }
}

/// A node that is done now.
struct Now<'a> {
    text: &'a str,
    tokens: &'a [u32],
    logprob: f64,
    score: Option<f32>,
    end: &'a str,
    answer: Option<&'a str>,
}

impl Observer for Replay<'_> {
    fn event(&mut self, event: &Event<'_>) {
        self.inner.event(event);
        if self.difference.is_some() {
            return;
        }
        match *event {
            Event::NodeStarted { node, parent, greedy } => self.started(node, parent, greedy),
            Event::NodeDone { node, text, tokens, logprob, score, end, answer, .. } => {
                self.done(node, &Now { text, tokens, logprob, score, end, answer });
                if self.is_settled() {
                    self.cancel.cancel();
                }
            }
            _ => {}
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.difference {
            None => {
                write!(f, "identical: {} nodes, {} tokens", self.nodes, self.tokens)?;
                match self.beside {
                    0 => Ok(()),
                    n => write!(f, " ({n} more ran beside the decision)"),
                }
            }
            Some(difference) => difference.fmt(f),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "node {node}, ")?,
            None => write!(f, "outcome, ")?,
        }
        write!(f, "{}: {} recorded, {} replayed", self.field, self.recorded, self.replayed)
    }
}

fn was_cut(trace: &Trace) -> bool {
    trace.outcome.as_ref().is_none_or(|o| matches!(o.stop_reason.as_str(), "deadline" | "energy" | "cancelled"))
}

fn shown<T: fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), T::to_string)
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn votes(outcome: &OutcomeRecord) -> String {
    let candidates = outcome.candidates.iter().map(|c| format!("{} ({} votes, {})", c.answer, c.votes, c.score));
    candidates.collect::<Vec<_>>().join(", ")
}
