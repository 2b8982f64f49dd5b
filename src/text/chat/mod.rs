//! Chat templates: a conversation to the text that the model was trained on.
//!
//! Templates are Jinja and come with the model file, so that they are programs from outside: rendering is bounded in
//! work, depth and output, can load no other template, and an error stays an error (no other template is tried).

mod clock;
mod guard;
mod json;
mod template;
mod thinking;

pub(crate) use self::template::{Dialect, Template};
pub(super) use self::thinking::MARKS;
pub use self::thinking::Thinking;

use std::collections::BTreeMap;
use std::time::SystemTime;

use fancy_regex::Regex;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind as JinjaErrorKind, context};

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Gguf, Metadata};
use crate::limits::Limits;

/// Who said what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`, or what else the model's template knows.
    pub role: String,
    /// The words, as plain text.
    pub content: String,
}

impl ChatMessage {
    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// What a template is told beside the messages.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// End with the opening of an answer, so that the model goes on from there.
    pub add_generation_prompt: bool,
    /// The switch of thinking models; left out, the template decides.
    pub enable_thinking: Option<bool>,
    /// More variables by name.
    pub variables: Vec<(String, String)>,
    /// The time that `strftime_now` tells, in UTC; left out, that of the system clock.
    pub now: Option<SystemTime>,
}

/// A model's chat template, parsed.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Template,
    bos_token: String,
    eos_token: String,
    thinking: Option<Thinking>,
}

/// What chat templates are written for beside Jinja: Python's methods of texts, and what Transformers adds.
const DIALECT: Dialect = Dialect {
    what: "chat template",
    rewrite: without_generation_blocks,
    extend: |environment: &mut Environment<'static>| {
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", refuse);
        environment.add_filter("tojson", json::tojson);
    },
};

impl ChatTemplate {
    /// The template in `tokenizer.chat_template`; `None` when the file has none.
    pub fn from_gguf(gguf: &Gguf, limits: &Limits) -> Result<Option<Self>> {
        let Some(source) = gguf.metadata().str("tokenizer.chat_template")? else { return Ok(None) };
        let text = |key| token_text(gguf.metadata(), key);
        Self::new(source, text("bos_token_id")?, text("eos_token_id")?, limits).map(Some)
    }

    /// The template `source`, to be rendered with these texts of the model's first and last token.
    pub fn new(source: &str, bos_token: &str, eos_token: &str, limits: &Limits) -> Result<Self> {
        let template = Template::new(source, &DIALECT, limits)?;
        let thinking = Thinking::of_template(source);
        Ok(Self { template, bos_token: bos_token.to_owned(), eos_token: eos_token.to_owned(), thinking })
    }

    /// How the model marks its thinking in a reply to one message; `None` for a template that does not speak of it, or has it
    /// ended before the reply.
    pub fn thinking(&self) -> Option<Thinking> {
        let prompt = self.render(&[ChatMessage::new("user", "1+1?")], true).ok()?;
        self.thinking.clone()?.after_prompt(&prompt)
    }

    /// The text of a conversation.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, &ChatOptions { add_generation_prompt, ..ChatOptions::default() })
    }

    /// The text of a conversation, with everything that a template can be told. An error of kind `InvalidArgument`
    /// repeats the template's own refusal, such as two user messages in a row.
    pub fn render_with(&self, messages: &[ChatMessage], options: &ChatOptions) -> Result<String> {
        let bytes: usize = messages.iter().map(|m| m.role.len() + m.content.len()).sum();
        self.template.render(self.context(messages, options), messages.len(), bytes).map_err(refused)
    }

    fn context(&self, messages: &[ChatMessage], options: &ChatOptions) -> Value {
        let message = |m: &ChatMessage| context! { role => m.role.as_str(), content => m.content.as_str() };
        let now = options.now;
        let given = options.variables.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
        let thinking = options.enable_thinking.map(|on| ("enable_thinking", Value::from(on)));
        let own = context! {
            messages => messages.iter().map(message).collect::<Value>(),
            add_generation_prompt => options.add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            tools => (),
            documents => (),
            strftime_now => Value::from_function(move |format: &str| clock::format(now, format)),
        };
        let more: BTreeMap<&str, Value> = given.chain(thinking).collect();
        context! { ..Value::from(more), ..own }
    }
}

/// The text of the token that `tokenizer.ggml.KEY` names, without a table of all tokens; empty where the file names none.
fn token_text<'a>(metadata: &'a Metadata, key: &str) -> Result<&'a str> {
    let key = format!("tokenizer.ggml.{key}");
    let tokens = metadata.require_str_array("tokenizer.ggml.tokens")?;
    let Some(id) = metadata.u32(&key)? else { return Ok("") };
    let text = usize::try_from(id).ok().and_then(|id| tokens.get(id));
    text.ok_or_else(|| Error::format(format!("{key} is {id}, but the vocabulary has {} tokens", tokens.len())))
}

/// Transformers marks what the model is trained to say by `{% generation %}` blocks; for rendering they mean nothing.
fn without_generation_blocks(source: &str) -> Result<String> {
    let internal = |e| Error::new(ErrorKind::Internal, "the pattern of generation blocks is wrong").with_source(e);
    let open = Regex::new(r"\{%([-+]?)\s*generation\s*([-+]?)%\}").map_err(internal)?;
    let close = Regex::new(r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}").map_err(internal)?;
    let source = open.replace_all(source, "{%$1 if true $2%}");
    Ok(close.replace_all(&source, "{%$1 endif $2%}").into_owned())
}

/// `raise_exception`, by which templates refuse a conversation.
fn refuse(message: &str) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(JinjaErrorKind::InvalidOperation, message.to_owned()).with_source(Refusal))
}

/// Marks an error that a template raised on purpose.
#[derive(Debug)]
struct Refusal;

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("raised by the template")
    }
}

impl std::error::Error for Refusal {}

/// What the template said, if it raised the error itself.
fn refused(e: Error) -> Error {
    let mut cause = std::error::Error::source(&e);
    while let Some(now) = cause {
        let source = now.source();
        if source.is_some_and(|source| source.is::<Refusal>()) {
            let said = now.downcast_ref::<minijinja::Error>().and_then(minijinja::Error::detail).unwrap_or_default();
            return Error::invalid(format!("the model's chat template refuses the conversation: {said}"));
        }
        cause = source;
    }
    e
}

#[cfg(test)]
mod tests;
