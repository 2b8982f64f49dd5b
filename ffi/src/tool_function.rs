//! Tools that are functions of the host.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use ruminate::reason::tools::{HostTool, ToolLimits, Toolbox};
use ruminate::{Error, ErrorKind};
use serde_json::Value;

use crate::call::{clear, entry, hand_out};
use crate::handle::{self, Kind, Object};
use crate::host::{Host, rum_drop_fn};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, Text, rum_str};
use crate::tool::{Tool, rum_tool};

/// Bytes that a function may write, at most; methods cut far below.
const MOST: usize = 1 << 20;

/// What a function of the host says to one call, while it is called.
pub struct rum_reply(());

/// Called when the model calls the function. `arguments` is a JSON object of `arguments_len` bytes with a NUL behind them, checked
/// against the schema's types and required names; valid during the call. What the function says goes into `reply` by
/// `rum_reply_write`. It returns 0; another number is a failure, which the model is told together with what was written: the run
/// goes on.
///
/// Called on a thread of its own with no lock held, and on several at once by runs side by side. One that takes longer than the
/// method's `tool_ms`, or whose run ends meanwhile, is left alone: nobody reads its reply, and it may still use `user`. A call on the
/// run's session from here gives `RUM_ERR_BUSY`; cancelling is allowed, and so is freeing the run. It must not throw or jump out.
pub type rum_tool_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        arguments: *const c_char,
        arguments_len: usize,
        reply: *mut rum_reply,
    ) -> i32,
>;

/// A function of the host, for `rum_tool_new_function`. Fill it with `rum_function_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_function {
    pub struct_size: usize,
    /// What the model calls it: letters, digits and `_`.
    pub name: rum_str,
    /// What it does, in a line for the model.
    pub about: rum_str,
    /// The JSON Schema of its arguments: an object with `properties`, each with its `type` and `description`, and `required`. The
    /// first of `required` takes an argument that the model gives without a name.
    pub schema: rum_str,
    /// The function.
    pub call: rum_tool_fn,
    /// Its first argument.
    pub user: *mut c_void,
    /// Called with `user` once, when the tool, the last method with it and the last call are gone, and also when the tool cannot be
    /// made; unless the struct is refused because of its `struct_size`.
    pub drop: rum_drop_fn,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_function {
    const FIRST: usize = 10 * size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            name: rum_str::NONE,
            about: rum_str::NONE,
            schema: rum_str::NONE,
            call: None,
            user: std::ptr::null_mut(),
            drop: None,
        }
    }
}

/// Fills `function` with nothing. `struct_size` is `sizeof *function`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_function_init(function: *mut rum_function, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_function_init", |_| unsafe { sized::init(function, struct_size) })
}

/// A tool that calls a function of the host. What it said is kept with traces and saved searches, and not asked again by those
/// who go on with them. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_tool_new_function(function: *const rum_function, out: *mut *mut rum_tool) -> rum_status {
    entry("rum_tool_new_function", |_| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let given = unsafe { sized::read(function, "the function") }?;
        let host = Host::new(given.user, given.drop);
        cleared?;
        // SAFETY: the caller's promise.
        let (name, about, schema) =
            unsafe { (given.name.read("the name")?, given.about.read("about")?, given.schema.read("the schema")?) };
        let schema = read_schema(schema)?;
        let call = given.call.ok_or_else(|| Failure::invalid("the function is NULL"))?;
        let function = Function { host, call };
        let tool = HostTool::new(name, about, schema, move |arguments| function.call(arguments));
        let record = tool.record();
        let tool = Tool { tool: Arc::new(tool), record };
        // Its name is looked at here and not when a method is made with it.
        Toolbox::new(vec![tool.tool.clone()], ToolLimits::default())?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(tool, out) }
    })
}

fn read_schema(text: &str) -> Result<Value, Failure> {
    let schema: Value = serde_json::from_str(text).map_err(|e| Failure::invalid(format!("the schema: {e}")))?;
    let names_arguments = schema["properties"].as_object().is_some_and(|p| p.values().all(Value::is_object));
    let required = schema.get("required").map_or(Some(true), |names| {
        Some(
            names
                .as_array()?
                .iter()
                .all(|name| name.as_str().is_some_and(|name| !schema["properties"][name].is_null())),
        )
    });
    match names_arguments && required == Some(true) {
        true => Ok(schema),
        false => Err(Failure::invalid(
            "the schema has to be an object whose `properties` are objects, and `required` a list of their names",
        )),
    }
}

struct Function {
    host: Host,
    call: unsafe extern "C" fn(*mut c_void, *const c_char, usize, *mut rum_reply) -> i32,
}

impl Function {
    fn call(&self, arguments: &Value) -> ruminate::Result<Vec<u8>> {
        let arguments = Text::new(arguments.to_string());
        let lent = arguments.lend();
        let reply = OpenReply::new()?;
        // SAFETY: the host's function with the host's data; everything pointed to outlives the call.
        let said = unsafe { (self.call)(self.host.user(), lent.ptr, lent.len, reply.handle) };
        let written = reply.take();
        let failed = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        match said {
            0 => Ok(written),
            said if written.is_empty() => failed(format!("the function returned {said}")),
            _ => failed(String::from_utf8_lossy(&written).into_owned()),
        }
    }
}

/// What was written so far.
#[derive(Default)]
struct Reply(Mutex<Vec<u8>>);

impl Kind for Reply {
    type Opaque = rum_reply;
    const NAME: &'static str = "reply";
}

/// A reply that can be written to until this is dropped.
struct OpenReply {
    handle: *mut rum_reply,
    object: Arc<Object<Reply>>,
}

impl OpenReply {
    fn new() -> ruminate::Result<Self> {
        let internal = |failure: Failure| Error::new(ErrorKind::Internal, failure.message);
        let handle = handle::give(Reply::default()).map_err(internal)?;
        let object = handle::find::<Reply>(handle).map_err(internal)?;
        Ok(Self { handle, object })
    }

    fn take(self) -> Vec<u8> {
        std::mem::take(&mut self.object.value.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for OpenReply {
    fn drop(&mut self) {
        // It was given out above, and nobody else can free it.
        drop(handle::take::<Reply>(self.handle));
    }
}

/// Appends `len` bytes at `text` to what the function says to this call. Bytes that are no UTF-8 and control characters are replaced
/// before the model reads them. `RUM_ERR_MEMORY`, and nothing is appended, past 1 MiB; `RUM_ERR_MISUSE` once the function has returned.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_reply_write(reply: *mut rum_reply, text: *const c_char, len: usize) -> rum_status {
    entry("rum_reply_write", |call| {
        let reply = call.receiver::<Reply>(reply)?;
        // SAFETY: the caller's promise.
        let more = unsafe { text::bytes(text, len, "the text") }?;
        let mut written = reply.value.0.lock().unwrap_or_else(PoisonError::into_inner);
        if more.len() > MOST - written.len() {
            return Err(Failure::new(rum_status::RUM_ERR_MEMORY, format!("a reply holds at most {MOST} bytes")));
        }
        written.extend_from_slice(more);
        Ok(())
    })
}
