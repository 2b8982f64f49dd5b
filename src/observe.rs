//! What goes sideways: events for whoever watches, and the signals by which a caller ends work early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// Receives events as work proceeds. All methods do nothing unless overridden; none may block for long.
pub trait Observer: Send {
    /// One event; see [`Event`].
    fn event(&mut self, event: &Event<'_>) {
        let _ = event;
    }
}

/// The observer that watches nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {}

/// Something worth showing or logging.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A long piece of work went from `done` to at most `total` units (bytes, tokens, chunks).
    Progress {
        /// What is being done, for a person.
        what: &'a str,
        /// Units done so far.
        done: u64,
        /// Units in all, 0 when unknown.
        total: u64,
    },
    /// A node of a search's tree began to grow. Nodes are numbered from 1 in the order of their creation, the same for
    /// every schedule; 0 is the prompt.
    NodeStarted {
        /// The node's number.
        node: u64,
        /// The node that it goes on from.
        parent: u64,
        /// It takes the most likely tokens instead of drawing them.
        greedy: bool,
    },
    /// A node received text (whole code points).
    NodeText {
        /// The node's number.
        node: u64,
        /// The new text.
        text: &'a str,
    },
    /// A node stopped growing.
    NodeDone {
        /// The node's number.
        node: u64,
        /// The node that it goes on from.
        parent: u64,
        /// Its text, without that of its ancestors.
        text: &'a str,
        /// Its tokens.
        tokens: &'a [u32],
        /// Sum of its tokens' log-probabilities under the model's own distribution.
        logprob: f64,
        /// What a judge makes of it, in [0, 1].
        score: Option<f32>,
        /// What the text from the prompt's end to here is worth, in [0, 1]: the judge's values of its steps as one, or how
        /// sure the model was of it.
        value: f64,
        /// Why it stopped: `eog`, `answer`, `step`, `length`, `context`, `tokens`, `memory`, `confidence`,
        /// `whole` (all that its grammar lets it be) or `interrupted`.
        end: &'a str,
        /// The answer found in the text from the prompt's end to here, if there was one.
        answer: Option<&'a str>,
        /// Tokens that the whole search has drawn so far.
        policy_tokens: u64,
        /// Milliseconds that the whole search has taken so far.
        wall_ms: f64,
    },
    /// The search's program learned something from elsewhere than the model, such as from a tool.
    Learned {
        /// All that it learned so far, as a text (`Outcome::journal`).
        journal: &'a str,
    },
    /// A node was pruned: nothing will go on from it any more.
    NodeClosed {
        /// The node's number.
        node: u64,
    },
    /// A backend logged a line; see `engine::observe_log`.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line, without its end.
        text: &'a str,
    },
}

/// How much a line of a backend's log matters; what matters more comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What makes a call fail.
    Error,
    /// What may not be as it was meant.
    Warning,
    /// What was found and chosen.
    Info,
    /// Details for the backend's developers.
    Debug,
}

/// Ends work early when asked, from any thread. Clones share one flag.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    flag: Arc<AtomicBool>,
}

impl CancelToken {
    /// A token that nobody has cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to end; it does so within one layer of one forward pass.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }
}

/// The two reasons to stop in the middle of a forward pass. Cheap to clone; checked between layers.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    /// Cancelled by the caller.
    pub cancel: CancelToken,
    /// Not a moment later than this.
    pub deadline: Option<Instant>,
}

impl Interrupt {
    /// An error of kind [`Cancelled`](ErrorKind::Cancelled) once either reason holds.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::new(ErrorKind::Cancelled, "the deadline passed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_holds_until_one_of_its_reasons_does() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check().is_ok());
        interrupt.cancel.clone().cancel();
        assert_eq!(interrupt.check().unwrap_err().kind(), ErrorKind::Cancelled);
        let late = Interrupt { deadline: Some(Instant::now()), ..Interrupt::default() };
        assert!(late.check().is_err());
    }
}
