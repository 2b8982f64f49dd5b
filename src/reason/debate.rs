//! Debate: several solutions, each rewritten after reading the others, and a vote (Du et al., "Improving factuality and reasoning in
//! language models through multiagent debate", ICML 2024).

use super::desk::{Desk, Reply};
use super::strategy::{Running, Steps};
use super::{Ask, Strategy};
use crate::error::Result;

/// Agents and rounds.
#[derive(Debug, Clone)]
pub struct Debate {
    /// Agents.
    pub agents: usize,
    /// Rounds after the first solutions.
    pub rounds: usize,
}

impl Debate {
    /// Published: 3 agents, 2 rounds, the first solutions being one of them.
    pub const PUBLISHED: Self = Self { agents: 3, rounds: 1 };
}

impl Strategy for Debate {
    fn name(&self) -> &'static str {
        "debate"
    }

    fn about(&self) -> &'static str {
        "Agents solve, read each other's solutions, solve again and vote (Du et al. 2024)"
    }

    fn cost(&self) -> &'static str {
        "3 solutions in each of 2 rounds"
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for Debate {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }
}

impl Debate {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let ask = Ask::user(desk.setting().words("solve", &[])?).solution().kept();
        let mut said = desk.samples(&ask, self.agents).await?;
        put_forward(&desk, &said);
        for _ in 0..self.rounds {
            let mut asks = Vec::new();
            for (own, reply) in said.iter().enumerate() {
                let others = said.iter().enumerate().filter(|(other, _)| *other != own);
                let others: String =
                    others.map(|(_, other)| format!("A solution of another:\n{}\n\n", other.text())).collect();
                let words = desk.setting().words("debate", &[("solutions", &others)])?;
                asks.push(Ask::after(reply, words).solution().kept());
            }
            let next = desk.ask_all(asks).await?;
            if next.iter().any(Reply::lacks_room) {
                break;
            }
            said = next;
            put_forward(&desk, &said);
        }
        Ok(())
    }
}

/// The solutions of one round in place of those of the last.
fn put_forward(desk: &Desk<'_>, said: &[Reply]) {
    for (index, reply) in said.iter().enumerate() {
        if index == 0 {
            desk.put_forward_instead(reply.proposal());
        } else {
            desk.put_forward(reply.proposal());
        }
    }
}
