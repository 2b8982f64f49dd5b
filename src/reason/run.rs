//! A method as the program of a search: the one future that it is, polled when a thought has ended.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::desk::{Desk, Shared, lock};
use super::inquiry::Setting;
use super::journal::Journal;
use super::strategy::{Running, Steps};
use crate::error::Result;
use crate::observe::Interrupt;
use crate::search::{Program, Request, Thought, Vote};

/// A method at work. There is no other task and no clock: its requests depend on the replies alone.
pub(super) struct Run<'a> {
    name: String,
    vote: Vote,
    method: Option<Running<'a>>,
    shared: Arc<Mutex<Shared>>,
    /// Entries of the journal that were told of.
    told: usize,
}

impl<'a> Run<'a> {
    pub fn new(steps: &'a dyn Steps, setting: &'a Setting<'a>) -> Result<Self> {
        let resources = setting.resources();
        let shared = Arc::new(Mutex::new(Shared { journal: Journal::open(&resources.journal)?, ..Shared::default() }));
        let tools = Arc::new(resources.tools.fresh());
        let method = steps.run(Desk::new(setting, tools, shared.clone()));
        Ok(Self { name: setting.key(), vote: steps.vote(), method: Some(method), shared, told: 0 })
    }
}

impl Program for Run<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self, told: Option<Thought>) -> Result<Vec<Request>> {
        lock(&self.shared).replies.extend(told.map(|thought| (thought.id, thought)));
        if let Some(method) = &mut self.method
            && let Poll::Ready(ended) = method.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            self.method = None;
            ended?;
        }
        Ok(std::mem::take(&mut lock(&self.shared).requests))
    }

    fn vote(&self) -> Vote {
        self.vote
    }

    fn attend(&mut self, interrupt: &Interrupt) {
        lock(&self.shared).interrupt = interrupt.clone();
    }

    fn journal(&self) -> String {
        lock(&self.shared).journal.text()
    }

    fn news(&mut self) -> Option<String> {
        let shared = lock(&self.shared);
        let said = shared.journal.count();
        (std::mem::replace(&mut self.told, said) < said).then(|| shared.journal.text())
    }

    fn recall(&mut self, journal: &str) -> Result<()> {
        lock(&self.shared).journal = Journal::open(journal)?;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.method.is_none()
    }
}
