//! How models mark their thinking, recognised from their chat templates.

use serde::{Deserialize, Serialize};

/// How a model marks its thinking in its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thinking {
    /// What begins it.
    pub open: String,
    /// What ends it.
    pub close: String,
    /// What the model writes behind that before the answer begins; may be empty.
    pub answer: String,
    /// What it writes behind the answer, beside the end of its text; may be empty.
    pub end: String,
    /// The prompt ends within the thinking: the model does not begin it itself.
    pub begun: bool,
}

/// Text by which a template is known, and the marks: begin, end, before and after the answer.
const FORMATS: [[&str; 5]; 9] = [
    // OpenAI's harmony: channels of one message each.
    [
        "<|channel|>analysis",
        "<|channel|>analysis<|message|>",
        "<|end|>",
        "<|start|>assistant<|channel|>final<|message|>",
        "<|return|>",
    ],
    ["</seed:think>", "<seed:think>", "</seed:think>", "", ""],
    [
        "<|end_of_thought|>",
        "<|begin_of_thought|>",
        "<|end_of_thought|>",
        "\n\n<|begin_of_solution|>",
        "<|end_of_solution|>",
    ],
    ["[/THINK]", "[THINK]", "[/THINK]", "", ""],
    ["<|END_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"],
    ["◁/think▷", "◁think▷", "◁/think▷", "", ""],
    ["</thought>", "<thought>", "</thought>", "", ""],
    ["</reasoning>", "<reasoning>", "</reasoning>", "", ""],
    // The most usual one last: others speak of it when they take foreign thinking out of a conversation.
    ["</think>", "<think>", "</think>", "", ""],
];

/// Marks that some files type as control tokens, and which are yet part of what the model says.
pub(in crate::text) const MARKS: [&str; 14] = [
    "<seed:think>",
    "</seed:think>",
    "<|begin_of_thought|>",
    "<|end_of_thought|>",
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "[THINK]",
    "[/THINK]",
    "<|START_THINKING|>",
    "<|END_THINKING|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<think>",
    "</think>",
];

impl Thinking {
    /// The marks that a template's `source` speaks of, if it does.
    pub fn of_template(source: &str) -> Option<Self> {
        let format = FORMATS.iter().find(|[known, ..]| source.contains(known));
        format.map(|&[_, open, close, answer, end]| Self {
            open: open.to_owned(),
            close: close.to_owned(),
            answer: answer.to_owned(),
            end: end.to_owned(),
            begun: false,
        })
    }

    /// The same behind this prompt; `None` if that has thinking ended already.
    pub fn after_prompt(self, prompt: &str) -> Option<Self> {
        let prompt = prompt.trim_end();
        if prompt.ends_with(self.close.trim()) {
            return None;
        }
        let begun = prompt.ends_with(self.open.trim());
        Some(Self { begun, ..self })
    }

    /// A mark alone: thinking is what stands before it.
    pub fn until(close: &str) -> Self {
        Self { close: close.to_owned(), begun: true, ..Self::default() }
    }

    /// All that is written between thinking and the answer.
    pub fn bridge(&self) -> String {
        format!("{}{}", self.close, self.answer)
    }

    /// Behind what a grammar of answers begins.
    pub fn mark(&self) -> &str {
        if self.answer.is_empty() { &self.close } else { self.answer.trim() }
    }

    /// Where in `text` the answer begins and ends: an empty place at its end while the model still thinks, all of a text without
    /// thinking.
    pub fn answer_in(&self, text: &str) -> std::ops::Range<usize> {
        let last = |mark: &str| text.rfind(mark).map(|at| at + mark.len());
        let answer = if self.answer.is_empty() { None } else { last(self.answer.trim()) };
        let bridging = |&from: &usize| {
            let rest = text.get(from..).unwrap_or_default().trim();
            !self.answer.is_empty() && self.answer.trim().starts_with(rest)
        };
        let from = match answer.or_else(|| last(&self.close)) {
            Some(from) if answer.is_none() && bridging(&from) => text.len(),
            Some(from) => from,
            None if self.is_open(text) => text.len(),
            None => 0,
        };
        let end = if self.end.is_empty() { None } else { text.get(from..).and_then(|rest| rest.find(&self.end)) };
        from..end.map_or(text.len(), |end| from + end)
    }

    /// The answer in `text`.
    pub fn visible<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.answer_in(text)).unwrap_or_default()
    }

    /// The thinking in `text`, without its marks; `None` without any.
    pub fn thought<'t>(&self, text: &'t str) -> Option<&'t str> {
        let before = text.get(..self.answer_in(text).start)?;
        let before = before.strip_suffix(self.answer.trim()).unwrap_or(before).trim_end();
        let before = before.strip_suffix(self.close.as_str()).unwrap_or(before).trim();
        let open = self.open.trim();
        let inner = before.strip_prefix(open).unwrap_or(before).trim();
        (!inner.is_empty()).then_some(inner)
    }

    /// Whether a text that does not close it is thinking.
    pub fn is_open(&self, text: &str) -> bool {
        self.begun || (!self.open.is_empty() && text.trim_start().starts_with(self.open.trim()))
    }

    /// Whether it may still turn out to be thinking: a beginning of the mark is there.
    pub fn may_open(&self, text: &str) -> bool {
        let text = text.trim_start();
        self.is_open(text) || (!self.open.is_empty() && self.open.trim().starts_with(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_its_template_and_taken_apart() {
        for (source, said, thought, visible) in [
            ("{{ '</think>' }}", "<think>\na b\n</think>\n\n#### 4", Some("a b"), "\n\n#### 4"),
            ("split('</think>')", "no thinking", None, "no thinking"),
            ("split('</think>')", "<think>\nlong", Some("long"), ""),
            (
                "<|start|>assistant<|channel|>analysis<|message|>",
                "<|channel|>analysis<|message|>a b<|end|><|start|>assistant<|channel|>final<|message|>#### 4<|return|>",
                Some("a b"),
                "#### 4",
            ),
            ("{# <|channel|>analysis #}", "<|channel|>analysis<|message|>a b", Some("a b"), ""),
            ("<seed:think> </seed:think> </think>", "<seed:think>a</seed:think>b", Some("a"), "b"),
            (
                "<|begin_of_thought|> <|end_of_thought|>",
                "<|begin_of_thought|>\na\n<|end_of_thought|>\n\n<|begin_of_solution|>\nb\n<|end_of_solution|>",
                Some("a"),
                "\nb\n",
            ),
            ("[THINK] [/THINK]", "[THINK]a[/THINK]b", Some("a"), "b"),
            (
                "<|START_THINKING|><|END_THINKING|>",
                "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>",
                Some("a"),
                "b",
            ),
            ("◁think▷ ◁/think▷", "◁think▷a◁/think▷b", Some("a"), "b"),
        ] {
            let thinking = Thinking::of_template(source).unwrap();
            assert_eq!((thinking.thought(said), thinking.visible(said)), (thought, visible), "{source}");
        }
        assert_eq!(Thinking::of_template("{{ messages }}"), None);
    }

    #[test]
    fn a_prompt_may_begin_thinking_or_have_it_ended() {
        let think = || Thinking::of_template("</think>").unwrap();
        let begun = think().after_prompt("<turn>assistant\n<think>\n").unwrap();
        assert!(begun.begun && begun.visible("a b").is_empty());
        assert_eq!((begun.thought("a b</think>c"), begun.visible("a b</think>c")), (Some("a b"), "c"));
        assert!(!think().after_prompt("<turn>assistant\n").unwrap().begun);
        assert_eq!(think().after_prompt("<think>\n\n</think>\n\n"), None);
        let until = Thinking::until("DONE");
        assert_eq!((until.visible("a DONE b"), until.thought("a DONE b"), until.visible("a")), (" b", Some("a"), ""));
    }

    #[test]
    fn what_may_become_a_mark_is_known_from_its_first_letter() {
        let thinking = Thinking::of_template("</think>").unwrap();
        assert!(thinking.may_open("") && thinking.may_open("<th") && thinking.may_open("<think>x"));
        assert!(!thinking.may_open("The"));
    }
}
