//! Tools that a method may use on the model's behalf: functions with named arguments, whose result the model reads.
//!
//! Nothing here reaches a network or starts a program. A call is bounded in time and in what it says, and whatever goes wrong
//! with it is said to the model.

mod calculator;
mod dates;
mod folder;
mod host;
mod notes;
mod units;

#[cfg(test)]
mod tests;

pub use self::calculator::Calculator;
pub use self::dates::Dates;
pub use self::folder::Folder;
pub(super) use self::folder::words;
pub use self::host::HostTool;
pub use self::notes::Notes;
pub use self::units::Units;

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::text::Grammar;

/// A function that the model can call by name.
pub trait Tool: Send + Sync {
    /// Its name: letters, digits and `_`.
    fn name(&self) -> &str;

    /// What it does, in a line, for the model.
    fn about(&self) -> &str;

    /// The JSON Schema of its arguments, an object. The first of `required` takes an argument without a name.
    fn schema(&self) -> Value;

    /// What it says to these arguments. The text is cut and cleaned by the caller; an error is said to the model.
    fn call(&self, arguments: &Value) -> Result<Vec<u8>>;

    /// Whether equal calls in the same order say the same on any machine at any time. What another tool said is kept with
    /// traces and saved searches, and not asked again.
    fn is_repeatable(&self) -> bool {
        false
    }

    /// The tool as a new question finds it, if calls change it.
    fn fresh(&self) -> Option<Arc<dyn Tool>> {
        None
    }
}

/// What one call may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolLimits {
    /// Bytes of what it says; the rest is cut.
    pub output_bytes: usize,
    /// Time until it has to be done; then it is left alone and its result thrown away.
    pub wall: Duration,
}

impl Default for ToolLimits {
    /// Two thousand bytes within two seconds.
    fn default() -> Self {
        Self { output_bytes: 2_000, wall: Duration::from_secs(2) }
    }
}

/// Between two looks at whether the search is to end.
const PATIENCE: Duration = Duration::from_millis(10);

/// The tools of one question.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
    limits: ToolLimits,
}

/// Tools that need nothing.
const BUILT_IN: [fn() -> Arc<dyn Tool>; 4] =
    [|| Arc::new(Calculator), || Arc::new(Dates), || Arc::new(Units), || Arc::new(Notes::default())];

impl Toolbox {
    /// These tools; two of one name are an error.
    pub fn new(tools: Vec<Arc<dyn Tool>>, limits: ToolLimits) -> Result<Self> {
        for (index, tool) in tools.iter().enumerate() {
            let name = tool.name();
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain || tools.iter().take(index).any(|other| other.name() == name) {
                return Err(Error::invalid(format!("a tool is called {name:?}: names are words, each of one tool")));
            }
        }
        Ok(Self { tools, limits })
    }

    /// All tools that need nothing.
    pub fn all_built_in() -> impl Iterator<Item = Arc<dyn Tool>> {
        BUILT_IN.iter().map(|make| make())
    }

    /// The built-in tool of that name; the error lists all of them.
    pub fn built_in(name: &str) -> Result<Arc<dyn Tool>> {
        Self::all_built_in().find(|tool| tool.name() == name).ok_or_else(|| {
            let known: Vec<String> = Self::all_built_in().map(|tool| tool.name().to_owned()).collect();
            Error::invalid(format!("no built-in tool is called {name:?}; there are: {}", known.join(", ")))
        })
    }

    /// The same tools with another time for a call.
    #[must_use]
    pub fn with_wall(self, wall: Duration) -> Self {
        Self { limits: ToolLimits { wall, ..self.limits }, ..self }
    }

    /// The names of the tools.
    pub fn names(&self) -> Vec<&str> {
        self.tools.iter().map(|tool| tool.name()).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The tools as a new question finds them.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let tools = self.tools.iter().map(|tool| tool.fresh().unwrap_or_else(|| tool.clone())).collect();
        Self { tools, limits: self.limits.clone() }
    }

    /// What the model is told of the tools: a line each.
    pub fn about(&self) -> String {
        let line = |tool: &Arc<dyn Tool>| {
            let schema = tool.schema();
            let names = schema["properties"].as_object().into_iter().flatten();
            let names: Vec<String> = names
                .map(|(name, about)| format!("{name}: {}", about["description"].as_str().unwrap_or_default()))
                .collect();
            format!("- {}: {} Input: {}\n", tool.name(), tool.about(), names.join("; "))
        };
        self.tools.iter().map(line).collect()
    }

    /// A call as the model is to write it, of the calculator; empty without one, because what another tool says could not be shown.
    pub fn example(&self) -> String {
        let Some(tool) = self.find("calculator") else { return String::new() };
        let schema = tool.schema();
        let name = schema["required"][0].as_str().unwrap_or("input");
        format!("{} {}", tool.name(), arguments_text(name, "13 * 24 + 7"))
    }

    /// What a call of any of the tools looks like: its name, and JSON of its schema. `None` without tools, and in a build without
    /// grammars.
    pub fn grammar(&self) -> Result<Option<Grammar>> {
        if self.is_empty() || !cfg!(feature = "grammar") {
            return Ok(None);
        }
        let rule = |(i, tool): (usize, &Arc<dyn Tool>)| {
            let mut schema = tool.schema();
            if let Some(schema) = schema.as_object_mut() {
                schema.entry("additionalProperties").or_insert(Value::Bool(false));
                let spacing = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
                schema.entry("x-guidance").or_insert(spacing);
            }
            format!("tool_{i}: \" \"? \"{} \" arguments_{i}\narguments_{i}: %json {schema}\n", tool.name())
        };
        let rules: String = self.tools.iter().enumerate().map(rule).collect();
        let names: Vec<String> = (0..self.tools.len()).map(|i| format!("tool_{i}")).collect();
        Grammar::lark(format!("start: {}\n{rules}", names.join(" | "))).map(Some)
    }

    /// Whether what the tool of that name says has to be kept.
    pub(super) fn is_repeatable(&self, name: &str) -> bool {
        self.find(name).is_none_or(|tool| tool.is_repeatable())
    }

    /// What the tool `name` says to `input`, a JSON object of its arguments or the text of its first one. Always a text of bounded
    /// length without control characters; also where there is no such tool.
    /// When the search is to end, the tool is left alone as if its time were over.
    pub fn call(&self, name: &str, input: &str, interrupt: &Interrupt) -> String {
        let said = match self.find(name) {
            Some(tool) => {
                let arguments = arguments(&tool.schema(), input);
                arguments.and_then(|arguments| within(tool, arguments, self.limits.wall, interrupt))
            }
            None => Err(Error::invalid(format!("there is no tool {name:?}; there are: {}", self.names().join(", ")))),
        };
        let said = said.unwrap_or_else(|error| format!("error: {error}").into_bytes());
        bounded(&said, self.limits.output_bytes)
    }

    fn find(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.name() == name).cloned()
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Toolbox").field("tools", &self.names()).field("limits", &self.limits).finish()
    }
}

/// The call in a thread of its own, which is left alone when it takes too long: a function cannot be stopped from outside.
fn within(tool: Arc<dyn Tool>, arguments: Value, wall: Duration, interrupt: &Interrupt) -> Result<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    let name = tool.name().to_owned();
    let work = move || {
        let said = tool.call(&arguments);
        // Nobody listens any more when the time was over.
        let _ = tell.send(said);
    };
    thread::Builder::new().name(format!("tool {name}")).spawn(work).map_err(|e| Error::io("starting the tool", e))?;
    let start = Instant::now();
    loop {
        interrupt.check()?;
        let left = wall.saturating_sub(start.elapsed());
        match told.recv_timeout(left.min(PATIENCE)) {
            Ok(said) => return said,
            Err(mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let ms = wall.as_millis();
                return Err(Error::invalid(format!("{name} took longer than {ms} ms and was given up")));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::invalid(format!("{name} broke down"))),
        }
    }
}

/// Arguments from what the model wrote, checked against the schema as far as it names types and what is required.
fn arguments(schema: &Value, input: &str) -> Result<Value> {
    let input = input.trim();
    let required = || schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let given = match serde_json::from_str(input) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => match required().next() {
            Some(first) => {
                let quoted = input.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                json!({ first: quoted.unwrap_or(input) })
            }
            None => json!({}),
        },
    };
    if let Some(missing) = required().find(|name| given.get(name).is_none_or(Value::is_null)) {
        return Err(Error::invalid(format!("the argument {missing:?} is missing")));
    }
    for (name, value) in given.as_object().into_iter().flatten() {
        let Some(property) = schema["properties"].get(name) else {
            return Err(Error::invalid(format!("there is no argument {name:?}")));
        };
        let fits = match property["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            _ => true,
        };
        if !fits {
            let kind = property["type"].as_str().unwrap_or_default();
            return Err(Error::invalid(format!("the argument {name:?} has to be of type {kind}")));
        }
    }
    Ok(given)
}

fn arguments_text(name: &str, value: &str) -> String {
    format!("{{{}: {}}}", json!(name), json!(value))
}

/// At most `most` bytes of text, cut between characters and marked; what is no text is replaced, control characters become blanks.
fn bounded(bytes: &[u8], most: usize) -> String {
    const MARK: &str = " […]";
    let head = bytes.get(..most.saturating_add(4)).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    let clean: String = text.trim().chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if bytes.len() <= most && clean.len() <= most {
        return clean;
    }
    let mut end = most.saturating_sub(MARK.len()).min(clean.len());
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", clean.get(..end).unwrap_or_default())
}

/// A text argument; what is required was checked before.
fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments[name].as_str().unwrap_or_default()
}
