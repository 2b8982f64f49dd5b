//! Chooses by what the question's first samples look like (Snell et al., arXiv 2408.03314, section 5: easy questions gain
//! from votes, hard ones from a search that a verifier leads).
//!
//! A few samples first. If they agree the question is easy and the answer is there. If not, as many samples follow as the budget
//! covers, judged by what the first ones took in tokens and time on this device at its free width:
//! without a judge on more votes; with a judge on votes weighed by it, or, where hardly two samples agreed, on a diverse
//! tree search. All finished texts vote in the end, those of the first samples with them.

use super::best_of_n::BestOfN;
use super::dvts::Dvts;
use super::rounds::Rounded;
use super::{Algorithm, Extend, Verdict, verdict};
use crate::error::{Error, Result};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;
use crate::search::vote::{EarlyStop, Tally, Vote};

/// Samples before the choice: four equal answers decide Adaptive-Consistency's test at 0.95.
const PROBES: usize = 4;
/// Below this share of the first samples, the most frequent answer is no guide.
const AGREEMENT: f64 = 0.5;

pub(super) struct Auto {
    params: SearchParams,
    judged: bool,
    vote: Vote,
    /// Branches that the device decodes at the price of one.
    width: usize,
    probes: BestOfN,
    /// All that it was told of, in that order: what merely ran at the same time does not count.
    told: Vec<NodeId>,
    rest: Option<Box<dyn Algorithm>>,
    easy: bool,
    /// Samples behind the first ones. It depends on how long those took, so it is kept for a run that is to be the same.
    left: Option<usize>,
    /// Nobody was told of that choice yet.
    news: bool,
}

impl Auto {
    pub fn new(params: &SearchParams, judged: bool, vote: Vote, width: usize) -> Self {
        let probes = SearchParams { n: params.n.min(PROBES), early_stop: EarlyStop::Never, ..params.clone() };
        Self {
            probes: BestOfN::new(&probes, vote),
            params: params.clone(),
            judged,
            vote,
            width,
            told: Vec::new(),
            rest: None,
            easy: false,
            left: None,
            news: false,
        }
    }

    /// Samples that the rest of the budget covers, if they are like the first ones.
    fn affordable(&self, tree: &Tree) -> usize {
        let probes = &self.told;
        let drawn: u64 = probes.iter().map(|&probe| tree.drawn(probe)).sum();
        let mean = (drawn as f64 / probes.len().max(1) as f64).max(1.0);
        let by_tokens =
            self.params.budget.tokens.map_or(f64::INFINITY, |tokens| tokens.saturating_sub(drawn) as f64 / mean);
        // The first samples were one wave of the batch; a wave may be as wide as the free width at about that price.
        let wave_ms = probes.iter().map(|&probe| tree.node(probe).wall_ms).fold(1e-3, f64::max);
        let by_time = self.params.budget.wall.map_or(f64::INFINITY, |wall| {
            ((wall.as_secs_f64() * 1e3 - wave_ms) / wave_ms).max(0.0) * self.width.max(PROBES) as f64
        });
        // As many as `usize` holds, for no limit.
        by_tokens.min(by_time) as usize
    }

    /// Chooses, once the first samples are in.
    fn choose(&mut self, tree: &Tree) {
        let mut tally = Tally::default();
        for &node in &self.told {
            tally.cast(verdict::ballot(tree, node), node, tree.value(node));
        }
        let most = self.params.n.saturating_sub(PROBES);
        let left = self.left.unwrap_or_else(|| self.affordable(tree)).min(most);
        (self.left, self.news) = (Some(left), true);
        self.easy = tally.is_decided(&EarlyStop::Beta(0.95)) || left == 0;
        let agreement = tally.ranking(Vote::Majority).first().map_or(0.0, |class| class.votes as f64) / PROBES as f64;
        let params = SearchParams { n: left.max(1), ..self.params.clone() };
        self.rest = Some(if self.judged && agreement < AGREEMENT && left >= params.beam_width {
            Rounded::boxed(Dvts::new(&params), self.vote)
        } else {
            Box::new(BestOfN::new(&params, self.vote))
        });
    }
}

impl Algorithm for Auto {
    fn ask(&mut self, tree: &mut Tree) -> Option<Extend> {
        if let Some(rest) = &mut self.rest {
            return if self.easy { None } else { rest.ask(tree) };
        }
        if self.probes.is_done() {
            self.choose(tree);
            return self.ask(tree);
        }
        self.probes.ask(tree)
    }

    fn tell(&mut self, tree: &mut Tree, node: NodeId) {
        self.told.push(node);
        match &mut self.rest {
            Some(rest) => rest.tell(tree, node),
            None => self.probes.tell(tree, node),
        }
    }

    fn is_done(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| self.easy || rest.is_done())
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        let leaves: Vec<NodeId> = self.told.iter().copied().filter(|&node| tree.node(node).children == 0).collect();
        Verdict::of(tree, &leaves, self.vote, &|node| tree.value(node))
    }

    fn journal(&self) -> String {
        self.left.map(|left| left.to_string()).unwrap_or_default()
    }

    fn news(&mut self) -> Option<String> {
        std::mem::take(&mut self.news).then(|| self.journal())
    }

    fn recall(&mut self, journal: &str) -> Result<()> {
        if !journal.is_empty() {
            let left = journal.parse().map_err(|_| Error::format("the journal is not that of a search by auto"))?;
            self.left = Some(left);
        }
        Ok(())
    }
}
