//! Reads a trace back. Its bytes are hostile: lengths and counts are capped, and a record that contradicts an earlier one is
//! an error.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufRead, Read, Take};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{ErrorRecord, FORMAT, Header, OutcomeRecord};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// What a search did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trace {
    /// What was asked, of which model, and how.
    pub header: Header,
    /// The tree by number, each parent before its children.
    pub nodes: Vec<Node>,
    /// What a method learned from elsewhere than the model, as far as the trace tells; see
    /// [`Outcome::journal`](crate::search::Outcome::journal).
    pub journal: String,
    /// How the search ended; `None` while it runs, and when it failed or was killed.
    pub outcome: Option<OutcomeRecord>,
    /// Why the search failed.
    pub error: Option<ErrorRecord>,
    /// Whether the last line broke off; it was left out.
    pub broke_off: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// From 1 in the order of creation.
    pub number: u64,
    /// The node that it goes on from; 0 is the prompt.
    pub parent: u64,
    /// It took the most likely tokens instead of drawing them.
    pub greedy: bool,
    /// When it started, in milliseconds since the trace was opened.
    pub started_ms: f64,
    /// Its text as far as the trace tells.
    pub text: String,
    /// What became of it.
    pub done: Option<Done>,
    /// When it was pruned.
    pub closed_ms: Option<f64>,
}

/// What became of a node; see [`Event::NodeDone`](crate::observe::Event::NodeDone).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Done {
    /// When it stopped growing, in milliseconds since the trace was opened.
    pub ms: f64,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Sum of its tokens' log-probabilities; `None` if that is no number.
    pub logprob: Option<f64>,
    /// What a judge made of it.
    pub score: Option<f32>,
    /// Why it stopped.
    pub end: String,
    /// The answer found in the text from the prompt's end to here.
    pub answer: Option<String>,
    /// Tokens that the whole search had drawn by then.
    pub policy_tokens: u64,
    /// Milliseconds that the whole search had taken by then.
    pub wall_ms: f64,
}

impl Trace {
    /// Reads a whole trace. A last line that broke off is left out, since a search may have been killed. Errors are of kind
    /// [`Io`](crate::ErrorKind::Io), [`Format`](crate::ErrorKind::Format) with the line's number, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a newer format.
    pub fn read(from: impl BufRead, limits: &Limits) -> Result<Self> {
        let from = from.take(limits.trace_bytes.saturating_add(1));
        let mut lines = Lines { from, left: limits.trace_bytes, line: Vec::new() };
        let first = lines.next(limits)?.ok_or_else(|| Error::format("the trace is empty"))?;
        let mut reader = Reader { trace: Self::open(first)?, places: HashMap::new(), cap: limits.trace_nodes };
        let mut number = 1;
        while let Some(line) = lines.next(limits)? {
            number += 1;
            match reader.record(line.bytes) {
                Ok(()) => {}
                Err(_) if !line.whole => reader.trace.broke_off = true,
                Err(error) => return Err(error.context(format!("line {number} of the trace"))),
            }
        }
        let mut trace = reader.trace;
        trace.nodes.sort_by_key(|node| node.number);
        Ok(trace)
    }

    /// The node of that number.
    pub fn node(&self, number: u64) -> Option<&Node> {
        self.nodes.binary_search_by_key(&number, |node| node.number).ok().and_then(|at| self.nodes.get(at))
    }

    /// `node` and everything above it, upwards.
    pub fn ancestry<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        // Parents have lower numbers, so this ends.
        std::iter::successors(Some(node), |node| self.node(node.parent))
    }

    fn open(line: Line<'_>) -> Result<Self> {
        let event = event(line.bytes).map_err(|e| e.context("this is no trace"))?;
        if event != "header" {
            return Err(Error::format(format!("this is no trace: it begins with {event:?} instead of its header")));
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = parse(line.bytes)?;
        if !(1..=FORMAT).contains(&format) {
            let message = format!("the trace has format {format}; this version reads 1 to {FORMAT}");
            return Err(Error::unsupported(message));
        }
        let header = parse(line.bytes).map_err(|e| e.context("the header of the trace"))?;
        Ok(Self { header, nodes: Vec::new(), journal: String::new(), outcome: None, error: None, broke_off: false })
    }
}

struct Reader {
    trace: Trace,
    /// Where each number stands.
    places: HashMap<u64, usize>,
    cap: usize,
}

impl Reader {
    fn record(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match event(bytes)?.as_ref() {
            "header" => Err(Error::format("a second header")),
            "node_started" => self.started(bytes),
            "node_text" => self.text(bytes),
            "node_done" => self.done(bytes),
            "node_closed" => self.closed(bytes),
            "learned" => {
                #[derive(Deserialize)]
                struct Learned {
                    journal: String,
                }
                let Learned { journal } = parse(bytes)?;
                self.trace.journal = journal;
                Ok(())
            }
            "outcome" => {
                let outcome: OutcomeRecord = parse(bytes)?;
                time(outcome.ms)?;
                self.trace.journal.clone_from(&outcome.journal);
                self.trace.outcome = Some(outcome);
                Ok(())
            }
            "error" => {
                self.trace.error = Some(parse(bytes)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn started(&mut self, bytes: &[u8]) -> Result<()> {
        #[derive(Deserialize)]
        struct Started {
            node: u64,
            parent: u64,
            #[serde(default)]
            greedy: bool,
            ms: f64,
        }
        let Started { node, parent, greedy, ms } = parse(bytes)?;
        if self.places.contains_key(&node) {
            return Err(Error::format(format!("node {node} starts a second time")));
        }
        self.add(node, parent, ms)?.greedy = greedy;
        Ok(())
    }

    fn text(&mut self, bytes: &[u8]) -> Result<()> {
        #[derive(Deserialize)]
        struct Text<'a> {
            node: u64,
            #[serde(borrow)]
            text: Cow<'a, str>,
        }
        let Text { node, text } = parse_borrowed(bytes)?;
        let node = self.known(node)?;
        if node.done.is_some() {
            return Err(Error::format(format!("node {} grows after it was done", node.number)));
        }
        node.text.push_str(&text);
        Ok(())
    }

    fn done(&mut self, bytes: &[u8]) -> Result<()> {
        #[derive(Deserialize)]
        struct Place {
            node: u64,
            #[serde(default)]
            parent: u64,
            #[serde(default)]
            text: String,
        }
        let Place { node: number, parent, text } = parse(bytes)?;
        let done: Done = parse(bytes)?;
        time(done.ms)?;
        time(done.wall_ms)?;
        let node = match self.places.contains_key(&number) {
            true => self.known(number)?,
            false => self.add(number, parent, done.ms)?,
        };
        if node.done.is_some() {
            return Err(Error::format(format!("node {number} is done a second time")));
        }
        if node.parent != parent {
            return Err(Error::format(format!("node {number} started under {} and ends under {parent}", node.parent)));
        }
        (node.text, node.done) = (text, Some(done));
        Ok(())
    }

    fn closed(&mut self, bytes: &[u8]) -> Result<()> {
        #[derive(Deserialize)]
        struct Closed {
            node: u64,
            ms: f64,
        }
        let Closed { node, ms } = parse(bytes)?;
        time(ms)?;
        // The prompt itself can be closed too.
        if node != 0 {
            self.known(node)?.closed_ms.get_or_insert(ms);
        }
        Ok(())
    }

    fn known(&mut self, number: u64) -> Result<&mut Node> {
        let place = self.places.get(&number).copied();
        place
            .and_then(|place| self.trace.nodes.get_mut(place))
            .ok_or_else(|| Error::format(format!("node {number} never started")))
    }

    fn add(&mut self, number: u64, parent: u64, started_ms: f64) -> Result<&mut Node> {
        time(started_ms)?;
        // What a search has of them, and what the page's numbers hold exactly.
        if number > u64::from(u32::MAX) {
            return Err(Error::format(format!("the node number {number} is too large")));
        }
        if number == 0 || parent >= number || (parent != 0 && !self.places.contains_key(&parent)) {
            return Err(Error::format(format!("node {number} goes on from node {parent}, which is not above it")));
        }
        if self.trace.nodes.len() >= self.cap {
            return Err(Error::format(format!("more than {} nodes", self.cap)));
        }
        self.places.insert(number, self.trace.nodes.len());
        let text = String::new();
        self.trace.nodes.push(Node { number, parent, greedy: false, started_ms, text, done: None, closed_ms: None });
        self.known(number)
    }
}

/// Lines of a capped file.
struct Lines<R> {
    from: Take<R>,
    left: u64,
    line: Vec<u8>,
}

struct Line<'a> {
    bytes: &'a [u8],
    /// It ends with a line feed.
    whole: bool,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self, limits: &Limits) -> Result<Option<Line<'_>>> {
        self.line.clear();
        let cap = limits.trace_line_bytes;
        let read = self.from.by_ref().take(cap.saturating_add(1)).read_until(b'\n', &mut self.line);
        let read = read.map_err(|e| Error::io("reading the trace", e))? as u64;
        let whole = self.line.last() == Some(&b'\n');
        if !whole && read > cap {
            return Err(Error::format(format!("a line of the trace is longer than {cap} bytes")));
        }
        self.left = self
            .left
            .checked_sub(read)
            .ok_or_else(|| Error::format(format!("the trace is longer than {} bytes", limits.trace_bytes)))?;
        Ok((read > 0).then_some(Line { bytes: &self.line, whole }))
    }
}

/// The name of a record.
fn event(bytes: &[u8]) -> Result<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        event: Cow<'a, str>,
    }
    parse_borrowed::<Named<'_>>(bytes).map(|named| named.event)
}

/// Records are read straight into their types: what a line can make us hold is a small multiple of its length.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::format(format!("{e}")))
}

fn parse_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::format(format!("{e}")))
}

fn time(ms: f64) -> Result<()> {
    // A thousand years; more would overflow the nanoseconds of other formats.
    match ms {
        0.0..=3.2e13 => Ok(()),
        _ => Err(Error::format(format!("{ms} milliseconds since the start"))),
    }
}
