//! [`Template`]: Jinja that comes from outside, bounded in source, work, depth, stack and output. It can load no other template.

use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind as JinjaErrorKind};

use super::guard;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::text::stack;

/// What tells one kind of templates from plain Jinja.
pub(crate) struct Dialect {
    /// What it is called.
    pub what: &'static str,
    /// Rewrites a source.
    pub rewrite: fn(&str) -> Result<String>,
    /// Adds to what a template may use.
    pub extend: fn(&mut Environment<'static>),
}

/// A template, parsed.
#[derive(Debug)]
pub(crate) struct Template {
    what: &'static str,
    environment: Environment<'static>,
    output_bytes: usize,
    fuel: u64,
}

const NAME: &str = "template";
/// Calls, loops and macros inside each other. Published templates nest fewer than ten.
const DEPTH: usize = 64;
/// Work that a template may do for what it gets, within the cap of the limits: one fuel is one instruction
/// or 64 bytes of text made. Published chat templates need about 60 per message and make each byte a few times.
const FUEL: u64 = 50_000;
const FUEL_PER_ITEM: u64 = 1_000;
const BYTES_PER_FUEL: u64 = 4;
/// Bytes of stack: some to begin with, what parsing may add per byte of source (a row of signs, `----1`, is parsed and
/// dropped by recursion), and what rendering may add per fuel (a value `n` lists deep costs `n` fuel to build and is
/// printed and dropped by recursion, at 60 to 250 bytes each as measured). Address space only: pages are taken when touched.
const STACK: usize = 4 << 20;
const STACK_PER_SOURCE_BYTE: usize = 2 << 10;
const STACK_PER_FUEL: usize = 1 << 10;

impl Template {
    /// The template `source`; [`Format`](ErrorKind::Format) for one that is too long or no Jinja.
    pub fn new(source: &str, dialect: &Dialect, limits: &Limits) -> Result<Self> {
        let what = dialect.what;
        if source.len() > limits.template_source_bytes {
            let (len, cap) = (source.len(), limits.template_source_bytes);
            return Err(Error::format(format!("the {what} has {len} bytes, more than the cap of {cap}")));
        }
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.map_err(|e| broken(format!("the {what}'s syntax cannot be set up"), e))?;
        let invalid = |e| broken(format!("the {what} is not valid Jinja"), e);
        let mut environment = Environment::new();
        environment.set_syntax(syntax.clone());
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_recursion_limit(DEPTH);
        // They join lists or indent deep values without paying for it, and no chat template needs them.
        for filter in ["chain", "sum", "pprint"] {
            environment.remove_filter(filter);
        }
        environment.remove_global("debug");
        (dialect.extend)(&mut environment);
        let (source, charged) = guard::wrap_sums(&(dialect.rewrite)(source)?, syntax).map_err(invalid)?;
        environment.add_function(charged, guard::charged);
        stack::deep(what, STACK + STACK_PER_SOURCE_BYTE.saturating_mul(source.len()), || {
            environment.add_template_owned(NAME, source)
        })?
        .map_err(invalid)?;
        Ok(Self { what, environment, output_bytes: limits.template_output_bytes, fuel: limits.template_fuel })
    }

    /// The text that it makes of `values`, which hold so many messages and bytes. [`Format`](ErrorKind::Format) where it cannot; what
    /// minijinja says is the error's source.
    pub fn render(&self, values: Value, items: usize, bytes: usize) -> Result<String> {
        let what = self.what;
        let work = FUEL + FUEL_PER_ITEM * items as u64 + bytes as u64 / BYTES_PER_FUEL;
        let fuel = work.min(self.fuel);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let mut out = Capped { bytes: Vec::new(), room: self.output_bytes, is_full: false };
        let rendered = stack::deep(what, STACK.saturating_add(STACK_PER_FUEL.saturating_mul(fuel as usize)), || {
            let template = environment.get_template(NAME)?;
            template.render_captured_to(values, &mut out).map(drop)
        })?;
        if out.is_full {
            let cap = self.output_bytes;
            return Err(Error::format(format!("the {what} writes more than the cap of {cap} bytes")));
        }
        rendered.map_err(|e| match e.kind() {
            JinjaErrorKind::OutOfFuel => {
                Error::format(format!("rendering the {what} takes more work than its cap allows")).with_source(e)
            }
            _ => broken(format!("the {what} cannot be rendered"), e),
        })?;
        String::from_utf8(out.bytes).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("the {what} wrote text that is not UTF-8")).with_source(e)
        })
    }
}

fn broken(what: String, e: minijinja::Error) -> Error {
    Error::format(format!("{what}: {e}")).with_source(e)
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
            return Err(io::Error::other("the output cap of the template is reached"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
