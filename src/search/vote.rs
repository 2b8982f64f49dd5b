//! Votes over classes of equal answers, and when enough have been cast.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::node::NodeId;
use crate::error::{Error, Result};

/// When sampling ends before all `n` samples are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EarlyStop {
    /// Never.
    Never,
    /// Adaptive-Consistency (Aggarwal et al., EMNLP 2023): when the leader's share of the two most frequent answers is
    /// above one half with at least this probability, under a uniform prior. In (0.5, 1); published with 0.95.
    Beta(f64),
    /// Early-stopping self-consistency (Li et al., ICLR 2024): when the answers of one window of that many consecutive
    /// samples are all equal. At least 2; published with 5.
    Window(usize),
}

/// How votes become one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Vote {
    /// The answer with the most votes; of equals, the one with the best text.
    Majority,
    /// The answer whose texts' values add up to the most (Li et al., "Making language models better reasoners with
    /// step-aware verifier", ACL 2023).
    Weighted,
    /// The answer of the text with the best value.
    Best,
}

impl Vote {
    /// Every way to vote.
    pub const ALL: [Self; 3] = [Self::Majority, Self::Weighted, Self::Best];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Weighted => "weighted",
            Self::Best => "best",
        }
    }

    /// The vote of that name; the error lists all of them.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|vote| vote.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("no vote is called {name:?}; there are: {known}"))
        })
    }
}

/// One class of equal answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Class<T = NodeId> {
    pub answer: Answer,
    pub votes: usize,
    /// The sum of its samples' values.
    pub weight: f64,
    /// Its best sample and that sample's value.
    pub best: T,
    pub score: f64,
}

/// Votes cast, in the order of the samples, each known as a `T`.
#[derive(Debug)]
pub(super) struct Tally<T = NodeId> {
    classes: Vec<Class<T>>,
    /// The class of each sample; `None` for a sample without a vote.
    ballots: Vec<Option<usize>>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self { classes: Vec::new(), ballots: Vec::new() }
    }
}

impl<T: Copy> Tally<T> {
    /// The next sample votes for `answer`, or for nothing.
    pub fn cast(&mut self, answer: Option<Answer>, node: T, score: f64) {
        let class = answer.map(|answer| {
            let at = self.classes.iter().position(|c| c.answer == answer).unwrap_or(self.classes.len());
            match self.classes.get_mut(at) {
                Some(class) => {
                    class.votes += 1;
                    class.weight += score;
                    if score > class.score {
                        (class.best, class.score) = (node, score);
                    }
                }
                None => self.classes.push(Class { answer, votes: 1, weight: score, best: node, score }),
            }
            at
        });
        self.ballots.push(class);
    }

    /// The classes: best first by `vote`, then by their best sample, then the earliest.
    pub fn ranking(&self, vote: Vote) -> Vec<Class<T>> {
        let mut ranking = self.classes.clone();
        let rank = |class: &Class<T>| match vote {
            Vote::Majority => class.votes as f64,
            Vote::Weighted => class.weight,
            Vote::Best => class.score,
        };
        ranking.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then(b.score.total_cmp(&a.score)));
        ranking
    }

    /// Whether `left` more votes could not change the majority.
    pub fn is_settled(&self, left: usize) -> bool {
        let mut votes: Vec<usize> = self.classes.iter().map(|class| class.votes).collect();
        votes.sort_unstable_by(|a, b| b.cmp(a));
        match votes.as_slice() {
            [] => false,
            // With equal votes the better text would win.
            [first, rest @ ..] => *first > rest.first().copied().unwrap_or(0).saturating_add(left),
        }
    }

    /// Whether `rule` calls for no further sample.
    pub fn is_decided(&self, rule: &EarlyStop) -> bool {
        match *rule {
            EarlyStop::Never => false,
            EarlyStop::Beta(confidence) => {
                let mut votes: Vec<usize> = self.classes.iter().map(|c| c.votes).collect();
                votes.sort_unstable_by(|a, b| b.cmp(a));
                match votes.as_slice() {
                    [] => false,
                    [first, rest @ ..] => lead_probability(*first, rest.first().copied().unwrap_or(0)) >= confidence,
                }
            }
            EarlyStop::Window(size) => self.ballots.chunks_exact(size.max(2)).any(|window| {
                window.first().is_some_and(|first| first.is_some() && window.iter().all(|ballot| ballot == first))
            }),
        }
    }
}

/// P(X > 1/2) for X ~ Beta(a + 1, b + 1), which for whole numbers is a binomial tail: the sum of C(n, j) / 2^n over
/// j <= a with n = a + b + 1. The terms are taken relative to the middle one, so that none overflows.
fn lead_probability(a: usize, b: usize) -> f64 {
    let n = a + b + 1;
    let middle = n / 2;
    let (mut below, mut all) = (0.0, 0.0);
    let mut add = |j: usize, term: f64| {
        all += term;
        if j <= a {
            below += term;
        }
    };
    let mut term = 1.0;
    for j in middle..=n {
        add(j, term);
        term *= (n - j) as f64 / (j + 1) as f64;
    }
    let mut term = 1.0;
    for j in (0..middle).rev() {
        term *= (j + 1) as f64 / (n - j) as f64;
        add(j, term);
    }
    below / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::Aggregation;
    use crate::search::tree::Tree;

    // Golden: exact fractions in Python, sum(comb(a+b+1, j) for j <= a) / 2**(a+b+1).
    #[test]
    fn the_beta_tail_is_exact() {
        for (a, b, expected) in [
            (3, 0, 0.9375),
            (4, 0, 0.96875),
            (5, 1, 0.9375),
            (6, 1, 0.96484375),
            (7, 2, 0.9453125),
            (20, 10, 0.9646222270093858),
            (40, 39, 0.5444639393869536),
            (600, 580, 0.7196994004293322),
            (1200, 1100, 0.9814627968307257),
        ] {
            assert!((lead_probability(a, b) - expected).abs() < 1e-12, "{a} {b}: {}", lead_probability(a, b));
        }
        assert!((lead_probability(4, 4) - 0.5).abs() < 1e-15);
    }

    fn tally(answers: &str) -> Tally {
        let mut tree = Tree::new(0, Aggregation::Last);
        let mut tally = Tally::default();
        for (i, c) in answers.chars().enumerate() {
            let node = tree.add(tree.root());
            tally.cast(Answer::parse(&c.to_string()).filter(|_| c != '-'), node, 1.0 / (i + 1) as f64);
        }
        tally
    }

    #[test]
    fn adaptive_consistency_stops_after_four_equal_answers_and_waits_longer_after_a_dissent() {
        let rule = EarlyStop::Beta(0.95);
        for (answers, decided) in [
            ("", false),
            ("777", false),
            ("7777", true),
            ("17777", false),
            ("177777", false),
            ("1777777", true),
            ("--7777", true),
        ] {
            assert_eq!(tally(answers).is_decided(&rule), decided, "{answers}");
        }
    }

    #[test]
    fn a_majority_is_settled_when_all_that_may_come_could_not_reach_it() {
        for (answers, left, settled) in
            [("", 0, false), ("7", 0, true), ("7", 1, false), ("777", 2, true), ("771", 1, false), ("7771", 1, true)]
        {
            assert_eq!(tally(answers).is_settled(left), settled, "{answers} {left}");
        }
    }

    #[test]
    fn a_window_counts_only_when_it_is_full_and_unanimous() {
        let rule = EarlyStop::Window(3);
        for (answers, decided) in
            [("77", false), ("777", true), ("1777", false), ("12777", false), ("123777", true), ("---", false)]
        {
            assert_eq!(tally(answers).is_decided(&rule), decided, "{answers}");
        }
    }

    #[test]
    fn equal_votes_go_to_the_more_confident_then_to_the_earlier() {
        let ranking = tally("2112-3").ranking(Vote::Majority);
        let order: Vec<_> = ranking.iter().map(|c| (c.answer.text(), c.votes)).collect();
        assert_eq!(order, [("2", 2), ("1", 2), ("3", 1)]);
        let mut tree = Tree::new(0, Aggregation::Last);
        let mut tie = Tally::default();
        for answer in ["5", "6"] {
            let node = tree.add(tree.root());
            tie.cast(Answer::parse(answer), node, 0.5);
        }
        assert_eq!(tie.ranking(Vote::Majority)[0].answer.text(), "5");
        let node = tree.add(tree.root());
        tie.cast(Answer::parse("6.0"), node, 0.9);
        assert_eq!((tie.ranking(Vote::Majority)[0].votes, tie.ranking(Vote::Majority)[0].best), (2, node));
    }

    #[test]
    fn weights_and_the_best_sample_can_outvote_a_majority() {
        let mut tree = Tree::new(0, Aggregation::Last);
        let mut tally = Tally::default();
        for (answer, score) in [("5", 0.2), ("5", 0.2), ("5", 0.2), ("6", 0.4), ("6", 0.3), ("7", 0.65)] {
            let node = tree.add(tree.root());
            tally.cast(Answer::parse(answer), node, score);
        }
        let first = |vote| tally.ranking(vote)[0].answer.text().to_owned();
        assert_eq!(Vote::ALL.map(first), ["5", "6", "7"]);
        assert_eq!(Vote::by_name("weighted").unwrap(), Vote::Weighted);
        assert!(Vote::by_name("loud").unwrap_err().to_string().contains("majority, weighted, best"));
    }
}
