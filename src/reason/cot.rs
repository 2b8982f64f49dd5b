//! Zero-shot chain of thought (Kojima et al., NeurIPS 2022), with GSM8K's form of the final answer so that it can be found.

use super::Strategy;
use crate::text::ChatMessage;

/// "Think step by step", one step per line, the answer after `####`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChainOfThought;

const INSTRUCTION: &str = "Solve the problem step by step, one short calculation per line. \
                           After the last step, write the answer as a number on a line of its own, like this:\n#### 42";

impl Strategy for ChainOfThought {
    fn name(&self) -> &'static str {
        "cot"
    }

    fn about(&self) -> &'static str {
        "Asks for steps and an answer line (Kojima et al. 2022)"
    }

    fn cost(&self) -> &'static str {
        "1 prompt; n solutions or what the search algorithm draws"
    }

    fn messages(&self, question: &str) -> Vec<ChatMessage> {
        vec![ChatMessage::new("user", format!("{}\n\n{INSTRUCTION}", question.trim()))]
    }

    fn plain(&self, question: &str) -> String {
        format!("Question: {}\n{INSTRUCTION}\nAnswer:\n", question.trim())
    }
}
