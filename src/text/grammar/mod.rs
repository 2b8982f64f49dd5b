//! Grammars: what a text has to be, such as JSON of a schema. Which tokens may come next is worked out by `llguidance`.

#[cfg(feature = "grammar")]
mod guide;
#[cfg(not(feature = "grammar"))]
#[path = "without.rs"]
mod guide;
#[cfg(test)]
#[cfg(feature = "grammar")]
pub(crate) mod testing;
#[cfg(test)]
#[cfg(feature = "grammar")]
mod tests;

pub(super) use self::guide::Guides;
pub use self::guide::{Guide, Permitted};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// What a text, or its end, has to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grammar {
    form: Form,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    after: String,
}

/// The kinds of grammars.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Form {
    /// A JSON value of this schema, on one line unless the schema's `x-guidance` says otherwise.
    JsonSchema(String),
    /// All of the text matches this regular expression, in the syntax of the crate `regex`.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A context-free grammar in llguidance's dialect of Lark.
    Lark(String),
}

impl Grammar {
    /// JSON of this schema, given as its own JSON text.
    pub fn json_schema(schema: impl Into<String>) -> Result<Self> {
        Self::of(Form::JsonSchema(schema.into()))
    }

    /// A text that matches `pattern` as a whole.
    pub fn regex(pattern: impl Into<String>) -> Result<Self> {
        Self::of(Form::Regex(pattern.into()))
    }

    /// One of `texts`.
    pub fn choice(texts: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        Self::of(Form::Choice(texts.into_iter().map(Into::into).collect()))
    }

    /// A text of this Lark grammar.
    pub fn lark(source: impl Into<String>) -> Result<Self> {
        Self::of(Form::Lark(source.into()))
    }

    /// A grammar of this form. What can be wrong with it beyond its size and its JSON shows when a text is begun
    /// ([`Tokenizer::guide`](super::Tokenizer::guide)).
    pub fn of(form: Form) -> Result<Self> {
        let grammar = Self { form, after: String::new() };
        grammar.source()?;
        Ok(grammar)
    }

    /// The same, to be begun behind the first `marker` of the text, white space aside: before it the text may be anything, but
    /// cannot end.
    #[must_use]
    pub fn after(self, marker: impl Into<String>) -> Self {
        Self { after: marker.into(), ..self }
    }

    /// The form.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// The part of a whole text that the grammar is about.
    pub fn part<'t>(&self, text: &'t str) -> Option<&'t str> {
        if self.after.is_empty() {
            return Some(text);
        }
        text.split_once(self.after.as_str()).map(|(_, part)| part.trim_start())
    }

    /// What the part means, equal for parts that mean the same: JSON with sorted keys, other texts as they are.
    pub fn meaning(&self, part: &str) -> String {
        match &self.form {
            Form::JsonSchema(_) => match serde_json::from_str::<Value>(part) {
                Ok(value) => sorted(value).to_string(),
                Err(_) => part.to_owned(),
            },
            _ => part.to_owned(),
        }
    }

    /// The whole in llguidance's Lark.
    fn source(&self) -> Result<String> {
        let (bytes, cap) = (self.bytes(), Limits::default().grammar_bytes);
        if bytes > cap {
            return Err(Error::invalid(format!("the grammar has {bytes} bytes, more than the cap of {cap}")));
        }
        // One blank more where something stands before.
        let blank = if self.after.is_empty() { "" } else { " ?" };
        let body = match &self.form {
            Form::JsonSchema(schema) => format!("body: %json {}", schema_of(schema)?),
            Form::Regex(pattern) => format!("body: /{blank}(?:{})/", in_slashes(pattern)),
            Form::Choice(texts) => format!("body: /{blank}(?:{})/", alternatives(texts)?),
            Form::Lark(source) if self.after.is_empty() => return Ok(source.clone()),
            Form::Lark(_) => {
                return Err(Error::invalid("a Lark grammar says itself what stands before: it takes no marker"));
            }
        };
        if self.after.is_empty() {
            return Ok(format!("start: body\n{body}\n"));
        }
        let blank = if matches!(self.form, Form::JsonSchema(_)) { "\" \"?" } else { "" };
        let marker = json!(self.after);
        // The shortest beginning that ends with the marker.
        Ok(format!("start: head {blank} body\nhead[lazy]: ANY {marker}\nANY: /(\\n|.)*/\n{body}\n"))
    }

    fn bytes(&self) -> usize {
        let form = match &self.form {
            Form::JsonSchema(text) | Form::Regex(text) | Form::Lark(text) => text.len(),
            Form::Choice(texts) => texts.iter().map(String::len).sum(),
        };
        form.saturating_add(self.after.len())
    }
}

/// The schema with the usual spacing of one line, unless it has its own: a model that may write any white space may write nothing
/// else.
fn schema_of(text: &str) -> Result<Value> {
    let value = serde_json::from_str(text).map_err(|e| Error::invalid(format!("the JSON schema is no JSON: {e}")))?;
    let mut schema = match value {
        Value::Object(schema) => schema,
        Value::Bool(true) => Map::new(),
        _ => return Err(Error::invalid("a JSON schema is an object, such as {\"type\": \"object\"}")),
    };
    let spacing = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
    schema.entry("x-guidance").or_insert(spacing);
    Ok(Value::Object(schema))
}

/// A pattern between slashes, as Lark has them.
fn in_slashes(pattern: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for c in pattern.chars() {
        match c {
            '/' if !escaped => out.push_str("\\/"),
            '\n' => out.push_str(if escaped { "n" } else { "\\n" }),
            '\r' => out.push_str(if escaped { "r" } else { "\\r" }),
            c => out.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// A pattern of these texts as they are.
fn alternatives(texts: &[String]) -> Result<String> {
    if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
        return Err(Error::invalid("a choice needs at least one text, and none may be empty"));
    }
    let escape = |text: &String| {
        let hex = |c: char| if c.is_alphanumeric() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) };
        text.chars().map(hex).collect::<String>()
    };
    Ok(texts.iter().map(escape).collect::<Vec<_>>().join("|"))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
