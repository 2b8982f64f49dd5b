//! A way to put a question to a model.

use super::{ChainOfThought, Direct};
use crate::error::{Error, Result};
use crate::text::ChatMessage;

/// A way to put a question to a model, and how to tell that the model is done.
pub trait Strategy: Sync {
    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// The conversation that the answer follows. No message is of role `system`, which some templates refuse.
    fn messages(&self, question: &str) -> Vec<ChatMessage>;

    /// The text that the answer follows, for a model without a chat template.
    fn plain(&self, question: &str) -> String;

    /// Whether a complete line `#### answer` ends the answer
    /// ([`SearchParams::stop_at_answer`](crate::search::SearchParams::stop_at_answer)).
    fn stop_at_answer(&self) -> bool;
}

/// Every strategy.
pub static ALL: [&dyn Strategy; 2] = [&Direct, &ChainOfThought];

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
        }
        let error = by_name("tot").err().unwrap();
        assert!(error.to_string().ends_with("there are: direct, cot"), "{error}");
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
