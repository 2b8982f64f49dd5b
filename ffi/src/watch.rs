//! What a run's thread and the host's threads share.

use std::any::Any;
use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ruminate::observe::{CancelToken, Event, Observer};

use crate::event::{Happening, Queue, RUM_EVENT_FAILED, RUM_EVENT_SCORED, rum_event, rum_event_kind};
use crate::host::Host;
use crate::outcome::{Finished, rum_usage};
use crate::sized::Struct;
use crate::status::rum_status;
use crate::text::Text;

/// Takes an event of a run; returning anything but 0 cancels the run.
///
/// Called on the run's thread with no lock held, one event at a time, `RUM_EVENT_DONE` last; a slow one slows the run down. What
/// the event points to lives until it returns. A call on the run's session from here gives `RUM_ERR_BUSY`, and so does
/// `rum_run_free` and `rum_run_wait` on the run itself; cancelling is allowed. It must not throw or jump out.
pub type rum_event_fn = Option<unsafe extern "C" fn(user: *mut c_void, event: *const rum_event) -> i32>;

/// A function of the host that gets events.
pub struct Listener {
    pub host: Arc<Host>,
    pub call: unsafe extern "C" fn(*mut c_void, *const rum_event) -> i32,
}

/// What a run's thread and the host's threads share.
#[derive(Default)]
pub struct Watch {
    state: Mutex<State>,
    changed: Condvar,
    end: OnceLock<End>,
}

struct State {
    queue: Queue,
    usage: rum_usage,
    is_over: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { queue: Queue::default(), usage: rum_usage::initial(), is_over: false }
    }
}

/// How a run ended.
pub type End = Result<Finished, (rum_status, Text)>;

impl Watch {
    /// How the run ended, once it has.
    pub fn end(&self) -> Option<&End> {
        self.end.get()
    }

    pub fn usage(&self) -> rum_usage {
        match self.end.get() {
            Some(Ok(finished)) => finished.usage,
            Some(Err(_)) => rum_usage { complete: 1, ..self.state().usage },
            None => self.state().usage,
        }
    }

    /// The next event; the last one for ever once all others were given, nothing after `timeout` without one.
    pub fn next(&self, timeout: Option<Duration>) -> Happening {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state();
        loop {
            if let Some(event) = state.queue.pop() {
                return event;
            }
            if state.is_over {
                return self.last();
            }
            let Some(woken) = self.sleep(state, until) else { return Happening::default() };
            state = woken;
        }
    }

    /// Whether the run is over within `timeout`.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state();
        while !state.is_over {
            let Some(woken) = self.sleep(state, until) else { return false };
            state = woken;
        }
        true
    }

    /// Makes the result known; the run is over only with [`close`](Self::close).
    pub fn finish(&self, end: End) {
        // A run ends once.
        let _ = self.end.set(end);
    }

    /// Wakes everyone who waits: there will be no other event.
    pub fn close(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    /// The event that tells the result.
    pub fn last(&self) -> Happening {
        let kind = rum_event_kind::RUM_EVENT_DONE;
        match self.end.get() {
            Some(Ok(finished)) => Happening {
                kind,
                flags: if finished.score.is_some() { RUM_EVENT_SCORED } else { 0 },
                text: finished.text.clone(),
                answer: finished.answer.clone(),
                score: finished.score.unwrap_or_default(),
                wall_ms: finished.usage.wall_ms,
                policy_tokens: finished.usage.policy_tokens,
                ..Happening::default()
            },
            _ => Happening { kind, flags: RUM_EVENT_FAILED, ..Happening::default() },
        }
    }

    /// `None` when `until` has passed.
    fn sleep<'a>(&self, state: MutexGuard<'a, State>, until: Option<Instant>) -> Option<MutexGuard<'a, State>> {
        let Some(until) = until else {
            return Some(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings events from the search to the host.
pub struct Reporter<'a> {
    pub watch: &'a Watch,
    pub listener: Option<&'a Listener>,
    /// `RUM_EVENTS_…`.
    pub events: u32,
    pub cancel: &'a CancelToken,
    /// Let go when nobody waits for the run any more: what takes long to give back.
    pub afterwards: Option<Box<dyn Any + Send>>,
}

impl Reporter<'_> {
    /// Pushes the event to the host's function, or keeps it until it is pulled.
    pub fn tell(&mut self, event: Happening) {
        if event.kind == rum_event_kind::RUM_EVENT_NODE_DONE {
            let mut state = self.watch.state();
            (state.usage.policy_tokens, state.usage.wall_ms) = (event.policy_tokens, event.wall_ms);
        }
        if !event.is_wanted(self.events) {
            return;
        }
        let Some(listener) = self.listener else {
            self.watch.state().queue.push(event);
            self.watch.changed.notify_all();
            return;
        };
        let lent = event.lend();
        // SAFETY: the host's function with the host's data; no lock is held, and the event outlives the call.
        if unsafe { (listener.call)(listener.host.user(), &lent) } != 0 {
            self.cancel.cancel();
        }
    }
}

impl Observer for Reporter<'_> {
    fn event(&mut self, event: &Event<'_>) {
        // Text comes with every token: it is not copied for a host that does not want it.
        if matches!(event, Event::NodeText { .. }) && self.events & crate::event::RUM_EVENTS_TEXT == 0 {
            return;
        }
        if let Some(event) = Happening::of(event) {
            self.tell(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_time_or_with_the_run() {
        let watch = Watch::default();
        assert_eq!(watch.next(Some(Duration::ZERO)).kind, rum_event_kind::RUM_EVENT_NONE);
        assert!(!watch.wait(Some(Duration::from_millis(5))));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| watch.wait(None));
            let pulls = scope.spawn(|| watch.next(None));
            watch.finish(Err((rum_status::RUM_ERR_IO, Text::new("x"))));
            watch.close();
            assert!(waits.join().unwrap());
            let last = pulls.join().unwrap();
            assert_eq!((last.kind, last.flags), (rum_event_kind::RUM_EVENT_DONE, RUM_EVENT_FAILED));
        });
        assert_eq!(watch.next(None).kind, rum_event_kind::RUM_EVENT_DONE);
    }
}
