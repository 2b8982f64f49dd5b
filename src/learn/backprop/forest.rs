//! Token sequences that share prefixes: what one training pass reads.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::text::TokenId;

/// Neighbouring rows of a pass whose tokens follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The segment that it goes on from.
    pub parent: Option<usize>,
    /// Its rows.
    pub rows: Range<usize>,
    /// Position of its first token.
    pub position: usize,
}

/// A token whose log-probability is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The row that predicts it.
    pub row: usize,
    /// The token.
    pub token: TokenId,
    /// The sequence that it counts towards.
    pub sequence: usize,
}

/// Prompts with their completions. Completions of one prompt share its rows, and those of the tokens that they all begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forest {
    tokens: Vec<TokenId>,
    segments: Vec<Segment>,
    targets: Vec<Target>,
    n_sequences: usize,
}

impl Forest {
    /// Adds a prompt and its completions, and returns the numbers of their sequences.
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty prompt, which predicts nothing, or an empty completion.
    pub fn add(&mut self, prompt: &[TokenId], completions: &[&[TokenId]]) -> Result<Range<usize>> {
        if prompt.is_empty() || completions.iter().any(|completion| completion.is_empty()) {
            return Err(Error::invalid("a prompt or a completion without tokens"));
        }
        let common = common_prefix(completions);
        let trunk = self.push(None, prompt.iter().chain(completions.first().map_or(&[][..], |c| &c[..common])), 0);
        let first = self.n_sequences;
        for completion in completions {
            // The last token predicts nothing that is asked for.
            let own = completion.get(common..completion.len() - 1).unwrap_or_default();
            let start = prompt.len() + common;
            let branch = (!own.is_empty()).then(|| self.push(Some(trunk), own.iter(), start));
            for (i, &token) in completion.iter().enumerate() {
                let at = prompt.len() + i - 1;
                let row = match branch {
                    Some(branch) if at >= start => self.segments[branch].rows.start + at - start,
                    _ => self.segments[trunk].rows.start + at,
                };
                self.targets.push(Target { row, token, sequence: self.n_sequences });
            }
            self.n_sequences += 1;
        }
        Ok(first..self.n_sequences)
    }

    /// Rows that a prompt with these completions would add.
    pub fn rows_of(prompt: &[TokenId], completions: &[&[TokenId]]) -> usize {
        let common = common_prefix(completions);
        let own = |completion: &&[TokenId]| (completion.len().saturating_sub(1)).saturating_sub(common);
        prompt.len() + common + completions.iter().map(own).sum::<usize>()
    }

    /// Tokens by row.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.tokens.len()
    }

    /// Segments; a parent comes before its children.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The tokens asked for, sequence by sequence.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Sequences.
    pub fn n_sequences(&self) -> usize {
        self.n_sequences
    }

    /// The rows before those of `segment` on its path, first to last.
    pub fn prefix(&self, segment: &Segment) -> Vec<Range<usize>> {
        let parent = |segment: &Segment| segment.parent.and_then(|parent| self.segments.get(parent));
        let mut rows: Vec<Range<usize>> = std::iter::successors(parent(segment), |segment| parent(segment))
            .map(|segment| segment.rows.clone())
            .collect();
        rows.reverse();
        rows
    }

    /// The position of every row.
    pub fn positions(&self) -> impl Iterator<Item = usize> + Clone {
        self.segments.iter().flat_map(|segment| segment.position..segment.position + segment.rows.len())
    }

    fn push<'a>(&mut self, parent: Option<usize>, tokens: impl Iterator<Item = &'a TokenId>, position: usize) -> usize {
        let first = self.tokens.len();
        self.tokens.extend(tokens);
        self.segments.push(Segment { parent, rows: first..self.tokens.len(), position });
        self.segments.len() - 1
    }
}

/// Tokens that all completions begin with.
fn common_prefix(completions: &[&[TokenId]]) -> usize {
    let Some((first, others)) = completions.split_first() else { return 0 };
    let shared = |other: &&[TokenId]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    others.iter().map(shared).min().unwrap_or(first.len()).min(first.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_share_what_they_begin_with() {
        let mut forest = Forest::default();
        assert_eq!(forest.add(&[1, 2], &[&[5, 6, 7], &[5, 8, 9, 10]]).unwrap(), 0..2);
        assert_eq!(forest.add(&[1], &[&[3]]).unwrap(), 2..3);
        assert_eq!(forest.tokens(), [1, 2, 5, 6, 8, 9, 1]);
        assert_eq!(forest.positions().collect::<Vec<_>>(), [0, 1, 2, 3, 3, 4, 0]);
        assert_eq!(forest.prefix(&forest.segments()[2]), vec![0usize..3; 1]);
        let of = |sequence| -> Vec<(usize, TokenId)> {
            forest.targets().iter().filter(|t| t.sequence == sequence).map(|t| (t.row, t.token)).collect()
        };
        assert_eq!(of(0), [(1, 5), (2, 6), (3, 7)]);
        assert_eq!(of(1), [(1, 5), (2, 8), (4, 9), (5, 10)]);
        assert_eq!(of(2), [(6, 3)]);
        assert_eq!(
            Forest::rows_of(&[1, 2], &[&[5, 6, 7], &[5, 8, 9, 10]]) + Forest::rows_of(&[1], &[&[3]]),
            forest.n_rows()
        );
    }

    #[test]
    fn equal_completions_and_one_inside_the_other_stay_apart() {
        let mut forest = Forest::default();
        forest.add(&[1], &[&[5, 6], &[5, 6]]).unwrap();
        forest.add(&[1], &[&[5], &[5, 6, 7]]).unwrap();
        for sequence in 0..4 {
            let targets: Vec<&Target> = forest.targets().iter().filter(|t| t.sequence == sequence).collect();
            assert_eq!(targets.len(), [2, 2, 1, 3][sequence]);
            let position = |row: usize| forest.positions().nth(row).unwrap();
            assert!(targets.iter().enumerate().all(|(i, t)| position(t.row) == i), "{forest:?}");
        }
        assert!(forest.add(&[], &[&[1]]).is_err() && forest.add(&[1], &[&[]]).is_err());
    }
}
