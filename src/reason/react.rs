//! Reasoning and acting in turn: the model thinks, names a tool and its input, and reads what the tool says (ReAct, Yao et al.,
//! ICLR 2023).

use super::desk::{Desk, Reply, all};
use super::strategy::{Running, Steps};
use super::{Ask, Strategy};
use crate::error::Result;
use crate::reward::answer;
use crate::search::Proposal;

/// Thoughts, actions and observations in turn.
#[derive(Debug, Clone)]
pub struct React {
    /// Actions, at most. Published: 5 to 7.
    pub actions: usize,
}

/// What the model is not to write itself.
const OBSERVATION: &str = "Observation:";

impl React {
    /// As published for questions: 7 steps.
    pub const PUBLISHED: Self = Self { actions: 7 };
}

impl Strategy for React {
    fn name(&self) -> &'static str {
        "react"
    }

    fn about(&self) -> &'static str {
        "Thinks and uses tools in turn (ReAct, Yao et al. 2023)"
    }

    fn cost(&self) -> &'static str {
        "n lines that vote, each of 1 call and 1 for each action (at most 7)"
    }

    fn steps(&self) -> Option<&dyn Steps> {
        Some(self)
    }
}

impl Steps for React {
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a> {
        Box::pin(self.go(desk))
    }
}

impl React {
    async fn go(&self, desk: Desk<'_>) -> Result<()> {
        let words = desk.setting().words("react", &[("tools", &desk.tools().about())])?;
        let lines: Vec<_> = (0..desk.setting().params().n).map(|_| self.line(desk.clone(), words.clone())).collect();
        all(lines).await.map(drop)
    }

    /// One line of thoughts and actions to its answer.
    async fn line(&self, desk: Desk<'_>, words: String) -> Result<()> {
        let solving = |ask: Ask| ask.stop(OBSERVATION).solution().kept();
        let mut reply = desk.ask(solving(Ask::user(words))).await?;
        for _ in 0..self.actions {
            let said = reply.text_before(&[OBSERVATION]);
            if reply.lacks_room() || answer::extract(said).is_some_and(|found| found.marked) {
                break;
            }
            let Some((tool, input)) = action(said) else { break };
            let seen = desk.use_tool(tool, input).replace('\n', " ");
            // On one line, so that nothing in it looks like a turn of its own.
            let lead = if reply.text().ends_with(OBSERVATION) { "" } else { "\nObservation:" };
            reply = desk.ask(solving(Ask::within(&reply, format!("{lead} {seen}\n")))).await?;
        }
        if !reply.lacks_room() && !answer::extract(reply.text()).is_some_and(|found| found.marked) {
            let ask = Ask::within(&reply, "\nThe answer is:\n").begin("#### ").at_most(24).solution();
            reply = desk.ask(ask).await?;
        }
        desk.put_forward(proposal(&reply));
        Ok(())
    }
}

/// The whole line as a solution. Numbers before the last piece are no answers.
fn proposal(reply: &Reply) -> Proposal {
    let found = answer::extract(reply.text()).map(|found| found.answer.text().to_owned());
    Proposal { text: reply.transcript(), answer: found, ..reply.proposal() }
}

/// The last action of a text: `Action: tool[input]`, or `Action: tool {"name": "value"}` and `Action: tool: input`.
fn action(text: &str) -> Option<(&str, &str)> {
    let line = text.lines().rev().find_map(|line| line.trim().strip_prefix("Action:"))?.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let (tool, rest) = line.split_at_checked(end).filter(|(tool, _)| !tool.is_empty())?;
    let rest = rest.trim();
    let bracketed = |open, close| rest.strip_prefix(open).map(|inner: &str| inner.strip_suffix(close).unwrap_or(inner));
    Some((tool, bracketed('[', ']').or_else(|| bracketed('(', ')')).unwrap_or(rest.trim_start_matches(':')).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_action_is_read_as_models_write_it() {
        for (text, read) in [
            ("Thought: x\nAction: calculator[3*(4+1)]\n", Some(("calculator", "3*(4+1)"))),
            ("Action: a[1]\nAction: b[2]", Some(("b", "2"))),
            ("Action: calculator(3 * 4)", Some(("calculator", "3 * 4"))),
            ("Action: notes {\"name\": \"a\"}", Some(("notes", "{\"name\": \"a\"}"))),
            ("Action: calculator: 3*4", Some(("calculator", "3*4"))),
            ("Action: calculator[3*4", Some(("calculator", "3*4"))),
            ("Action: none", None),
            ("Action:", None),
            ("No Action: here[1]", None),
        ] {
            assert_eq!(action(text), read, "{text}");
        }
    }
}
