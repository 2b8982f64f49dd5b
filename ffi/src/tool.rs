//! Tools that a method of several calls may use on the model's behalf.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

use ruminate::reason::tools::{Folder, Tool as Callable, Toolbox};

use crate::call::{clear, entry, free, hand_out};
use crate::handle::Kind;
use crate::status::rum_status;
use crate::text;

/// A function that the model can call by name. Any number of methods and runs may use it at once. There is none that reaches a
/// network or starts a program, unless it is a function of the host that does.
pub struct rum_tool(());

/// A tool, and how a trace names it.
#[derive(Clone)]
pub struct Tool {
    pub tool: Arc<dyn Callable>,
    /// As whoever replays the trace can make it again.
    pub record: String,
}

impl Kind for Tool {
    type Opaque = rum_tool;
    const NAME: &'static str = "tool";
}

/// The built-in tool of that name: `calculator`, `dates`, `units` or `notes`, which `rum_methods_json` describes. Notes are kept
/// for one question. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_tool_new(name: *const c_char, name_len: usize, out: *mut *mut rum_tool) -> rum_status {
    entry("rum_tool_new", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text::read(name, name_len, "the name") }?;
        let tool = Tool { tool: Toolbox::built_in(name)?, record: name.to_owned() };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(tool, out) }
    })
}

/// The tool `search`, which finds passages in the `.txt` and `.md` files of the folder at `path` and of the folders in it. They are
/// read once, here; links are not followed. `RUM_ERR_INVALID_ARGUMENT` for more than 2,000 files or 32 MiB of text. The caller frees
/// `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_tool_open_folder(
    path: *const c_char,
    path_len: usize,
    out: *mut *mut rum_tool,
) -> rum_status {
    entry("rum_tool_open_folder", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        let tool = Tool { tool: Arc::new(Folder::open(Path::new(path))?), record: format!("search={path}") };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(tool, out) }
    })
}

/// Frees a tool; NULL is fine. Methods that were made with it go on.
#[unsafe(no_mangle)]
pub extern "C" fn rum_tool_free(tool: *mut rum_tool) -> rum_status {
    free::<Tool>("rum_tool_free", tool)
}
