//! Branches shown as they grow: live lines on a terminal, one plain line each when done.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use ruminate::observe::{Event, Observer};

use crate::exit::Failure;
use crate::output::{Output, Style, escape_line};

/// Characters of a growing branch that its live line shows.
const TAIL: usize = 72;

/// Watches a search for [`Output`].
pub struct Watch<'a> {
    output: &'a Output,
    lines: MultiProgress,
    growing: BTreeMap<usize, Growing>,
    failure: Option<Failure>,
}

struct Growing {
    line: ProgressBar,
    tail: String,
}

impl<'a> Watch<'a> {
    pub fn new(output: &'a Output) -> Self {
        let target = if output.live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        Self { output, lines, growing: BTreeMap::new(), failure: None }
    }

    /// Takes the live lines away, and tells whether everything could be printed.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.growing.values().for_each(|g| g.line.finish_and_clear());
        self.failure.take().map_or(Ok(()), Err)
    }

    fn grow(&mut self, branch: usize, text: &str) {
        let lines = &self.lines;
        let growing = self.growing.entry(branch).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:>3} {wide_msg}");
            let line = ProgressBar::new_spinner().with_prefix(branch.to_string());
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            Growing { line: lines.add(line), tail: String::new() }
        });
        growing.tail.push_str(text);
        let excess = growing.tail.chars().count().saturating_sub(TAIL);
        growing.tail = growing.tail.chars().skip(excess).collect();
        growing.line.set_message(escape_line(&growing.tail));
        growing.line.tick();
    }

    fn done(&mut self, branch: usize, answer: Option<&str>, tokens: usize) {
        if let Some(growing) = self.growing.remove(&branch) {
            growing.line.finish_and_clear();
        }
        if self.output.json || self.output.quiet {
            return;
        }
        let shown = answer.map_or_else(|| "no answer".to_owned(), escape_line);
        let tokens = format!("({tokens} tokens)");
        let line = format!("branch {branch:>3}  {shown}  {}", self.output.paint(Style::Dim, &tokens));
        let printed = self.lines.suspend(|| self.output.line(&line));
        self.failure = self.failure.take().or(printed.err());
    }
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::BranchText { branch, text } if self.output.live => self.grow(*branch, text),
            Event::BranchDone { branch, answer, tokens } => self.done(*branch, *answer, *tokens),
            _ => {}
        }
    }
}
