//! Chooses by what the question's first samples look like (Snell et al., arXiv 2408.03314, section 5: easy questions gain
//! from votes, hard ones from a search that a verifier leads).
//!
//! A few samples first. If they agree the question is easy and the answer is there. If not, the rest of the samples is spent:
//! without a judge on more votes; with a judge on votes weighed by it, or, where hardly two samples agreed, on a diverse
//! tree search. All finished texts vote in the end, those of the first samples with them.

use super::best_of_n::BestOfN;
use super::dvts::Dvts;
use super::rounds::Rounded;
use super::{Algorithm, Extend, Verdict, verdict};
use crate::search::SearchParams;
use crate::search::tree::{NodeId, Tree};
use crate::search::vote::{EarlyStop, Tally, Vote};

/// Samples before the choice: four equal answers decide Adaptive-Consistency's test at 0.95.
const PROBES: usize = 4;
/// Below this share of the first samples, the most frequent answer is no guide.
const AGREEMENT: f64 = 0.5;

pub(super) struct Auto {
    params: SearchParams,
    judged: bool,
    vote: Vote,
    probes: BestOfN,
    rest: Option<Box<dyn Algorithm>>,
    easy: bool,
}

impl Auto {
    pub fn new(params: &SearchParams, judged: bool, vote: Vote) -> Self {
        let probes = SearchParams { n: params.n.min(PROBES), early_stop: EarlyStop::Never, ..params.clone() };
        Self { probes: BestOfN::new(&probes, vote), params: params.clone(), judged, vote, rest: None, easy: false }
    }

    /// Chooses, once the first samples are in.
    fn choose(&mut self, tree: &Tree) {
        let mut tally = Tally::default();
        for node in tree.leaves() {
            tally.cast(verdict::ballot(tree, node), node, tree.value(node));
        }
        let left = self.params.n.saturating_sub(PROBES);
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
        match &mut self.rest {
            Some(rest) => rest.tell(tree, node),
            None => self.probes.tell(tree, node),
        }
    }

    fn is_done(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| self.easy || rest.is_done())
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        Verdict::of(tree, &tree.leaves(), self.vote, &|node| tree.value(node))
    }
}
