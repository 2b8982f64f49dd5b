//! Examples before the question (Brown et al., NeurIPS 2020), as turns of a conversation: the model takes over their form.

use serde::{Deserialize, Serialize};

use super::Strategy;
use crate::text::ChatMessage;

/// A question with its worked answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// The question.
    pub question: String,
    /// The answer as the model should write one, its last line `#### answer`.
    pub answer: String,
}

/// Worked examples, then the question alone.
#[derive(Debug, Clone)]
pub struct FewShot {
    shots: Vec<Shot>,
}

impl FewShot {
    /// Its name on the command line; it is not among [`ALL`](super::ALL), because it is made of examples.
    pub const NAME: &'static str = "few-shot";

    /// With these examples, in this order.
    pub fn new(shots: Vec<Shot>) -> Self {
        Self { shots }
    }

    /// The examples.
    pub fn shots(&self) -> &[Shot] {
        &self.shots
    }
}

impl Strategy for FewShot {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn about(&self) -> &'static str {
        "Worked examples before the question (Brown et al. 2020)"
    }

    fn cost(&self) -> &'static str {
        "1 prompt with the examples; n solutions or what the search algorithm draws"
    }

    fn messages(&self, question: &str) -> Vec<ChatMessage> {
        let turns = |shot: &Shot| {
            [ChatMessage::new("user", shot.question.trim()), ChatMessage::new("assistant", shot.answer.trim())]
        };
        let question = ChatMessage::new("user", question.trim());
        self.shots.iter().flat_map(turns).chain([question]).collect()
    }

    fn plain(&self, question: &str) -> String {
        let shot = |shot: &Shot| format!("Question: {}\nAnswer: {}\n\n", shot.question.trim(), shot.answer.trim());
        let shots: String = self.shots.iter().map(shot).collect();
        format!("{shots}Question: {}\nAnswer:", question.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_turns_that_lead_to_the_question() {
        let shot =
            |i: usize| Shot { question: format!(" {i}+{i}? "), answer: format!("{i}+{i}={0}\n#### {0}\n", 2 * i) };
        let few = FewShot::new(vec![shot(1), shot(2)]);
        let turns = few.messages("3+3?\n");
        let turns: Vec<_> = turns.iter().map(|turn| (turn.role.as_str(), turn.content.as_str())).collect();
        let expected = [
            ("user", "1+1?"),
            ("assistant", "1+1=2\n#### 2"),
            ("user", "2+2?"),
            ("assistant", "2+2=4\n#### 4"),
            ("user", "3+3?"),
        ];
        assert_eq!(turns, expected);
        let plain =
            "Question: 1+1?\nAnswer: 1+1=2\n#### 2\n\nQuestion: 2+2?\nAnswer: 2+2=4\n#### 4\n\nQuestion: 3+3?\nAnswer:";
        assert_eq!(few.plain("3+3?"), plain);
        assert_eq!(FewShot::new(Vec::new()).messages("x").len(), 1);
    }
}
