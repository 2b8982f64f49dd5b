//! What a method works with: it asks the model, waits for replies, and puts solutions forward.
//!
//! A method is straight-line code over one search. Its replies are nodes of that search's tree, and everything that the
//! search obeys (budgets, cancellation, pauses, traces) holds for it. Where the budget ends, the method is not gone on with,
//! and what it put forward stands.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::ask::{Ask, Beginning};
use super::inquiry::Setting;
use super::journal::Journal;
use super::tools::Toolbox;
use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::search::{Call, Proposal, Request, Thought, ThoughtEnd, ThoughtId};
use crate::text::{ChatMessage, Thinking, TokenId};

/// The place of one method in one search.
#[derive(Clone)]
pub struct Desk<'a> {
    setting: &'a Setting<'a>,
    tools: Arc<Toolbox>,
    shared: Arc<Mutex<Shared>>,
}

/// What a method and the program that drives it hand to each other.
#[derive(Default)]
pub(super) struct Shared {
    pub next_id: u64,
    pub requests: Vec<Request>,
    pub replies: HashMap<ThoughtId, Thought>,
    pub journal: Journal,
    pub interrupt: Interrupt,
}

/// A reply, and the conversation that it is part of.
#[derive(Clone)]
pub struct Reply {
    thought: Arc<Thought>,
    messages: Arc<Vec<ChatMessage>>,
    /// Where in the thought's text the answer to the request stands, behind thinking.
    visible: Range<usize>,
    /// What this turn said before, where the reply goes on in the middle of one.
    before: Arc<str>,
    /// Where its KV is kept.
    kept: Option<Arc<Kept>>,
}

/// Lets a thought go when the last copy of its reply is dropped.
struct Kept {
    id: ThoughtId,
    shared: Arc<Mutex<Shared>>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(setting: &'a Setting<'a>, tools: Arc<Toolbox>, shared: Arc<Mutex<Shared>>) -> Self {
        Self { setting, tools, shared }
    }

    /// What the method was given.
    pub fn setting(&self) -> &'a Setting<'a> {
        self.setting
    }

    /// The question.
    pub fn question(&self) -> &'a str {
        self.setting.question()
    }

    /// The tools, as this question found them.
    pub fn tools(&self) -> &Toolbox {
        &self.tools
    }

    /// What a tool says to `input` ([`Toolbox::call`]). The search waits for it, at most as long as the tool may take and the
    /// search is not to end.
    pub fn use_tool(&self, name: &str, input: &str) -> String {
        let interrupt = lock(&self.shared).interrupt.clone();
        if self.tools.is_repeatable(name) {
            return self.tools.call(name, input, &interrupt);
        }
        let known = lock(&self.shared).journal.recall(name, input);
        known.unwrap_or_else(|| {
            if self.setting.resources().replayed {
                return "error: this was not said when the search was recorded".to_owned();
            }
            let said = self.tools.call(name, input, &interrupt);
            // A call that was given up with the search is made again when that goes on.
            if interrupt.check().is_ok() {
                lock(&self.shared).journal.note(name, input, &said);
            }
            said
        })
    }

    /// Asks the model. The request is made now; what comes of it is there when the future is.
    pub fn ask(&self, ask: Ask) -> Asked {
        let asked = self.put(&ask);
        Asked(asked.map_err(Some))
    }

    /// The same several times: the prompt is computed once, and the replies are drawn together.
    pub fn samples(&self, ask: &Ask, n: usize) -> impl Future<Output = Result<Vec<Reply>>> + Send + use<> {
        self.ask_all(vec![ask.clone(); n])
    }

    /// Asks several things at once.
    pub fn ask_all(&self, asks: Vec<Ask>) -> impl Future<Output = Result<Vec<Reply>>> + Send + use<> {
        let asked: Vec<Asked> = asks.into_iter().map(|ask| self.ask(ask)).collect();
        all(asked)
    }

    /// Says that at most `n` more solutions will be put forward: where a majority decides and these cannot change it any more, or
    /// [`SearchParams::early_stop`](crate::search::SearchParams::early_stop) is content, the search ends.
    pub fn expect(&self, n: usize) {
        lock(&self.shared).requests.push(Request::Expect(n));
    }

    /// Asks for a solution and puts it forward.
    pub fn solve(&self, ask: &Ask) -> impl Future<Output = Result<()>> + Send + use<'a> {
        let (asked, desk) = (self.ask(ask.clone()), self.clone());
        async move {
            desk.put_forward(asked.await?.proposal());
            Ok(())
        }
    }

    /// Asks for `n` solutions and puts each forward as it comes.
    pub fn vote(&self, ask: &Ask, n: usize) -> impl Future<Output = Result<()>> + Send + use<'a> {
        self.expect(n);
        let all = all((0..n).map(|_| self.solve(ask)).collect());
        async move { all.await.map(drop) }
    }

    /// A solution that counts from now on, in a vote with the others.
    pub fn put_forward(&self, proposal: Proposal) {
        lock(&self.shared).requests.push(Request::PutForward(proposal));
    }

    /// A solution that counts instead of all that were put forward before.
    pub fn put_forward_instead(&self, proposal: Proposal) {
        lock(&self.shared).requests.push(Request::Withdraw);
        self.put_forward(proposal);
    }

    fn put(&self, ask: &Ask) -> Result<Waiting> {
        let id = {
            let mut shared = lock(&self.shared);
            shared.next_id += 1;
            ThoughtId(shared.next_id)
        };
        let Planned { at, prompt, messages, before } = self.plan(ask)?;
        let call = Call {
            at,
            forced: ask.begin.clone(),
            max_tokens: ask.max_tokens,
            stops: ask.stops.clone(),
            stop_at_answer: ask.stop_at_answer,
            grammar: ask.grammar.clone(),
            greedy: ask.greedy,
            solves: ask.solves,
            keep: ask.keep,
            ..Call::new(id, prompt)
        };
        lock(&self.shared).requests.push(Request::Think(call));
        let thinking = self.setting.params().thinking.clone();
        let thinking = thinking.filter(|_| matches!(ask.beginning, Beginning::Messages(_) | Beginning::After(..)));
        Ok(Waiting { id, messages, before, thinking, keep: ask.keep, shared: self.shared.clone() })
    }

    /// Where the reply goes on from, and what stands in between.
    fn plan(&self, ask: &Ask) -> Result<Planned> {
        let scribe = self.setting.scribe();
        let messages = match &ask.beginning {
            Beginning::Messages(messages) => messages.clone(),
            Beginning::After(reply, more) => {
                let mut messages = reply.messages.to_vec();
                let at = messages.len();
                messages.push(ChatMessage::new("assistant", reply.said()));
                messages.extend(more.iter().cloned());
                let kept = reply.kept.as_ref().filter(|_| reply.is_said_whole());
                if let (Some(kept), Some(prompt)) = (kept, scribe.tokens_after(&messages, at)?) {
                    return Ok(Planned { at: Some(kept.id), prompt, messages, before: Arc::from("") });
                }
                messages
            }
            Beginning::Within(reply, text) => {
                let before = Arc::from(format!("{}{}{text}", reply.before, reply.thought.text));
                let kept = reply.kept.as_ref().map(|kept| kept.id);
                let at = Some(kept.ok_or_else(|| Error::invalid("a reply that is not kept cannot be gone on with"))?);
                let prompt = vec![scribe.tokens_of_text(text)?];
                return Ok(Planned { at, prompt, messages: reply.messages.to_vec(), before });
            }
        };
        let prompt = self.setting.below_stem(scribe.tokens(&messages)?)?;
        Ok(Planned { at: None, prompt, messages, before: Arc::from("") })
    }
}

struct Planned {
    at: Option<ThoughtId>,
    prompt: Vec<Vec<TokenId>>,
    messages: Vec<ChatMessage>,
    before: Arc<str>,
}

impl Reply {
    /// The reply without white space around it and without the text that ended it; thinking that the model marked as such
    /// is not part of it.
    pub fn text(&self) -> &str {
        self.thought.text.get(self.visible.clone()).unwrap_or_default().trim()
    }

    /// The text up to the first of `stops`.
    pub fn text_before<'t>(&'t self, stops: &[&str]) -> &'t str {
        let text = self.text();
        let at = stops.iter().filter_map(|stop| text.find(stop)).min();
        text.get(..at.unwrap_or(text.len())).unwrap_or(text).trim()
    }

    /// What came of the request.
    pub fn thought(&self) -> &Thought {
        &self.thought
    }

    /// Whether the model came to an end of its own.
    pub fn is_complete(&self) -> bool {
        self.thought.end == ThoughtEnd::Complete
    }

    /// Whether there was no room for it: nothing more can be said in this conversation.
    pub fn lacks_room(&self) -> bool {
        self.thought.end == ThoughtEnd::Room
    }

    /// It as a solution at its own value.
    pub fn proposal(&self) -> Proposal {
        Proposal { text: self.text().to_owned(), ..Proposal::of(&self.thought) }
    }

    /// What this turn said up to here, with what stood between its pieces.
    pub fn transcript(&self) -> String {
        format!("{}{}", self.before, self.thought.text).trim().to_owned()
    }

    /// The whole turn as later turns see it.
    fn said(&self) -> String {
        if self.before.is_empty() { self.text().to_owned() } else { format!("{}{}", self.before, self.thought.text) }
    }

    /// Whether later turns see all that was drawn.
    fn is_said_whole(&self) -> bool {
        !self.before.is_empty() || self.text() == self.thought.text.trim()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        lock(&self.shared).requests.push(Request::LetGo(self.id));
    }
}

/// A reply that is on its way.
pub struct Asked(std::result::Result<Waiting, Option<Error>>);

struct Waiting {
    id: ThoughtId,
    messages: Vec<ChatMessage>,
    before: Arc<str>,
    thinking: Option<Thinking>,
    keep: bool,
    shared: Arc<Mutex<Shared>>,
}

impl Future for Asked {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = match &mut self.0 {
            Ok(waiting) => waiting,
            Err(error) => return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        };
        let Some(thought) = lock(&waiting.shared).replies.remove(&waiting.id) else { return Poll::Pending };
        let kept = waiting.keep.then(|| Arc::new(Kept { id: waiting.id, shared: waiting.shared.clone() }));
        let visible = match &waiting.thinking {
            Some(thinking) => thinking.answer_in(&thought.text),
            None => visible(&thought.text),
        };
        Poll::Ready(Ok(Reply {
            visible,
            thought: Arc::new(thought),
            messages: Arc::new(std::mem::take(&mut waiting.messages)),
            before: waiting.before.clone(),
            kept,
        }))
    }
}

/// All of `futures` together, polled in their order, so that what they ask for comes in the same order every time. The first
/// error ends it.
pub fn all<F, T>(futures: Vec<F>) -> impl Future<Output = Result<Vec<T>>> + Send + use<F, T>
where
    F: Future<Output = Result<T>> + Send,
    T: Send,
{
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                match result {
                    Ok(value) => *done = Some(value),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
        if done.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(done.iter_mut().filter_map(Option::take).collect()))
    })
}

/// A lock that a panic elsewhere does not close: what it guards is whole at any time.
pub(super) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands behind thinking that is marked in the most usual way, where the model's template does not speak of it.
fn visible(text: &str) -> Range<usize> {
    const CLOSE: &str = "</think>";
    text.rfind(CLOSE).map_or(0, |at| at + CLOSE.len())..text.len()
}
