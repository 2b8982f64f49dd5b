//! Graph of Thoughts: solutions are generated, scored, put together and refined along a graph of operations (Besta et al.,
//! AAAI 2024).

use super::desk::{Desk, Reply};
use super::graph::{Graph, Kind};
use super::strategy::{Running, Steps};
use super::{Ask, Strategy, lines};
use crate::error::Result;
use crate::search::{Proposal, Vote};

/// A method that goes through a graph of operations.
#[derive(Debug, Clone)]
pub struct GraphOfThoughts {
    /// The graph; the [usual](Graph::usual) one without.
    pub graph: Option<Graph>,
    /// Tokens of a rating, at most.
    pub rating_tokens: u64,
}

/// The best rating; the worst is 0.
const BEST: u32 = 10;
/// What a solution counts that was not scored.
const UNSCORED: f64 = 0.5;

impl GraphOfThoughts {
    /// Its name.
    pub const NAME: &'static str = "graph-of-thoughts";
    /// With the usual graph. The paper has one for each task.
    pub const PUBLISHED: Self = Self { graph: None, rating_tokens: 120 };

    /// With this graph.
    pub fn with(graph: Graph) -> Self {
        Self { graph: Some(graph), ..Self::PUBLISHED }
    }
}

impl Strategy for GraphOfThoughts {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn about(&self) -> &'static str {
        "Generates, scores, puts together and refines solutions along a graph (Besta et al. 2024)"
    }

    fn cost(&self) -> &'static str {
        "as the graph says; the usual one has 4 solutions, 8 ratings, 2 put together, 2 refined, 4 ratings"
    }

    fn detail(&self) -> String {
        let graph = self.graph.as_ref().and_then(|graph| serde_json::to_string(graph).ok());
        graph.unwrap_or_default()
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for GraphOfThoughts {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }

    fn vote(&self) -> Vote {
        Vote::Best
    }
}

/// A solution on its way through the graph.
#[derive(Clone)]
struct Solution {
    reply: Reply,
    score: f64,
}

impl GraphOfThoughts {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let graph = self.graph.clone().unwrap_or_else(Graph::usual);
        let mut made: Vec<Vec<Solution>> = vec![Vec::new(); graph.operations().len()];
        let mut last = Vec::new();
        for index in graph.order()? {
            let Some(operation) = graph.operations().get(index) else { continue };
            let given: Vec<Solution> =
                operation.after.iter().filter_map(|&before| made.get(before)).flatten().cloned().collect();
            last = self.apply(&desk, operation.kind, given).await?;
            if matches!(operation.kind, Kind::Generate { .. } | Kind::Aggregate { .. } | Kind::Refine) {
                last.iter().for_each(|solution| desk.put_forward(solution.proposal()));
            }
            if let Some(place) = made.get_mut(index) {
                *place = last.clone();
            }
        }
        // What the last operation hands on decides.
        let mut decided = last.iter().filter(|solution| !solution.reply.text().is_empty());
        if let Some(first) = decided.next() {
            desk.put_forward_instead(first.proposal());
        }
        decided.for_each(|solution| desk.put_forward(solution.proposal()));
        Ok(())
    }

    async fn apply(&self, desk: &Desk<'_>, kind: Kind, mut given: Vec<Solution>) -> Result<Vec<Solution>> {
        let setting = desk.setting();
        Ok(match kind {
            Kind::Generate { n } => {
                let ask = Ask::user(setting.words("solve", &[])?).solution().kept();
                unscored(desk.samples(&ask, n).await?)
            }
            Kind::Score { samples } => {
                let words = setting.words("graph-score", &[])?;
                let asks = given.iter().flat_map(|solution| {
                    let ask = Ask::after(&solution.reply, words.as_str()).at_most(self.rating_tokens);
                    std::iter::repeat_n(ask, samples)
                });
                let ratings = desk.ask_all(asks.collect()).await?;
                for (solution, ratings) in given.iter_mut().zip(ratings.chunks(samples.max(1))) {
                    let sum: f64 = ratings.iter().filter_map(|r| lines::rating(r.text(), BEST)).sum();
                    solution.score = sum / (samples.max(1) as f64 * f64::from(BEST));
                }
                given
            }
            Kind::KeepBest { n } => {
                given.sort_by(|a, b| b.score.total_cmp(&a.score));
                given.truncate(n);
                given
            }
            Kind::Aggregate { n } => {
                let listed: String = given
                    .iter()
                    .enumerate()
                    .map(|(i, s)| format!("Solution {}:\n{}\n\n", i + 1, s.reply.text()))
                    .collect();
                let words = setting.words("graph-aggregate", &[("solutions", &listed)])?;
                unscored(desk.samples(&Ask::user(words).solution().kept(), n).await?)
            }
            Kind::Refine => {
                let words = setting.words("graph-refine", &[])?;
                let asks = given.iter().map(|solution| Ask::after(&solution.reply, words.as_str()).solution().kept());
                unscored(desk.ask_all(asks.collect()).await?)
            }
        })
    }
}

fn unscored(replies: Vec<Reply>) -> Vec<Solution> {
    replies.into_iter().map(|reply| Solution { reply, score: UNSCORED }).collect()
}

impl Solution {
    fn proposal(&self) -> Proposal {
        Proposal { weight: self.score, ..self.reply.proposal() }
    }
}
