//! A function of the program that embeds the library.

use serde_json::{Value, json};

use super::Tool;
use crate::error::{Error, Result};

/// What the record of a host function begins with.
const RECORD: &str = "host=";

/// What a host function does with its arguments.
type Function = Box<dyn Fn(&Value) -> Result<Vec<u8>> + Send + Sync>;

/// A function with a name. What it said is kept with traces and saved searches, so that a replay does not call it again.
pub struct HostTool {
    name: String,
    about: String,
    schema: Value,
    function: Function,
}

impl HostTool {
    /// `function` under `name`. `schema` is the JSON Schema of its arguments. A call that never returns is left alone in its
    /// thread, and a panic is said to the model.
    pub fn new(
        name: impl Into<String>,
        about: impl Into<String>,
        schema: Value,
        function: impl Fn(&Value) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), about: about.into(), schema, function: Box::new(function) }
    }

    /// What a trace keeps of it: all that prompts say of it, and nothing that could be called.
    pub fn record(&self) -> String {
        let Self { name, about, schema, .. } = self;
        format!("{RECORD}{}", json!({"name": name, "about": about, "schema": schema}))
    }

    /// The function of a [`record`](Self::record), for a replay, which is told what it said then; to a call that the trace does not
    /// hold it says that it is not there. `None` for the name of another tool.
    pub fn recorded(record: &str) -> Option<Result<Self>> {
        let record = record.strip_prefix(RECORD)?;
        let text = |record: &Value, name: &str| record[name].as_str().map(str::to_owned);
        let read = || {
            let record: Value = serde_json::from_str(record).ok()?;
            let (name, about, schema) = (text(&record, "name")?, text(&record, "about")?, record["schema"].clone());
            Some(Self::new(name, about, schema, |_| Err(Error::unsupported("its program is not here"))))
        };
        Some(read().ok_or_else(|| Error::format("the record of a function of the host is damaged")))
    }
}

impl Tool for HostTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn schema(&self) -> Value {
        self.schema.clone()
    }

    fn call(&self, arguments: &Value) -> Result<Vec<u8>> {
        (self.function)(arguments)
    }
}
