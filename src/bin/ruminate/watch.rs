//! A search as it goes on: one plain line for each finished text, and on a terminal what grows and what is left to spend.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ruminate::observe::{Event, Observer};
use ruminate::search::Budget;

use crate::exit::Failure;
use crate::output::{Output, Style, escape_line};

/// Characters of a growing node that its live line shows.
const TAIL: usize = 72;
/// Growing nodes that are shown, at most; a wide search would fill the screen.
const SHOWN: usize = 6;
/// Between two changes of the status line.
const PACE: Duration = Duration::from_millis(100);

/// Watches a search for [`Output`].
pub struct Watch<'a> {
    output: &'a Output,
    lines: MultiProgress,
    status: ProgressBar,
    updated: Option<Instant>,
    growing: BTreeMap<u64, Growing>,
    account: Account,
    failure: Option<Failure>,
}

struct Growing {
    line: ProgressBar,
    tail: String,
}

impl<'a> Watch<'a> {
    /// A watch over a search within `budget` that starts now.
    pub fn new(output: &'a Output, budget: &Budget) -> Self {
        let target = if output.live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let status = lines.add(line("{wide_msg}"));
        let account = Account::new(budget);
        Self { output, lines, status, updated: None, growing: BTreeMap::new(), account, failure: None }
    }

    /// Takes the live lines away, and tells whether everything could be printed.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.growing.values().for_each(|g| g.line.finish_and_clear());
        self.status.finish_and_clear();
        self.failure.take().map_or(Ok(()), Err)
    }

    fn grow(&mut self, node: u64, text: &str) {
        if self.growing.len() >= SHOWN && !self.growing.contains_key(&node) {
            return;
        }
        let (lines, status) = (&self.lines, &self.status);
        let growing = self.growing.entry(node).or_insert_with(|| Growing {
            line: lines.insert_before(status, line("{prefix:>4} {wide_msg}").with_prefix(node.to_string())),
            tail: String::new(),
        });
        growing.tail.push_str(text);
        let excess = growing.tail.chars().count().saturating_sub(TAIL);
        growing.tail = growing.tail.chars().skip(excess).collect();
        growing.line.set_message(escape_line(&growing.tail));
        growing.line.tick();
    }

    fn refresh(&mut self) {
        let now = Instant::now();
        if self.output.live && self.updated.is_none_or(|then| now.duration_since(then) >= PACE) {
            self.updated = Some(now);
            self.status.set_message(self.account.status(self.account.started.elapsed()));
            self.status.tick();
        }
    }

    fn done(&mut self, node: u64, answer: Option<&str>, end: &str) {
        if let Some(growing) = self.growing.remove(&node) {
            growing.line.finish_and_clear();
        }
        // A step and a prompt are no texts to their end, and what was given up with the search is told by its outcome.
        if self.output.json || self.output.quiet || matches!(end, "step" | "interrupted" | "prompt") {
            return;
        }
        let shown = answer.map_or_else(|| "no answer".to_owned(), escape_line);
        let tokens = format!("({} tokens)", self.account.path_tokens(node));
        let line = format!("branch {node:>3}  {shown}  {}", self.output.paint(Style::Dim, &tokens));
        let printed = self.lines.suspend(|| self.output.line(&line));
        self.failure = self.failure.take().or(printed.err());
    }
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: &Event<'_>) {
        self.account.count(event);
        match event {
            Event::NodeText { node, text } if self.output.live => self.grow(*node, text),
            Event::NodeDone { node, answer, end, .. } => self.done(*node, *answer, end),
            _ => {}
        }
        self.refresh();
    }
}

fn line(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

/// What a search has come to so far.
struct Account {
    started: Instant,
    tokens_limit: Option<u64>,
    wall_limit: Option<Duration>,
    nodes: u64,
    /// Pieces of text of each growing node, which stand for its tokens until these are known.
    growing: HashMap<u64, u64>,
    /// Tokens from the prompt's end to the end of each finished node.
    paths: HashMap<u64, u64>,
    tokens: u64,
    /// Complete texts by answer, in the order of their first.
    answers: Vec<(String, u64)>,
    complete: u64,
}

impl Account {
    fn new(budget: &Budget) -> Self {
        Self {
            started: Instant::now(),
            tokens_limit: budget.tokens,
            wall_limit: budget.wall,
            nodes: 0,
            growing: HashMap::new(),
            paths: HashMap::new(),
            tokens: 0,
            answers: Vec::new(),
            complete: 0,
        }
    }

    fn path_tokens(&self, node: u64) -> u64 {
        self.paths.get(&node).copied().unwrap_or_default()
    }

    fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::NodeStarted { node, .. } => {
                self.nodes += 1;
                self.growing.insert(*node, 0);
            }
            Event::NodeText { node, .. } => *self.growing.entry(*node).or_default() += 1,
            Event::NodeDone { node, end: "prompt", .. } => {
                self.growing.remove(node);
            }
            Event::NodeDone { node, parent, tokens, end, answer, .. } => {
                self.growing.remove(node);
                self.tokens += tokens.len() as u64;
                self.paths.insert(*node, self.path_tokens(*parent) + tokens.len() as u64);
                if matches!(*end, "eog" | "answer") {
                    self.complete += 1;
                    self.answers_from(*answer);
                }
            }
            _ => {}
        }
    }

    fn answers_from(&mut self, answer: Option<&str>) {
        let Some(answer) = answer else { return };
        match self.answers.iter_mut().find(|(known, _)| known == answer) {
            Some((_, votes)) => *votes += 1,
            None => self.answers.push((answer.to_owned(), 1)),
        }
    }

    /// One line: the answer that leads, what was spent of what there is, the rate, and the time until something runs out.
    fn status(&self, elapsed: Duration) -> String {
        let tokens = self.tokens + self.growing.values().sum::<u64>();
        let rate = tokens as f64 / elapsed.as_secs_f64().max(1e-3);
        let most = self.answers.iter().map(|(_, votes)| *votes).max();
        let best = match self.answers.iter().find(|(_, votes)| Some(*votes) == most) {
            Some((answer, votes)) => format!("best {} ({votes} of {})", escape_line(answer), self.complete),
            None => "no answer yet".to_owned(),
        };
        let limit = self.tokens_limit.map_or_else(String::new, |limit| format!("/{limit}"));
        let (nodes, growing) = (self.nodes, self.growing.len());
        let mut status = format!("{best}  ·  {nodes} nodes, {growing} growing  ·  {tokens}{limit} tokens, {rate:.0}/s");
        let by_clock = self.wall_limit.map(|wall| wall.saturating_sub(elapsed).as_secs_f64());
        let by_tokens =
            self.tokens_limit.filter(|_| tokens > 0).map(|limit| limit.saturating_sub(tokens) as f64 / rate.max(1e-3));
        if let Some(left) = [by_clock, by_tokens].into_iter().flatten().reduce(f64::min) {
            status.push_str(&format!("  ·  at most {left:.0} s left"));
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done<'a>(node: u64, parent: u64, tokens: &'a [u32], end: &'a str, answer: Option<&'a str>) -> Event<'a> {
        Event::NodeDone {
            node,
            parent,
            text: "",
            tokens,
            logprob: 0.0,
            score: None,
            value: 0.0,
            end,
            answer,
            policy_tokens: 0,
            wall_ms: 0.0,
        }
    }

    #[test]
    fn the_status_counts_what_was_spent_and_what_leads() {
        let budget = Budget { tokens: Some(40), wall: Some(Duration::from_secs(60)), ..Budget::default() };
        let mut account = Account::new(&budget);
        assert!(account.status(Duration::ZERO).starts_with("no answer yet"), "{}", account.status(Duration::ZERO));
        for node in 1..=4 {
            account.count(&Event::NodeStarted { node, parent: 0, greedy: false });
        }
        account.count(&Event::NodeText { node: 4, text: "x" });
        account.count(&done(1, 0, &[7; 5], "step", Some("1")));
        account.count(&done(2, 1, &[7; 6], "answer", Some("9")));
        account.count(&done(3, 1, &[7; 8], "eog", Some("\u{1b}[2J")));
        assert_eq!((account.path_tokens(2), account.path_tokens(3)), (11, 13));
        let status = account.status(Duration::from_secs(10));
        assert_eq!(status, "best 9 (1 of 2)  ·  4 nodes, 1 growing  ·  20/40 tokens, 2/s  ·  at most 10 s left");
        account.count(&done(4, 0, &[7; 1], "eog", Some("\u{1b}[2J")));
        let status = account.status(Duration::from_secs(10));
        assert!(status.starts_with("best \\u{1b}[2J (2 of 3)"), "{status}");
    }
}
