//! A way to put a question to a model.

use std::future::Future;
use std::pin::Pin;

use super::desk::Desk;
use super::{
    ChainOfThought, Debate, Direct, Ensemble, GraphOfThoughts, Plan, ProgramAided, React, Refine, TreeOfThoughts,
    Verify,
};
use crate::error::{Error, Result};
use crate::search::Vote;
use crate::text::ChatMessage;

/// A way to put a question to a model: one prompt, which any search algorithm goes on from, or a method of several calls.
pub trait Strategy: Sync {
    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// What it does, in a line, with its paper.
    fn about(&self) -> &'static str;

    /// What it costs in calls of the model; `n` is [`SearchParams::n`](crate::search::SearchParams::n).
    fn cost(&self) -> &'static str;

    /// The conversation that the answer follows; of a method the plainest one. No message is of role `system`, which some
    /// templates refuse.
    fn messages(&self, question: &str) -> Vec<ChatMessage> {
        vec![ChatMessage::new("user", question.trim())]
    }

    /// The text that the answer follows, for a model without a chat template.
    fn plain(&self, question: &str) -> String {
        format!("{}\n", question.trim())
    }

    /// Whether a complete line `#### answer` ends the answer
    /// ([`SearchParams::stop_at_answer`](crate::search::SearchParams::stop_at_answer)).
    fn stop_at_answer(&self) -> bool {
        true
    }

    /// What beside its name decides what it does, as a text, for traces and saved searches; empty for those that a name makes
    /// ([`by_name`]).
    fn detail(&self) -> String {
        String::new()
    }

    /// What stands before the answer in the words that it asks for; empty where the answer is all that is said. A grammar of answers
    /// begins behind it.
    fn answer_mark(&self) -> &'static str {
        "####"
    }

    /// The method, of a strategy that is more than a prompt.
    fn steps(&self) -> Option<&dyn Steps> {
        None
    }
}

/// A method of several calls, as straight-line code.
pub trait Steps: Sync {
    /// Goes through the method at `desk`. What it asks for may depend on nothing but replies.
    fn run<'a>(&'a self, desk: Desk<'a>) -> Running<'a>;

    /// Whether the answers are what the model says, which [`SearchParams::grammar`](crate::search::SearchParams::grammar) can hold.
    fn says_answers(&self) -> bool {
        true
    }

    /// How the solutions that it puts forward become one answer, unless the search says.
    fn vote(&self) -> Vote {
        Vote::Majority
    }
}

/// A method at work.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Every strategy that needs nothing but its name.
pub static ALL: [&dyn Strategy; 12] = [
    &Direct,
    &ChainOfThought,
    &Plan::PUBLISHED,
    &Refine::PUBLISHED,
    &TreeOfThoughts::PUBLISHED,
    &TreeOfThoughts::PUBLISHED_VOTES,
    &GraphOfThoughts::PUBLISHED,
    &Verify::PUBLISHED,
    &Debate::PUBLISHED,
    &React::PUBLISHED,
    &ProgramAided::PUBLISHED,
    &Ensemble::PUBLISHED,
];

/// The strategy of that name; the error lists all of them.
pub fn by_name(name: &str) -> Result<&'static dyn Strategy> {
    ALL.into_iter().find(|strategy| strategy.name() == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|strategy| strategy.name()).collect();
        Error::invalid(format!("no strategy is called {name:?}; there are: {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_strategies_and_others_to_a_list() {
        for strategy in ALL {
            assert_eq!(by_name(strategy.name()).unwrap().name(), strategy.name());
            assert!(!strategy.about().is_empty() && !strategy.cost().is_empty());
        }
        let error = by_name("tot").err().unwrap();
        assert!(error.to_string().contains("there are: direct, cot, plan"), "{error}");
    }

    #[test]
    fn every_strategy_carries_the_question_and_avoids_the_system_role() {
        for strategy in ALL {
            let messages = strategy.messages(" How many?\n");
            assert!(messages.iter().all(|message| message.role != "system"));
            assert!(messages.last().is_some_and(|last| last.role == "user" && last.content.contains("How many?")));
            assert!(strategy.plain(" How many?\n").contains("How many?"));
        }
    }
}
