//! Zero-shot chain of thought (Kojima et al., NeurIPS 2022), with GSM8K's form of the final answer so that it can be found.

use super::Strategy;
use crate::text::ChatMessage;

/// "Think step by step", one step per line, the answer after `####`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChainOfThought;

/// It ends in words, not in an example of the last line: Qwen2.5-Coder-1.5B-Instruct went on from `#### 42` with an answer and no
/// steps in 44 of 192 samples at temperature 0.8, from these words in 3.
const INSTRUCTION: &str = "Solve the problem step by step, one short calculation per line. Begin with the first step. \
                           When all steps are done, write the answer as a number on a last line of its own, behind ####.";

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
