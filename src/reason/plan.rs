//! Decomposition: questions that lead to the answer, solved in their order, each with the answers of those before it
//! (least-to-most prompting, Zhou et al., ICLR 2023; the plan comes from the model itself, as in plan-and-solve prompting,
//! Wang et al., ACL 2023).

use super::desk::Desk;
use super::strategy::{Running, Steps};
use super::{Ask, Strategy, lines};
use crate::error::Result;

/// Questions that lead to the answer, one after another.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Questions, at most; what a plan asks beyond them is left to the answer itself.
    pub questions: usize,
    /// Tokens of the plan and of each question's answer, at most.
    pub step_tokens: u64,
}

impl Plan {
    /// As on the command line. The papers bound neither.
    pub const PUBLISHED: Self = Self { questions: 8, step_tokens: 160 };
}

impl Strategy for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    fn about(&self) -> &'static str {
        "Splits the question into easier ones and answers them in order (least-to-most, Zhou et al. 2023)"
    }

    fn cost(&self) -> &'static str {
        "1 plan, 1 call for each of its questions (at most 8), n answers that vote"
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for Plan {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }
}

impl Plan {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let setting = desk.setting();
        let ask = Ask::user(setting.words("plan-questions", &[])?).at_most(self.step_tokens).greedy();
        let plan = desk.ask(ask).await?;
        let mut solved = String::new();
        for step in lines::items(plan.text()).into_iter().take(self.questions) {
            let words = setting.words("plan-step", &[("solved", &solved), ("step", &step)])?;
            let reply = desk.ask(Ask::user(words).at_most(self.step_tokens).greedy()).await?;
            solved.push_str(&format!("{step}\n{}\n\n", reply.text()));
        }
        let ask = Ask::user(setting.words("plan-answer", &[("solved", &solved)])?).solution();
        desk.vote(&ask, setting.params().n).await
    }
}
