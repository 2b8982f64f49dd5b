//! Self-refinement: the model says what is wrong with its own solution and writes a better one, until it finds nothing
//! (Madaan et al., "Self-Refine", NeurIPS 2023).

use super::desk::Desk;
use super::strategy::{Running, Steps};
use super::{Ask, Strategy};
use crate::error::Result;

/// A draft, then feedback and a revision in turn.
#[derive(Debug, Clone)]
pub struct Refine {
    /// Revisions, at most.
    pub rounds: usize,
    /// Tokens of the feedback, at most.
    pub feedback_tokens: u64,
    /// What feedback says that finds nothing wrong, in lower case.
    pub fine: &'static str,
}

impl Refine {
    /// Published: 4 rounds.
    pub const PUBLISHED: Self = Self { rounds: 4, feedback_tokens: 200, fine: "no mistakes" };
}

impl Strategy for Refine {
    fn name(&self) -> &'static str {
        "refine"
    }

    fn about(&self) -> &'static str {
        "Criticises its own solution and revises it until it finds nothing wrong (Self-Refine, Madaan et al. 2023)"
    }

    fn cost(&self) -> &'static str {
        "1 draft, then 1 feedback and 1 revision in turn (at most 4)"
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for Refine {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }
}

impl Refine {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let setting = desk.setting();
        let (feedback, revise) = (setting.words("refine-feedback", &[])?, setting.words("refine-revise", &[])?);
        let mut solution = desk.ask(Ask::user(setting.words("solve", &[])?).solution().kept()).await?;
        desk.put_forward(solution.proposal());
        for _ in 0..self.rounds {
            let ask = Ask::after(&solution, feedback.as_str()).at_most(self.feedback_tokens).greedy().kept();
            let said = desk.ask(ask).await?;
            if said.lacks_room() || said.text().to_lowercase().contains(self.fine) {
                break;
            }
            let revised = desk.ask(Ask::after(&said, revise.as_str()).solution().kept()).await?;
            if revised.text().is_empty() {
                break;
            }
            desk.put_forward_instead(revised.proposal());
            solution = revised;
        }
        Ok(())
    }
}
