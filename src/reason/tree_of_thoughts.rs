//! Tree of Thoughts (Yao et al., NeurIPS 2023): the model proposes next steps, says which of them lead on, and the best are
//! followed, level by level or depth first.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::Desk;
use super::strategy::{Running, Steps};
use super::{Ask, Strategy, lines};
use crate::error::Result;
use crate::search::{Proposal, Traversal, Vote};

/// Steps proposed, valued and followed. The order and the number of steps come from
/// [`SearchParams::tree_of_thoughts`](crate::search::SearchParams::tree_of_thoughts).
#[derive(Debug, Clone)]
pub struct TreeOfThoughts {
    /// How thoughts get their values.
    pub valued_by: ValuedBy,
    /// Samples of each value, or votes of each level.
    pub samples: usize,
    /// Steps of a solution, at most; then the model is asked for the rest.
    pub depth: usize,
    /// Tokens of a proposal and of a value, at most.
    pub tokens: u64,
}

/// How thoughts get their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValuedBy {
    /// Each alone: sure, likely or impossible.
    Values,
    /// All of one level beside each other: the best one.
    Votes,
}

/// What a thought is worth that the model calls sure, likely and impossible, as published.
const VALUES: [(&str, f64); 3] = [("sure", 20.0), ("likely", 1.0), ("impossible", 0.001)];

impl TreeOfThoughts {
    /// As published for the game of 24: three samples of each value.
    pub const PUBLISHED: Self = Self { valued_by: ValuedBy::Values, samples: 3, depth: 6, tokens: 160 };
    /// As published for texts: five votes.
    pub const PUBLISHED_VOTES: Self = Self { valued_by: ValuedBy::Votes, samples: 5, ..Self::PUBLISHED };
}

impl Strategy for TreeOfThoughts {
    fn name(&self) -> &'static str {
        match self.valued_by {
            ValuedBy::Values => "tree-of-thoughts",
            ValuedBy::Votes => "tree-of-thoughts-votes",
        }
    }

    fn about(&self) -> &'static str {
        match self.valued_by {
            ValuedBy::Values => "Proposes steps, values each alone and follows the best (Yao et al. 2023)",
            ValuedBy::Votes => "Proposes steps, votes on which is best and follows it (Yao et al. 2023)",
        }
    }

    fn cost(&self) -> &'static str {
        match self.valued_by {
            ValuedBy::Values => {
                "on each of at most 6 levels 5 proposals and 3 values of each of their at most 25 steps"
            }
            ValuedBy::Votes => "on each of at most 6 levels 5 proposals and 5 votes",
        }
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for TreeOfThoughts {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(Grove { method: self, desk, values: BTreeMap::new() }.go())
    }

    fn vote(&self) -> Vote {
        Vote::Best
    }
}

/// Steps on the way to a solution, with what the last of them is worth.
#[derive(Clone)]
struct Path {
    steps: Vec<String>,
    value: f64,
}

struct Grove<'a> {
    method: &'a TreeOfThoughts,
    desk: Desk<'a>,
    /// What was said of a path: it is not asked twice.
    values: BTreeMap<String, f64>,
}

impl Grove<'_> {
    async fn go(mut self) -> Result<()> {
        let params = &self.desk.setting().params().tree_of_thoughts;
        match params.traversal {
            Traversal::Breadth { breadth } => self.breadth_first(breadth, params.candidates).await,
            Traversal::Depth { threshold, steps } => self.depth_first(threshold, steps, params.candidates).await,
        }
    }

    async fn breadth_first(&mut self, breadth: usize, candidates: usize) -> Result<()> {
        let mut level = vec![Path { steps: Vec::new(), value: 1.0 }];
        for _ in 0..self.method.depth {
            let next = self.grow(&level, candidates).await?;
            let (ended, mut open): (Vec<Path>, Vec<Path>) = next.into_iter().partition(Path::is_solution);
            ended.iter().for_each(|path| self.desk.put_forward(path.proposal()));
            open.sort_by(|a, b| b.value.total_cmp(&a.value));
            open.truncate(breadth);
            if open.is_empty() {
                // What there is has ended, or nothing could be proposed.
                level = if ended.is_empty() { level } else { Vec::new() };
                break;
            }
            level = open;
        }
        self.finish(&level).await
    }

    async fn depth_first(&mut self, threshold: f64, most: usize, candidates: usize) -> Result<()> {
        let wanted = self.desk.setting().params().n;
        let (mut stack, mut found) = (vec![Path { steps: Vec::new(), value: 1.0 }], 0);
        for _ in 0..most {
            let Some(path) = stack.pop() else { break };
            let mut next = self.grow(std::slice::from_ref(&path), candidates).await?;
            next.retain(|path| path.value >= threshold);
            // The best on top.
            next.sort_by(|a, b| a.value.total_cmp(&b.value));
            for path in next {
                if path.is_solution() {
                    self.desk.put_forward(path.proposal());
                    found += 1;
                } else if path.steps.len() >= self.method.depth {
                    self.finish(&[path]).await?;
                    found += 1;
                } else {
                    stack.push(path);
                }
            }
            if found >= wanted {
                return Ok(());
            }
        }
        let left: Vec<Path> = stack.pop().into_iter().filter(|_| found == 0).collect();
        self.finish(&left).await
    }

    /// The children of `paths` with their values; a path that two of them lead to counts once.
    async fn grow(&mut self, paths: &[Path], candidates: usize) -> Result<Vec<Path>> {
        let mut asks = Vec::new();
        for path in paths {
            let words = self
                .desk
                .setting()
                .words("thoughts-propose", &[("steps", &path.text()), ("n", &candidates.to_string())])?;
            asks.push(Ask::user(words).at_most(self.method.tokens));
        }
        let replies = self.desk.ask_all(asks).await?;
        let (mut children, mut seen) = (Vec::new(), BTreeSet::new());
        for (path, reply) in paths.iter().zip(&replies) {
            for step in lines::items(reply.text()).into_iter().take(candidates) {
                let child = Path { steps: [path.steps.clone(), vec![step]].concat(), value: 0.0 };
                if seen.insert(child.text()) {
                    children.push(child);
                }
            }
        }
        match self.method.valued_by {
            ValuedBy::Values => self.value(&mut children).await?,
            ValuedBy::Votes => self.poll(&mut children).await?,
        }
        Ok(children)
    }

    /// Values paths one by one, but all at the same time.
    async fn value(&mut self, paths: &mut [Path]) -> Result<()> {
        let new: BTreeSet<String> =
            paths.iter().map(Path::text).filter(|text| !self.values.contains_key(text)).collect();
        let samples = self.method.samples.max(1);
        let mut asks = Vec::new();
        for text in &new {
            let words = self.desk.setting().words("thoughts-value", &[("steps", text)])?;
            let ask = Ask::user(words).at_most(self.method.tokens);
            asks.extend(std::iter::repeat_n(ask, samples));
        }
        let replies = self.desk.ask_all(asks).await?;
        let names = VALUES.map(|(name, _)| name);
        let most = VALUES.iter().map(|(_, value)| *value).fold(0.0, f64::max) * samples as f64;
        for (text, said) in new.into_iter().zip(replies.chunks(samples)) {
            let verdicts = said.iter().filter_map(|reply| lines::last_word(reply.text(), &names));
            let sum: f64 = verdicts.filter_map(|index| VALUES.get(index)).map(|(_, value)| value).sum();
            self.values.insert(text, sum / most);
        }
        for path in paths {
            path.value = self.values.get(&path.text()).copied().unwrap_or_default();
        }
        Ok(())
    }

    /// Lets the model vote for the best of `paths`.
    async fn poll(&mut self, paths: &mut [Path]) -> Result<()> {
        let listed: String =
            paths.iter().enumerate().map(|(i, path)| format!("Choice {}:\n{}\n\n", i + 1, path.text())).collect();
        if paths.len() > 1 {
            let words = self.desk.setting().words("thoughts-vote", &[("choices", &listed)])?;
            let samples = self.method.samples.max(1);
            let replies = self.desk.samples(&Ask::user(words).at_most(self.method.tokens), samples).await?;
            let votes = replies.iter().filter_map(|reply| lines::last_number(reply.text()));
            for vote in votes {
                if let Some(path) = vote.checked_sub(1).and_then(|index| paths.get_mut(index)) {
                    path.value += 1.0 / samples as f64;
                }
            }
        } else if let [path] = paths {
            path.value = 1.0;
        }
        Ok(())
    }

    /// Asks for the rest of each path.
    async fn finish(&self, paths: &[Path]) -> Result<()> {
        let mut asks = Vec::new();
        for path in paths {
            let words = self.desk.setting().words("thoughts-finish", &[("steps", &path.text())])?;
            asks.push(Ask::user(words).solution());
        }
        let replies = self.desk.ask_all(asks).await?;
        for (path, reply) in paths.iter().zip(&replies) {
            let text = format!("{}{}", path.text(), reply.text());
            self.desk.put_forward(Proposal { text, weight: path.value, ..reply.proposal() });
        }
        Ok(())
    }
}

impl Path {
    fn text(&self) -> String {
        self.steps.iter().map(|step| format!("{step}\n")).collect()
    }

    /// Whether the last step says the answer.
    fn is_solution(&self) -> bool {
        let last = self.steps.last().map(String::as_str).unwrap_or_default();
        crate::reward::answer::extract(last).is_some_and(|found| found.marked)
    }

    fn proposal(&self) -> Proposal {
        Proposal { text: self.text(), answer: None, weight: self.value, complete: true }
    }
}
