//! Self-verification: solutions that vote by what the model, asked again, thinks of each (Weng et al., "Large language models are
//! better reasoners with self-verification", EMNLP Findings 2023; asked for a verdict instead of masked conditions).

use super::desk::{Desk, all};
use super::strategy::{Running, Steps};
use super::{Ask, Strategy, lines};
use crate::error::Result;
use crate::search::{Proposal, Vote};

/// Solutions, each with several verdicts.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Verdicts on each solution.
    pub verdicts: usize,
    /// Tokens of a verdict, at most.
    pub verdict_tokens: u64,
}

/// What a verdict ends with.
const VERDICTS: [&str; 2] = ["yes", "no"];
/// What a solution counts that no verdict is in favour of, so that it is not lost where there is no other.
const LEAST: f64 = 0.01;

impl Verify {
    /// Three verdicts; the paper takes up to ten.
    pub const PUBLISHED: Self = Self { verdicts: 3, verdict_tokens: 120 };
}

impl Strategy for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn about(&self) -> &'static str {
        "Solves and then checks each solution, whose vote counts by the verdicts (Weng et al. 2023)"
    }

    fn cost(&self) -> &'static str {
        "n solutions and 3 verdicts on each"
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for Verify {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }

    fn vote(&self) -> Vote {
        Vote::Weighted
    }
}

impl Verify {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let words = desk.setting().words("solve", &[])?;
        let lines: Vec<_> = (0..desk.setting().params().n).map(|_| self.line(desk.clone(), words.clone())).collect();
        all(lines).await.map(drop)
    }

    async fn line(&self, desk: Desk<'_>, words: String) -> Result<()> {
        let solution = desk.ask(Ask::user(words).solution().kept()).await?;
        let ask = Ask::after(&solution, desk.setting().words("verify", &[])?).at_most(self.verdict_tokens);
        let verdicts = desk.samples(&ask, self.verdicts).await?;
        let for_it = verdicts.iter().filter(|verdict| lines::last_word(verdict.text(), &VERDICTS) == Some(0)).count();
        let weight = (for_it as f64 / self.verdicts.max(1) as f64).max(LEAST);
        desk.put_forward(Proposal { weight, ..solution.proposal() });
        Ok(())
    }
}
