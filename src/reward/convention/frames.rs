//! What a chat template writes around messages, found once, so that a turn can be added without rendering the others.

use super::opening;
use crate::error::{Error, Result};
use crate::text::{ChatMessage, ChatTemplate, TokenId, Tokenizer};

/// The texts between the messages of a conversation of turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frames {
    /// Before the first user message, the system message included.
    pub open: String,
    /// Between a user's message and the assistant's.
    pub to_assistant: String,
    /// Between an assistant's message and the user's.
    pub to_user: String,
}

/// Stand for the messages while the template is taken apart; no template writes them.
const MESSAGES: [&str; 4] = ["QZUSERONEQZ", "QZBOTONEQZ", "QZUSERTWOQZ", "QZBOTTWOQZ"];

impl Frames {
    /// The frames of `template`, with a system message if there is one; an error for a template whose turns are not alike.
    pub fn new(template: &ChatTemplate, system: Option<&str>) -> Result<Self> {
        let mut messages: Vec<ChatMessage> = system.map(|text| ChatMessage::new("system", text)).into_iter().collect();
        let roles = ["user", "assistant", "user", "assistant"];
        messages.extend(roles.into_iter().zip(MESSAGES).map(|(role, text)| ChatMessage::new(role, text)));
        let text = template.render(&messages, false)?;
        Self::split(&text).ok_or_else(|| {
            Error::unsupported(
                "the chat template does not write all turns alike, so that a step cannot be added as a turn",
            )
        })
    }

    /// The tokens of the question's turn and of what opens the assistant's.
    pub fn ask(&self, tokenizer: &Tokenizer, question: &str) -> Result<Vec<TokenId>> {
        let mut tokens = opening(tokenizer, &self.open, true)?;
        tokens.extend(tokenizer.encode_more(question.trim(), false)?);
        tokens.extend(tokenizer.encode_more(&self.to_assistant, true)?);
        Ok(tokens)
    }

    fn split(text: &str) -> Option<Self> {
        let [user, bot, user_two, bot_two] = MESSAGES;
        let (open, rest) = text.split_once(user)?;
        let (to_assistant, rest) = rest.split_once(bot)?;
        let (to_user, rest) = rest.split_once(user_two)?;
        let (again, end) = rest.split_once(bot_two)?;
        let once =
            ![open, to_assistant, to_user, again, end].iter().any(|part| MESSAGES.iter().any(|m| part.contains(m)));
        let (open, to_assistant, to_user) = (open.to_owned(), to_assistant.to_owned(), to_user.to_owned());
        (once && again == to_assistant).then_some(Self { open, to_assistant, to_user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_template_is_taken_apart_at_its_messages() {
        let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>\n{% endfor %}";
        let template = ChatTemplate::new(source, "", "", &Limits::default()).unwrap();
        let frames = Frames::new(&template, Some("Be brief.")).unwrap();
        assert_eq!(frames.open, "<|system|>Be brief.<|end|>\n<|user|>");
        assert_eq!(frames.to_assistant, "<|end|>\n<|assistant|>");
        assert_eq!(frames.to_user, "<|end|>\n<|user|>");
    }

    #[test]
    fn a_template_that_drops_or_numbers_turns_is_refused() {
        for source in [
            "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }};{% endif %}{% endfor %}",
            "{% for m in messages %}{{ loop.index }}:{{ m.content }};{% endfor %}",
        ] {
            let template = ChatTemplate::new(source, "", "", &Limits::default()).unwrap();
            assert!(Frames::new(&template, None).is_err(), "{source}");
        }
    }
}
