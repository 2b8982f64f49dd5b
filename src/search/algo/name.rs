//! Algorithms by name.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use super::auto::Auto;
use super::beam::Beam;
use super::best_of_n::BestOfN;
use super::budget_forcing::BudgetForcing;
use super::deep_conf::DeepConf;
use super::dvts::Dvts;
use super::greedy::Greedy;
use super::lookahead::Lookahead;
use super::mcts::Mcts;
use super::particle_filter::ParticleFilter;
use super::rebase::Rebase;
use super::rounds::Rounded;
use super::speculative_rejection::SpeculativeRejection;
use super::tree_of_thoughts::TreeOfThoughts;
use crate::error::{Error, Result};
use crate::search::{SearchParams, Vote};

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algo {
    /// One text, the most likely token each time.
    Greedy,
    /// Independent samples and a vote over their answers.
    BestOfN,
    /// Independent samples and a majority vote, whatever a judge says (Wang et al., ICLR 2023).
    SelfConsistency,
    /// Step-wise beam search by the judge's values (Snell et al., arXiv 2408.03314).
    Beam,
    /// Diverse verifier tree search: beams in subtrees that do not compete (Beeching et al., 2024).
    Dvts,
    /// Beam search whose steps are valued by where a greedy rollout leads (Snell et al.).
    Lookahead,
    /// Reward-balanced search: children in proportion to a softmax of values (Wu et al., arXiv 2408.00724).
    Rebase,
    /// Monte-Carlo tree search over steps.
    Mcts,
    /// Tree of Thoughts, breadth-first or depth-first (Yao et al., NeurIPS 2023).
    TreeOfThoughts,
    /// Particle filtering: steps resampled by their values (Puri et al., arXiv 2502.01618).
    ParticleFilter,
    /// Many samples, the worse half of which is dropped again and again (Sun et al., NeurIPS 2024).
    SpeculativeRejection,
    /// One line of thought held to a length (Muennighoff et al., arXiv 2501.19393).
    BudgetForcing,
    /// Samples that end early when the model becomes unsure, and a vote by confidence (Fu et al., arXiv 2508.15260).
    DeepConf,
    /// Looks at the question's first samples and chooses.
    Auto,
}

const NAMES: [(Algo, &str); 14] = [
    (Algo::Greedy, "greedy"),
    (Algo::BestOfN, "best-of-n"),
    (Algo::SelfConsistency, "self-consistency"),
    (Algo::Beam, "beam"),
    (Algo::Dvts, "dvts"),
    (Algo::Lookahead, "lookahead"),
    (Algo::Rebase, "rebase"),
    (Algo::Mcts, "mcts"),
    (Algo::TreeOfThoughts, "tree-of-thoughts"),
    (Algo::ParticleFilter, "particle-filter"),
    (Algo::SpeculativeRejection, "speculative-rejection"),
    (Algo::BudgetForcing, "budget-forcing"),
    (Algo::DeepConf, "deep-conf"),
    (Algo::Auto, "auto"),
];

impl Algo {
    /// Every algorithm.
    pub const ALL: [Self; NAMES.len()] = {
        let mut all = [Self::Greedy; NAMES.len()];
        let mut i = 0;
        while i < NAMES.len() {
            all[i] = NAMES[i].0;
            i += 1;
        }
        all
    };

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(algo, _)| *algo == self).map_or("", |(_, name)| name)
    }

    /// The algorithm of that name; the error lists all of them.
    pub fn by_name(name: &str) -> Result<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(algo, _)| *algo).ok_or_else(|| {
            let known = NAMES.map(|(_, name)| name).join(", ");
            Error::invalid(format!("no search algorithm is called {name:?}; there are: {known}"))
        })
    }

    pub(in crate::search) fn start(self, params: &SearchParams, judged: bool, width: usize) -> Box<dyn Algorithm> {
        // DeepConf's own confidence is what its votes count.
        let weighted = judged || self == Self::DeepConf;
        let vote = params.vote.unwrap_or(if weighted { Vote::Weighted } else { Vote::Majority });
        match self {
            Self::Greedy => Box::new(Greedy::default()),
            Self::BestOfN => Box::new(BestOfN::new(params, vote)),
            Self::SelfConsistency => Box::new(BestOfN::new(params, Vote::Majority)),
            Self::Beam => Rounded::boxed(Beam::new(params), vote),
            Self::Dvts => Rounded::boxed(Dvts::new(params), vote),
            Self::Lookahead => Rounded::boxed(Lookahead::new(params), vote),
            Self::Rebase => Rounded::boxed(Rebase::new(params), vote),
            Self::Mcts => Rounded::boxed(Mcts::new(params, judged), vote),
            Self::TreeOfThoughts => Rounded::boxed(TreeOfThoughts::new(params), vote),
            Self::ParticleFilter => Rounded::boxed(ParticleFilter::new(params), vote),
            Self::SpeculativeRejection => Rounded::boxed(SpeculativeRejection::new(params), vote),
            Self::BudgetForcing => Rounded::boxed(BudgetForcing::new(params), vote),
            Self::DeepConf => Rounded::boxed(DeepConf::new(params), vote),
            Self::Auto => Box::new(Auto::new(params, judged, vote, width)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_algorithms_and_others_to_a_list() {
        for algo in Algo::ALL {
            assert_eq!(Algo::by_name(algo.name()).unwrap(), algo);
            assert_eq!(serde_json::to_value(algo).unwrap(), algo.name());
        }
        assert!(Algo::by_name("best").unwrap_err().to_string().contains("greedy, best-of-n"));
    }
}
