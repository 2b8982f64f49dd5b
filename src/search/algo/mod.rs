//! Search algorithms: one small file each. They ask for work and are told what came of it; the control loop does the rest.

mod best_of_n;
mod greedy;
mod verdict;

pub(super) use self::verdict::Verdict;

use serde::{Deserialize, Serialize};

use self::best_of_n::BestOfN;
use self::greedy::Greedy;
use super::SearchParams;
use super::tree::{NodeId, Tree};
use crate::error::{Error, Result};

/// An algorithm by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algo {
    /// One text, the most likely token each time.
    Greedy,
    /// Independent samples and a majority vote over their answers.
    BestOfN,
}

impl Algo {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Greedy, Self::BestOfN];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::BestOfN => "best-of-n",
        }
    }

    /// The algorithm of that name; the error lists all of them.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|algo| algo.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("no search algorithm is called {name:?}; there are: {known}"))
        })
    }

    pub(super) fn start(self, params: &SearchParams) -> Box<dyn Algorithm> {
        match self {
            Self::Greedy => Box::new(Greedy::new(params)),
            Self::BestOfN => Box::new(BestOfN::new(params)),
        }
    }
}

/// The seam between an algorithm and the control loop.
///
/// Whatever the loop decodes together, it tells the results in the order in which they were asked for. An algorithm whose
/// questions depend on nothing but what it was told therefore gives the same outcome under every schedule.
pub(super) trait Algorithm {
    /// The next node to grow; `None` while it has to be told more first, or when it is done.
    fn ask(&mut self, tree: &Tree) -> Option<Extend>;

    /// `node`, asked for earlier, stopped growing.
    fn tell(&mut self, tree: &Tree, node: NodeId);

    /// Whether no further node could change the verdict; what still grows is given up.
    fn is_done(&self) -> bool;

    /// The best so far, at any time.
    fn verdict(&self, tree: &Tree) -> Verdict;
}

/// A request to grow a new child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extend {
    /// The parent.
    pub at: NodeId,
    /// The child's cap in tokens.
    pub max_tokens: u64,
    /// Takes the most likely tokens instead of drawing them.
    pub greedy: bool,
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
