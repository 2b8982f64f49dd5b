//! The answer of a model that thinks first, as it grows.

use ruminate::text::Thinking;

/// Leaves out thinking.
pub struct Unveiled<'a> {
    thinking: &'a Thinking,
    said: String,
    /// Bytes of `said` that were given out or are no part of the answer.
    shown: usize,
}

impl<'a> Unveiled<'a> {
    pub fn new(thinking: &'a Thinking) -> Self {
        Self { thinking, said: String::new(), shown: 0 }
    }

    /// What of the answer is new with this piece of text.
    pub fn push(&mut self, piece: &str) -> &str {
        self.said.push_str(piece);
        let answer = self.thinking.answer_in(&self.said);
        // The first letters may become the mark.
        if answer.start == 0 && self.thinking.may_open(&self.said) {
            return "";
        }
        // What may become the mark behind the answer waits, too.
        let held = held_back(self.said.get(..answer.end).unwrap_or_default(), &self.thinking.end);
        let to = if answer.end < self.said.len() { answer.end } else { answer.end - held };
        let from = answer.start.max(self.shown).min(to);
        self.shown = self.shown.max(to);
        self.said.get(from..to).unwrap_or_default()
    }

    /// What was held back, when nothing more comes.
    pub fn finish(&self) -> &str {
        let answer = self.thinking.answer_in(&self.said);
        self.said.get(answer.start.max(self.shown).min(answer.end)..answer.end).unwrap_or_default()
    }
}

/// Bytes at the end of `text` that `mark` begins with.
fn held_back(text: &str, mark: &str) -> usize {
    (1..mark.len()).rev().find(|&n| mark.get(..n).is_some_and(|head| text.ends_with(head))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces that are given out when a text comes letter by letter.
    fn pieces(thinking: &Thinking, text: &str) -> String {
        let mut answer = Unveiled::new(thinking);
        let mut out = String::new();
        for letter in text.chars() {
            out.push_str(answer.push(&letter.to_string()));
        }
        out + answer.finish()
    }

    #[test]
    fn thinking_is_left_out_wherever_its_pieces_end() {
        let think = Thinking::of_template("</think>").unwrap();
        for (text, visible) in [
            ("<think>a < b</think>\n\n4 </thin", "\n\n4 </thin"),
            ("\n<think>a", ""),
            ("4 <think", "4 <think"),
            ("<thin ice", "<thin ice"),
            ("<th", "<th"),
            ("é", "é"),
        ] {
            assert_eq!(pieces(&think, text), visible, "{text}");
        }
        let harmony = Thinking::of_template("<|channel|>analysis").unwrap();
        let said =
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>4 <| 5<|return|>";
        assert_eq!(pieces(&harmony, said), "4 <| 5");
        let begun = Thinking::until("DONE");
        assert_eq!(pieces(&begun, "a DONE b"), " b");
    }
}
