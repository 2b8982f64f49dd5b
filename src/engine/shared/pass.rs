//! Requests that are answered by one pass, and each one's part of its rows.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{Seat, State};
use crate::engine::{Batch, Branch, Engine, Rows, Tap, Want};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::text::TokenId;

/// Tokens in a common pass, unless one request alone has more: beyond it arithmetic decides, and the others would only wait longer.
const PASS_TOKENS: usize = 512;

/// A batch that waits for its pass.
pub(super) struct Asked {
    /// Its branches, one for each run of tokens.
    branches: Vec<Branch>,
    /// Its tokens, each with its branch's place.
    items: Vec<(usize, TokenId, Want)>,
    taps: Vec<Tap>,
    interrupt: Interrupt,
    kv_limit: u64,
    since: Instant,
}

/// Which rows of a pass belong to a request.
pub(super) struct Answer {
    pub rows: Arc<Rows>,
    pub logits: Range<usize>,
    pub hidden: Range<usize>,
}

impl Asked {
    pub fn new(batch: &Batch<'_>, kv_limit: u64) -> Self {
        let (mut branches, mut items) = (Vec::<Branch>::new(), Vec::with_capacity(batch.len()));
        for item in &batch.items {
            if branches.last() != Some(item.branch) {
                branches.push(Branch { slot: item.branch.slot, serial: item.branch.serial });
            }
            items.push((branches.len() - 1, item.token, item.want));
        }
        let (taps, interrupt) = (batch.taps.to_vec(), batch.interrupt.clone());
        Self { branches, items, taps, interrupt, kv_limit, since: Instant::now() }
    }

    fn push<'a>(&'a self, batch: &mut Batch<'a>) {
        for &(at, token, want) in &self.items {
            if let Some(branch) = self.branches.get(at) {
                batch.push(branch, token, want);
            }
        }
    }

    /// How many of its tokens ask for what `asks` says.
    fn rows(&self, asks: fn(Want) -> bool) -> usize {
        self.items.iter().filter(|&&(_, _, want)| asks(want)).count()
    }
}

impl<E: Engine> State<E> {
    /// Answers those that have waited longest, as many as one pass has room for.
    pub(super) fn run(&mut self) {
        let began = Instant::now();
        let asking = self.round();
        for seat in self.seats.values_mut().filter(|seat| matches!(seat, Seat::Expected)) {
            *seat = Seat::Away;
        }
        match self.pass(&asking) {
            Ok(answers) => asking.iter().zip(answers).for_each(|(&id, answer)| self.put(id, Ok(answer))),
            Err(error) => match *asking {
                [id] => self.put(id, Err(error)),
                // Which of them it was does not show: each alone fails for itself.
                _ => asking.iter().for_each(|&id| {
                    let answer = self.pass(&[id]).and_then(|answers| answers.into_iter().next().ok_or_else(lost));
                    self.put(id, answer);
                }),
            },
        }
        self.took = began.elapsed();
    }

    /// The shares of the next pass: the same states read from all, and those that have waited longest first. What was
    /// interrupted while it waited is answered.
    fn round(&mut self) -> Vec<u64> {
        let mut asking = Vec::new();
        for (&id, seat) in &mut self.seats {
            let Seat::Asking(asked) = seat else { continue };
            match asked.interrupt.check() {
                Ok(()) => asking.push((asked.since, id)),
                Err(error) => *seat = Seat::Answered(Err(error)),
            }
        }
        asking.sort_unstable();
        let (mut round, mut taps, mut tokens) = (Vec::new(), None, 0);
        for (_, id) in asking {
            let Some(Seat::Asking(asked)) = self.seats.get(&id) else { continue };
            if *taps.get_or_insert(&asked.taps) == &asked.taps
                && (round.is_empty() || tokens + asked.items.len() <= PASS_TOKENS)
            {
                tokens += asked.items.len();
                round.push(id);
            }
        }
        round
    }

    /// One pass over the requests of `shares`, under the least of their caps.
    fn pass(&mut self, shares: &[u64]) -> Result<Vec<Answer>> {
        let asked: Vec<&Asked> = shares
            .iter()
            .filter_map(|id| match self.seats.get(id) {
                Some(Seat::Asking(asked)) => Some(asked),
                _ => None,
            })
            .collect();
        let Some(first) = asked.first() else { return Ok(Vec::new()) };
        let interrupt = if asked.len() == 1 { first.interrupt.clone() } else { Interrupt::default() };
        let mut batch = Batch::new(&interrupt).with_taps(&first.taps);
        asked.iter().for_each(|asked| asked.push(&mut batch));
        let mut rows = Rows::new();
        let cap = asked.iter().map(|asked| asked.kv_limit).min().unwrap_or(u64::MAX);
        self.engine.set_kv_limit(cap.min(self.kv_limit));
        let done = self.engine.forward(&batch, &mut rows);
        self.engine.set_kv_limit(self.kv_limit);
        done?;
        let rows = Arc::new(rows);
        let (mut logits, mut hidden) = (0, 0);
        let mut parts = Vec::with_capacity(asked.len());
        for asked in asked {
            let (logits_end, hidden_end) = (logits + asked.rows(Want::logits), hidden + asked.rows(Want::hidden));
            parts.push(Answer { rows: Arc::clone(&rows), logits: logits..logits_end, hidden: hidden..hidden_end });
            (logits, hidden) = (logits_end, hidden_end);
        }
        Ok(parts)
    }

    /// Gives share `id` its answer.
    fn put(&mut self, id: u64, answer: Result<Answer>) {
        if let Some(seat) = self.seats.get_mut(&id) {
            *seat = Seat::Answered(answer);
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a pass left out a request")
}
