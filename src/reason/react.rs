//! Reasoning and acting in turn: the model thinks, names a tool and its input, and reads what the tool says (ReAct, Yao et al.,
//! ICLR 2023).

use super::desk::{Desk, all};
use super::strategy::{Running, Steps};
use super::{Ask, Strategy};
use crate::error::Result;
use crate::search::Proposal;
use crate::text::Grammar;

/// Thoughts, actions and observations in turn.
#[derive(Debug, Clone)]
pub struct React {
    /// Actions, at most. Published: 5 to 7.
    pub actions: usize,
    /// Tokens of one action, at most.
    pub action_tokens: u64,
}

/// What an action follows.
const ACTION: &str = "Action:";
/// Tokens of an answer that the line did not come to by itself.
const ANSWER_TOKENS: u64 = 24;
/// What the model is not to write itself.
const OBSERVATION: &str = "Observation:";

impl React {
    /// As published for questions: 7 steps.
    pub const PUBLISHED: Self = Self { actions: 7, action_tokens: 120 };
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
        let (about, example) = (desk.tools().about(), desk.tools().example());
        let words = desk.setting().words("react", &[("tools", &about), ("example", &example)])?;
        let (grammar, n) = (desk.tools().grammar()?, desk.setting().params().n);
        desk.expect(n);
        let lines: Vec<_> = (0..n).map(|_| self.line(desk.clone(), words.clone(), grammar.clone())).collect();
        all(lines).await.map(drop)
    }

    /// One line of thoughts and actions to its answer.
    async fn line(&self, desk: Desk<'_>, words: String, grammar: Option<Grammar>) -> Result<()> {
        let setting = desk.setting();
        let thinking = |ask: Ask| ask.stop(ACTION).stop(OBSERVATION).solution().kept();
        let mut reply = desk.ask(thinking(Ask::user(words))).await?;
        for _ in 0..self.actions {
            let lead = reply.text().rsplit_once(ACTION).map(|(_, lead)| lead.trim().to_owned());
            let (false, None, Some(lead)) = (reply.lacks_room(), setting.answer_in(reply.text()), lead) else { break };
            // A token that holds more than the word has begun the action already, or is all of it, and no grammar can begin in its
            // middle.
            let whole = lead.contains('\n');
            let act = Ask::within(&reply, "").at_most(self.action_tokens).kept();
            let act = match grammar.as_ref().filter(|_| lead.is_empty()) {
                _ if whole => reply.clone(),
                Some(grammar) => desk.ask(act.held_to(grammar)).await?,
                None => desk.ask(act.stop("\n")).await?,
            };
            let said = if whole { lead } else { format!("{lead}{}", act.text()) };
            let seen = match action(&said) {
                _ if act.lacks_room() => break,
                Some((tool, input)) => desk.use_tool(tool, input),
                None => "error: that is no action".to_owned(),
            };
            let word = if act.text().ends_with(OBSERVATION) { "" } else { "\nObservation:" };
            // On one line, so that nothing in it looks like a turn of its own.
            let seen = format!("{word} {}\n", seen.replace('\n', " "));
            reply = desk.ask(thinking(Ask::within(&act, seen))).await?;
        }
        if !reply.lacks_room() && setting.answer_in(reply.text()).is_none() {
            let ask = Ask::within(&reply, "\nThe answer is:\n").begin("#### ").at_most(ANSWER_TOKENS).solution();
            reply = desk.ask(ask).await?;
        }
        // Numbers before the last piece are no answers.
        let text = reply.transcript();
        desk.put_forward(Proposal { text, answer: setting.answer_in(reply.text()), ..reply.proposal() });
        Ok(())
    }
}

/// An action: `tool {"name": "value"}`, or `tool[input]` and `tool: input`, as models write it without a grammar.
fn action(text: &str) -> Option<(&str, &str)> {
    let line = text.lines().next()?.trim();
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
    fn an_action_is_read_as_models_write_it() {
        for (text, read) in [
            (" calculator[3*(4+1)]\n", Some(("calculator", "3*(4+1)"))),
            ("calculator(3 * 4)", Some(("calculator", "3 * 4"))),
            ("notes {\"name\": \"a\"}", Some(("notes", "{\"name\": \"a\"}"))),
            ("calculator: 3*4\nObservation: 13", Some(("calculator", "3*4"))),
            ("calculator[3*4", Some(("calculator", "3*4"))),
            ("none", None),
            ("", None),
            ("[1]", None),
        ] {
            assert_eq!(action(text), read, "{text}");
        }
    }
}
