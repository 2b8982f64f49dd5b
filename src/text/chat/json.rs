//! `tojson` as Transformers defines it for chat templates: Python's `json.dumps` without escapes for HTML or Unicode.

use std::fmt::Write;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Values inside each other; what templates write out is tools and arguments, a few levels deep.
const DEPTH: usize = 64;

/// The filter `tojson`, with `indent` as its only option that changes the text.
pub(super) fn tojson(state: &State, value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    options.assert_all_used()?;
    let mut writer = Writer { state, out: String::new(), indent: indent.map(|n| n.min(16)) };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a, 'v, 'e> {
    state: &'a State<'v, 'e>,
    out: String,
    indent: Option<usize>,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: values are nested too deeply"));
        }
        self.state.consume_fuel(1)?;
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => {
                self.list('[', ']', depth, value.try_iter()?, |writer, item| writer.value(&item, depth + 1))?;
            }
            ValueKind::Map => {
                self.list('{', '}', depth, value.try_iter()?, |writer, key| {
                    writer.string(&key.to_string())?;
                    writer.out.push_str(": ");
                    writer.value(&value.get_item(&key)?, depth + 1)
                })?;
            }
            other => {
                let message = format!("tojson: a value of kind {other} has no JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        items: impl Iterator<Item = Value>,
        write: impl Fn(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let mut is_empty = true;
        for item in items {
            if !is_empty {
                self.out.push_str(if self.indent.is_some() { "," } else { ", " });
            }
            is_empty = false;
            self.new_line(depth + 1);
            write(self, item)?;
        }
        if !is_empty {
            self.new_line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(text.len() as u64 / 64)?;
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' => write!(self.out, "\\u{:04x}", u32::from(c))
                    .map_err(|e| Error::new(ErrorKind::InvalidOperation, "tojson: cannot write").with_source(e))?,
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }
}
