//! Ways to search, by number.

use ruminate::search::Algo;

use crate::number::numbers;

/// Ways to search.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_algo {
    /// One text, the most likely token each time.
    RUM_ALGO_GREEDY = 0,
    /// Independent samples and a vote over their answers.
    RUM_ALGO_BEST_OF_N = 1,
    /// Independent samples and a majority vote, whatever a judge says.
    RUM_ALGO_SELF_CONSISTENCY = 2,
    /// Step-wise beam search by the judge's values.
    RUM_ALGO_BEAM = 3,
    /// Diverse verifier tree search: beams in subtrees that do not compete.
    RUM_ALGO_DVTS = 4,
    /// Beam search whose steps are valued by where a greedy rollout leads.
    RUM_ALGO_LOOKAHEAD = 5,
    /// Reward-balanced search: children in proportion to a softmax of values.
    RUM_ALGO_REBASE = 6,
    /// Monte-Carlo tree search over steps.
    RUM_ALGO_MCTS = 7,
    /// Tree of Thoughts.
    RUM_ALGO_TREE_OF_THOUGHTS = 8,
    /// Particle filtering: steps resampled by their values.
    RUM_ALGO_PARTICLE_FILTER = 9,
    /// Many samples, the worse half of which is dropped again and again.
    RUM_ALGO_SPECULATIVE_REJECTION = 10,
    /// One line of thought held to a length.
    RUM_ALGO_BUDGET_FORCING = 11,
    /// Samples that end early when the model becomes unsure.
    RUM_ALGO_DEEP_CONF = 12,
    /// Looks at the question's first samples and chooses.
    RUM_ALGO_AUTO = 13,
}

numbers!(rum_algo, "algorithm":
    RUM_ALGO_GREEDY, RUM_ALGO_BEST_OF_N, RUM_ALGO_SELF_CONSISTENCY, RUM_ALGO_BEAM, RUM_ALGO_DVTS, RUM_ALGO_LOOKAHEAD,
    RUM_ALGO_REBASE, RUM_ALGO_MCTS, RUM_ALGO_TREE_OF_THOUGHTS, RUM_ALGO_PARTICLE_FILTER, RUM_ALGO_SPECULATIVE_REJECTION,
    RUM_ALGO_BUDGET_FORCING, RUM_ALGO_DEEP_CONF, RUM_ALGO_AUTO,
);

/// The number of `algo` in `rum_algo`; `UINT32_MAX` for one that this version has no number for.
pub fn number_of(algo: Algo) -> u32 {
    (0..)
        .map_while(|number| rum_algo::read(number).ok())
        .find(|known| algorithm(*known) == algo)
        .map_or(u32::MAX, |known| known as u32)
}

/// The way to search of that number.
pub fn algorithm(algo: rum_algo) -> Algo {
    use rum_algo::*;
    match algo {
        RUM_ALGO_GREEDY => Algo::Greedy,
        RUM_ALGO_BEST_OF_N => Algo::BestOfN,
        RUM_ALGO_SELF_CONSISTENCY => Algo::SelfConsistency,
        RUM_ALGO_BEAM => Algo::Beam,
        RUM_ALGO_DVTS => Algo::Dvts,
        RUM_ALGO_LOOKAHEAD => Algo::Lookahead,
        RUM_ALGO_REBASE => Algo::Rebase,
        RUM_ALGO_MCTS => Algo::Mcts,
        RUM_ALGO_TREE_OF_THOUGHTS => Algo::TreeOfThoughts,
        RUM_ALGO_PARTICLE_FILTER => Algo::ParticleFilter,
        RUM_ALGO_SPECULATIVE_REJECTION => Algo::SpeculativeRejection,
        RUM_ALGO_BUDGET_FORCING => Algo::BudgetForcing,
        RUM_ALGO_DEEP_CONF => Algo::DeepConf,
        RUM_ALGO_AUTO => Algo::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_number() {
        for algo in Algo::ALL {
            assert_eq!(rum_algo::read(number_of(algo)).map(algorithm).unwrap(), algo);
        }
        assert_eq!(number_of(Algo::Auto), rum_algo::RUM_ALGO_AUTO as u32);
    }
}
