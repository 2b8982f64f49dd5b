//! A function of the program that embeds the library.

use serde_json::Value;

use super::Tool;
use crate::error::Result;

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
