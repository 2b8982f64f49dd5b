//! Events of a run, and the queue from which the host pulls them.

use std::collections::{HashMap, VecDeque};

use ruminate::observe::Event;

use crate::sized::Struct;
use crate::text::{Text, rum_str};

/// What an event says.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum rum_event_kind {
    /// Nothing happened within the time waited.
    #[default]
    RUM_EVENT_NONE = 0,
    /// `done` of `total` tokens of the prompt are computed; questions are sampled, or fits made, in a run that learns.
    RUM_EVENT_PROGRESS = 1,
    /// `node` began to grow from `parent`.
    RUM_EVENT_NODE_STARTED = 2,
    /// `node` received `text`, whole characters only. Pieces that nobody pulled yet come as one.
    RUM_EVENT_NODE_TEXT = 3,
    /// `node` stopped growing: everything about it is there.
    RUM_EVENT_NODE_DONE = 4,
    /// `node` was pruned: nothing will go on from it.
    RUM_EVENT_NODE_CLOSED = 5,
    /// The run ended; the last event, and given again for every further pull.
    RUM_EVENT_DONE = 6,
    /// A training step ended, `done` of `total`: `loss`, `accuracy` and `margin` are those before it, `text` is all of its figures as
    /// one JSON object.
    RUM_EVENT_STEP = 7,
}

/// `flags`: the node takes the most likely tokens instead of drawing them.
pub const RUM_EVENT_GREEDY: u32 = 1;
/// `flags`: `score` holds a judge's value.
pub const RUM_EVENT_SCORED: u32 = 2;
/// `flags`: the run failed; see `rum_run_error`.
pub const RUM_EVENT_FAILED: u32 = 4;

/// `events` of `rum_run_options`: nodes that start, end and close.
pub const RUM_EVENTS_NODES: u32 = 1;
/// `events` of `rum_run_options`: text as it grows.
pub const RUM_EVENTS_TEXT: u32 = 2;
/// `events` of `rum_run_options`: progress of the prompt, and of learning.
pub const RUM_EVENTS_PROGRESS: u32 = 4;
/// `events` of `rum_run_options`: all of them.
pub const RUM_EVENTS_ALL: u32 = 7;

/// Something that happened in a run. Nodes are numbered from 1 in the order of their creation, the same for every schedule; 0 is
/// the prompt. A plain generation is one node.
///
/// What it points to lives until the next pull from the run, or until the callback returns.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_event {
    pub struct_size: usize,
    /// A `rum_event_kind`.
    pub kind: u32,
    /// `RUM_EVENT_GREEDY`, `RUM_EVENT_SCORED`, `RUM_EVENT_FAILED`.
    pub flags: u32,
    /// The node's number.
    pub node: u64,
    /// The number of the node that it goes on from.
    pub parent: u64,
    /// The new text, the node's whole text, or the text of the result.
    pub text: rum_str,
    /// The answer found in the text from the prompt's end to here, or that of the result; NULL when there is none.
    pub answer: rum_str,
    /// Why the node stopped: `eog`, `answer`, `step`, `length`, `context`, `tokens`, `memory`, `confidence`, `whole` (all that its
    /// grammar lets it be) or `interrupted`.
    pub end: rum_str,
    /// The node's tokens.
    pub tokens: *const u32,
    /// How many tokens.
    pub n_tokens: usize,
    /// Sum of the natural logarithms of its tokens' probabilities under the model.
    pub logprob: f64,
    /// What the text from the prompt's end to here is worth, from 0 to 1.
    pub value: f64,
    /// What a judge makes of the node, from 0 to 1, if `flags` say so.
    pub score: f64,
    /// Milliseconds that the run has taken so far.
    pub wall_ms: f64,
    /// Tokens that the run has drawn so far.
    pub policy_tokens: u64,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// A training step's mean loss.
    pub loss: f64,
    /// The share of its pairs whose chosen completion is paid more, or of single completions that are paid on the side of their thumb.
    pub accuracy: f64,
    /// By how much, on average.
    pub margin: f64,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_event {
    const FIRST: usize = 104 + 9 * size_of::<usize>();

    fn initial() -> Self {
        Happening::default().lend()
    }
}

/// An event that owns what it tells.
#[derive(Debug, Clone, Default)]
pub struct Happening {
    pub kind: rum_event_kind,
    pub flags: u32,
    pub node: u64,
    pub parent: u64,
    pub text: Text,
    pub answer: Option<Text>,
    pub end: Text,
    pub tokens: Vec<u32>,
    pub logprob: f64,
    pub value: f64,
    pub score: f64,
    pub wall_ms: f64,
    pub policy_tokens: u64,
    pub done: u64,
    pub total: u64,
    pub loss: f64,
    pub accuracy: f64,
    pub margin: f64,
}

impl Happening {
    /// What `event` tells; `None` for events that this interface does not have.
    pub fn of(event: &Event<'_>) -> Option<Self> {
        use rum_event_kind::*;
        let new = |kind, node| Self { kind, node, ..Self::default() };
        Some(match *event {
            Event::Progress { done, total, .. } => Self { done, total, ..new(RUM_EVENT_PROGRESS, 0) },
            Event::NodeStarted { node, parent, greedy } => {
                Self { parent, flags: if greedy { RUM_EVENT_GREEDY } else { 0 }, ..new(RUM_EVENT_NODE_STARTED, node) }
            }
            Event::NodeText { node, text } => Self { text: Text::new(text), ..new(RUM_EVENT_NODE_TEXT, node) },
            Event::NodeDone {
                node,
                parent,
                text,
                tokens,
                logprob,
                score,
                value,
                end,
                answer,
                policy_tokens,
                wall_ms,
            } => Self {
                parent,
                flags: if score.is_some() { RUM_EVENT_SCORED } else { 0 },
                text: Text::new(text),
                answer: answer.map(Text::new),
                end: Text::new(end),
                tokens: tokens.to_vec(),
                logprob,
                value,
                score: score.map_or(0.0, f64::from),
                policy_tokens,
                wall_ms,
                ..new(RUM_EVENT_NODE_DONE, node)
            },
            Event::NodeClosed { node } => new(RUM_EVENT_NODE_CLOSED, node),
            _ => return None,
        })
    }

    /// Whether a run with these `events` tells it.
    pub fn is_wanted(&self, events: u32) -> bool {
        use rum_event_kind::*;
        let group = match self.kind {
            RUM_EVENT_NODE_STARTED | RUM_EVENT_NODE_DONE | RUM_EVENT_NODE_CLOSED => RUM_EVENTS_NODES,
            RUM_EVENT_NODE_TEXT => RUM_EVENTS_TEXT,
            RUM_EVENT_PROGRESS | RUM_EVENT_STEP => RUM_EVENTS_PROGRESS,
            RUM_EVENT_NONE | RUM_EVENT_DONE => u32::MAX,
        };
        events & group != 0 || group == u32::MAX
    }

    /// As the host sees it, for as long as this value stays where it is.
    pub fn lend(&self) -> rum_event {
        rum_event {
            struct_size: size_of::<rum_event>(),
            kind: self.kind as u32,
            flags: self.flags,
            node: self.node,
            parent: self.parent,
            text: self.text.lend(),
            answer: Text::lend_optional(self.answer.as_ref()),
            end: self.end.lend(),
            tokens: self.tokens.as_ptr(),
            n_tokens: self.tokens.len(),
            logprob: self.logprob,
            value: self.value,
            score: self.score,
            wall_ms: self.wall_ms,
            policy_tokens: self.policy_tokens,
            done: self.done,
            total: self.total,
            loss: self.loss,
            accuracy: self.accuracy,
            margin: self.margin,
        }
    }
}

/// Events that wait to be pulled. A slow host delays nobody: a node's pieces of text grow together while they wait, so that
/// the queue never holds more than the search's tree does.
#[derive(Debug, Default)]
pub struct Queue {
    events: VecDeque<Happening>,
    /// Events that were pulled.
    pulled: u64,
    /// The place of each node's waiting text, counted from the first event of the run.
    texts: HashMap<u64, u64>,
}

impl Queue {
    pub fn push(&mut self, event: Happening) {
        if event.kind == rum_event_kind::RUM_EVENT_NODE_TEXT {
            let waiting = self.texts.get(&event.node).and_then(|place| place.checked_sub(self.pulled));
            if let Some(text) = waiting.and_then(|place| self.events.get_mut(usize::try_from(place).ok()?)) {
                text.text.push(event.text.as_str());
                return;
            }
            self.texts.insert(event.node, self.pulled + self.events.len() as u64);
        }
        self.events.push_back(event);
    }

    pub fn pop(&mut self) -> Option<Happening> {
        let event = self.events.pop_front()?;
        self.pulled += 1;
        if event.kind == rum_event_kind::RUM_EVENT_NODE_TEXT {
            self.texts.remove(&event.node);
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_waits_grows_together_per_node() {
        let mut queue = Queue::default();
        let push = |queue: &mut Queue, node, text: &str| {
            queue.push(Happening::of(&Event::NodeText { node, text }).unwrap());
        };
        let pop = |queue: &mut Queue| queue.pop().map(|event| (event.node, event.text.as_str().to_owned()));
        for (node, text) in [(1, "a"), (2, "b"), (1, "c"), (2, "d")] {
            push(&mut queue, node, text);
        }
        assert_eq!(pop(&mut queue), Some((1, "ac".into())));
        push(&mut queue, 1, "e");
        push(&mut queue, 2, "f");
        assert_eq!(pop(&mut queue), Some((2, "bdf".into())));
        assert_eq!(pop(&mut queue), Some((1, "e".into())));
        assert_eq!(pop(&mut queue), None);
        assert!(queue.texts.is_empty());
    }

    #[test]
    fn only_the_groups_that_are_wanted_are_told() {
        let text = Happening::of(&Event::NodeText { node: 1, text: "x" }).unwrap();
        let closed = Happening::of(&Event::NodeClosed { node: 1 }).unwrap();
        assert!(text.is_wanted(RUM_EVENTS_TEXT) && !text.is_wanted(RUM_EVENTS_NODES | RUM_EVENTS_PROGRESS));
        assert!(closed.is_wanted(RUM_EVENTS_ALL) && !closed.is_wanted(0));
        let done = Happening { kind: rum_event_kind::RUM_EVENT_DONE, ..Happening::default() };
        assert!(done.is_wanted(0));
    }
}
