//! Opening models: from a path, a file descriptor or memory.

use std::ffi::{c_char, c_void};
use std::path::Path;

use ruminate::Limits;
use ruminate::gguf::Gguf;
use ruminate::storage::Bytes;

use crate::call::{clear, entry, hand_out, not_null};
use crate::cancel::rum_cancel;
use crate::host::rum_drop_fn;
use crate::model::rum_model;
use crate::number::numbers;
use crate::opening::Opening;
use crate::runtime::rum_runtime;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_str};

/// How a file is brought into memory.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_load {
    /// Map the file: pages are loaded on first use and shared with other processes. A program that shortens the file meanwhile
    /// ends this process (SIGBUS on Unix); other changes are noticed and reported.
    RUM_LOAD_MMAP = 0,
    /// Copy the whole file into memory: later changes have no effect. The copy stays beside the packed weights, so that the model takes
    /// about twice its file's bytes, as it does when it is opened from memory or by a descriptor.
    RUM_LOAD_READ = 1,
}

numbers!(rum_load, "way to load": RUM_LOAD_MMAP, RUM_LOAD_READ);

/// What takes time while a model is opened.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_load_stage {
    /// Bytes are brought into memory: not where a file is mapped.
    RUM_LOAD_STAGE_READING = 0,
    /// Weights are packed for the processor, or written to the packed cache.
    RUM_LOAD_STAGE_PACKING = 1,
}

/// Told while a model is opened: `done` of `total` bytes of a `rum_load_stage`. Returning anything but 0 cancels: the function
/// that opens gives `RUM_ERR_CANCELLED`. Called on the thread that opens, with no lock held. It must not throw or jump out.
pub type rum_load_fn = Option<unsafe extern "C" fn(user: *mut c_void, stage: u32, done: u64, total: u64) -> i32>;

/// How a model is opened. Fill it with `rum_model_options_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_model_options {
    pub struct_size: usize,
    /// A `rum_load`; for `rum_model_open` with `RUM_BACKEND_NATIVE` alone.
    pub load: u32,
    /// 1 to pack all weights at once, so that the first forward pass has nothing to pack; takes seconds for gigabytes.
    pub pack: u32,
    /// A file for the packed weights, or no text: made when it is missing or does not fit, mapped otherwise, so that the first
    /// forward pass has nothing to pack. A mapped model is known by its size and time, another one by all of its bytes, whose digest
    /// takes tenths of a second for each gigabyte.
    pub packed_cache: rum_str,
    /// Told how far opening is, or NULL.
    pub on_progress: rum_load_fn,
    /// The first argument of `on_progress`.
    pub user: *mut c_void,
    /// Called with `user` once, before the function that opens returns, and also when it fails; unless the options themselves
    /// are refused because of their `struct_size`.
    pub drop: rum_drop_fn,
    /// A `rum_backend`. `RUM_BACKEND_LLAMA` opens files alone, has no packed weights, and no training; it looks at what could end the
    /// opening before and after the file is loaded. `RUM_ERR_UNSUPPORTED` in a build without it.
    pub backend: u32,
    /// Layers on a GPU, from the last one on; `UINT32_MAX`, the default, for all of them. For `RUM_BACKEND_LLAMA`.
    pub n_gpu_layers: u32,
    /// The only devices to use, by the names that `rum_devices_json` lists, with commas between; or no text for whatever there is. For
    /// `RUM_BACKEND_LLAMA`.
    pub device: rum_str,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_model_options {
    const FIRST: usize = 16 + size_of::<[usize; 8]>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            load: 0,
            pack: 0,
            packed_cache: rum_str::NONE,
            on_progress: None,
            user: std::ptr::null_mut(),
            drop: None,
            backend: 0,
            n_gpu_layers: u32::MAX,
            device: rum_str::NONE,
        }
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_model_options_init(options: *mut rum_model_options, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_model_options_init", |_| unsafe { sized::init(options, struct_size) })
}

/// Opens the GGUF file at `path` and, where it is the first of a split model, the others beside it.
///
/// `runtime` and `options` may be NULL for the defaults, `cancel` for none; it is looked at between stages, between MiB that are
/// read and between matrices that are packed. The caller frees `out`. Errors: `RUM_ERR_IO`, `RUM_ERR_FORMAT`, `RUM_ERR_UNSUPPORTED`,
/// `RUM_ERR_MEMORY` when the runtime's budget does not hold the packed weights, and the file beside them where it is read;
/// `RUM_ERR_CANCELLED`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_open(
    runtime: *const rum_runtime,
    path: *const c_char,
    path_len: usize,
    options: *const rum_model_options,
    cancel: *const rum_cancel,
    out: *mut *mut rum_model,
) -> rum_status {
    entry("rum_model_open", |call| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut opening = unsafe { Opening::new(call, runtime, options, cancel) }?;
        cleared?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        let gguf = opening.file(Path::new(path))?;
        let absolute = std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string());
        let model = opening.model(&gguf, Some(&absolute)).map_err(|failure| failure.context(path))?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(model, out) }
    })
}

/// Opens a GGUF file that lies in memory. The `len` bytes at `data` are copied, so they may go when the call returns. Otherwise
/// as `rum_model_open`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_open_memory(
    runtime: *const rum_runtime,
    data: *const u8,
    len: usize,
    options: *const rum_model_options,
    cancel: *const rum_cancel,
    out: *mut *mut rum_model,
) -> rum_status {
    entry("rum_model_open_memory", |call| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut opening = unsafe { Opening::new(call, runtime, options, cancel) }?;
        cleared?;
        not_null(data, "the data")?;
        if len > isize::MAX as usize {
            return Err(Failure::invalid(format!("the data has a length of {len} bytes")));
        }
        // SAFETY: the caller's promise: `len` bytes can be read.
        let data = unsafe { std::slice::from_raw_parts(data, len) };
        let bytes = opening.fill(len, |own, at| {
            if let Some(part) = data.get(at..at + own.len()) {
                own.copy_from_slice(part);
            }
            Ok(())
        })?;
        let model = opening.model(&Gguf::parse(bytes, &Limits::default())?, None)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(model, out) }
    })
}

/// Opens a GGUF file that is `len` bytes of the file `fd` from `offset` on, such as an asset inside a package. They are read into
/// memory; the descriptor stays the caller's, and its position does not matter and does not change. Otherwise as
/// `rum_model_open`. `RUM_ERR_UNSUPPORTED` on systems other than Unix.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_open_fd(
    runtime: *const rum_runtime,
    fd: i32,
    offset: u64,
    len: u64,
    options: *const rum_model_options,
    cancel: *const rum_cancel,
    out: *mut *mut rum_model,
) -> rum_status {
    entry("rum_model_open_fd", |call| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut opening = unsafe { Opening::new(call, runtime, options, cancel) }?;
        cleared?;
        let bytes = read_fd(&mut opening, fd, offset, len)?;
        let model = opening.model(&Gguf::parse(bytes, &Limits::default())?, None)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(model, out) }
    })
}

#[cfg(unix)]
fn read_fd(opening: &mut Opening<'_>, fd: i32, offset: u64, len: u64) -> Result<Bytes, Failure> {
    use std::os::fd::BorrowedFd;
    use std::os::unix::fs::FileExt;

    let failed = |e: std::io::Error| Failure::new(rum_status::RUM_ERR_IO, format!("reading descriptor {fd}: {e}"));
    if fd < 0 {
        return Err(Failure::invalid(format!("{fd} is no file descriptor")));
    }
    // SAFETY: not -1, and borrowed for this call only; one that is not open is an error of the next line.
    let file = std::fs::File::from(unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().map_err(failed)?);
    let size = file.metadata().map_err(failed)?.len();
    let end = offset.checked_add(len).filter(|&end| end <= size && len > 0);
    let len = end.and(usize::try_from(len).ok()).ok_or_else(|| {
        Failure::invalid(format!("{len} bytes from byte {offset} on are no part of a file of {size} bytes"))
    })?;
    opening.fill(len, |own, at| file.read_exact_at(own, offset + at as u64).map_err(failed))
}

#[cfg(not(unix))]
fn read_fd(_: &mut Opening<'_>, _: i32, _: u64, _: u64) -> Result<Bytes, Failure> {
    Err(Failure::new(rum_status::RUM_ERR_UNSUPPORTED, "file descriptors are read on Unix only; open a path or memory"))
}
