//! Chat templates: a conversation to the text that the model was trained on.
//!
//! Templates are Jinja and come with the model file, so that they are programs from outside: rendering is bounded in
//! work, depth and output, can load no other template, and an error stays an error (no other template is tried).

mod clock;
mod guard;
mod json;
mod thinking;

pub(super) use self::thinking::MARKS;
pub use self::thinking::Thinking;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;

use fancy_regex::Regex;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind as JinjaErrorKind, context};

use super::stack;
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
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    output_bytes: usize,
    fuel: u64,
    thinking: Option<Thinking>,
}

const NAME: &str = "chat_template";
const WHAT: &str = "chat template";
/// Calls, loops and macros inside each other. Published templates nest fewer than ten.
const DEPTH: usize = 64;
/// Work that a template may do for the conversation it gets, within the cap of the limits: one fuel is one instruction
/// or 64 bytes of text made. Published templates need about 60 per message and make each byte a few times.
const FUEL: u64 = 50_000;
const FUEL_PER_MESSAGE: u64 = 1_000;
const BYTES_PER_FUEL: u64 = 4;
/// Bytes of stack: some to begin with, what parsing may add per byte of source (a row of signs, `----1`, is parsed and
/// dropped by recursion), and what rendering may add per fuel (a value `n` lists deep costs `n` fuel to build and is
/// printed and dropped by recursion, at 60 to 250 bytes each as measured). Address space only: pages are taken when touched.
const STACK: usize = 4 << 20;
const STACK_PER_SOURCE_BYTE: usize = 2 << 10;
const STACK_PER_FUEL: usize = 1 << 10;

impl ChatTemplate {
    /// The template in `tokenizer.chat_template`; `None` when the file has none.
    pub fn from_gguf(gguf: &Gguf, limits: &Limits) -> Result<Option<Self>> {
        let Some(source) = gguf.metadata().str("tokenizer.chat_template")? else { return Ok(None) };
        let text = |key| token_text(gguf.metadata(), key);
        Self::new(source, text("bos_token_id")?, text("eos_token_id")?, limits).map(Some)
    }

    /// The template `source`, to be rendered with these texts of the model's first and last token.
    pub fn new(source: &str, bos_token: &str, eos_token: &str, limits: &Limits) -> Result<Self> {
        if source.len() > limits.template_source_bytes {
            let (len, cap) = (source.len(), limits.template_source_bytes);
            return Err(Error::format(format!("the chat template has {len} bytes, more than the cap of {cap}")));
        }
        let thinking = Thinking::of_template(source);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.map_err(|e| broken("the chat template's syntax cannot be set up", e))?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax.clone());
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_recursion_limit(DEPTH);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", refuse);
        environment.add_filter("tojson", json::tojson);
        // They join lists or indent deep values without paying for it, and no chat template needs them.
        for filter in ["chain", "sum", "pprint"] {
            environment.remove_filter(filter);
        }
        environment.remove_global("debug");
        let (source, charged) = guard::wrap_sums(&without_generation_blocks(source)?, syntax)
            .map_err(|e| broken("the model's chat template is not valid Jinja", e))?;
        environment.add_function(charged, guard::charged);
        stack::deep(WHAT, STACK + STACK_PER_SOURCE_BYTE.saturating_mul(source.len()), || {
            environment.add_template_owned(NAME, source)
        })?
        .map_err(|e| broken("the model's chat template is not valid Jinja", e))?;
        Ok(Self {
            environment,
            bos_token: bos_token.to_owned(),
            eos_token: eos_token.to_owned(),
            output_bytes: limits.template_output_bytes,
            fuel: limits.template_fuel,
            thinking,
        })
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
        let work = FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + bytes as u64 / BYTES_PER_FUEL;
        let fuel = work.min(self.fuel);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let mut out = Capped { bytes: Vec::new(), room: self.output_bytes, is_full: false };
        let rendered = stack::deep(WHAT, STACK.saturating_add(STACK_PER_FUEL.saturating_mul(fuel as usize)), || {
            let template = environment.get_template(NAME)?;
            template.render_captured_to(self.context(messages, options), &mut out).map(drop)
        })?;
        if out.is_full {
            let cap = self.output_bytes;
            return Err(Error::format(format!("the chat template writes more than the cap of {cap} bytes")));
        }
        rendered.map_err(failed)?;
        String::from_utf8(out.bytes).map_err(|e| {
            Error::new(ErrorKind::Internal, "the chat template wrote text that is not UTF-8").with_source(e)
        })
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

fn broken(what: &str, e: minijinja::Error) -> Error {
    Error::format(format!("{what}: {e}")).with_source(e)
}

fn failed(e: minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&e);
    while let Some(now) = cause {
        let source = now.source();
        if source.is_some_and(|source| source.is::<Refusal>()) {
            let said = now.downcast_ref::<minijinja::Error>().and_then(minijinja::Error::detail).unwrap_or_default();
            return Error::invalid(format!("the model's chat template refuses the conversation: {said}"));
        }
        cause = source;
    }
    if e.kind() == JinjaErrorKind::OutOfFuel {
        return Error::format("rendering the chat template takes more work than its cap allows").with_source(e);
    }
    broken("the model's chat template cannot be rendered", e)
}

/// A buffer that takes no more than its room.
struct Capped {
    bytes: Vec<u8>,
    room: usize,
    is_full: bool,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            self.is_full = true;
            return Err(io::Error::other("the output cap of the chat template is reached"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
