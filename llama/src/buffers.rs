//! What a context takes on each device, known before anything is loaded.

use std::path::Path;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use crate::context::{Context, ContextOptions};
use crate::device;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Model, ModelOptions};

/// Kinds of memory that one context uses, at most: two for each of sixteen devices.
const KINDS: usize = 32;

/// One kind of memory, as `guard.cpp` writes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Row {
    kind: sys::ggml_backend_buffer_type_t,
    weights: usize,
    kv: usize,
    compute: usize,
}

unsafe extern "C" {
    fn ruminate_llama_buffers(context: *const sys::llama_context, rows: *mut Row, capacity: i32) -> i32;
}

/// Bytes on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffers {
    /// The device's [name](crate::Device::name).
    pub device: String,
    /// Weights.
    pub weights: u64,
    /// Keys and values.
    pub kv: u64,
    /// What a pass computes with.
    pub compute: u64,
}

/// What a context of the model at `path` would take on each device that it would use; its options may depend on the model's sizes.
/// llama.cpp goes through the whole of loading and of planning a pass, and takes no memory for either. Errors: those of [`Model::load`],
/// of [`Context::new`] and of `context`.
pub fn buffers<E: From<Error>>(
    path: &Path,
    model: &ModelOptions,
    context: impl FnOnce(&Model) -> std::result::Result<ContextOptions, E>,
) -> std::result::Result<Vec<Buffers>, E> {
    let model = Arc::new(Model::load_sizes(path, model)?);
    let options = context(&model)?;
    Ok(Context::new(&model, &options)?.buffers()?)
}

impl Context {
    /// What it takes on each device.
    pub fn buffers(&self) -> Result<Vec<Buffers>> {
        let mut rows = [Row { kind: std::ptr::null_mut(), weights: 0, kv: 0, compute: 0 }; KINDS];
        // SAFETY: the context lives, and there is room for as many rows as are promised.
        let n = unsafe { ruminate_llama_buffers(self.raw(), rows.as_mut_ptr(), KINDS as i32) };
        let rows = usize::try_from(n).ok().and_then(|n| rows.get(..n));
        let rows =
            rows.ok_or_else(|| Error::new(ErrorKind::Failed, "llama.cpp cannot tell the sizes of its buffers"))?;
        let mut all: Vec<Buffers> = Vec::new();
        for row in rows {
            let device = device_of(row.kind);
            let at = all.iter().position(|b| b.device == device).unwrap_or_else(|| {
                all.push(Buffers { device, weights: 0, kv: 0, compute: 0 });
                all.len() - 1
            });
            if let Some(buffers) = all.get_mut(at) {
                buffers.weights += row.weights as u64;
                buffers.kv += row.kv as u64;
                buffers.compute += row.compute as u64;
            }
        }
        Ok(all)
    }
}

/// The name of the device whose memory this is; the processor's for memory that a GPU only reads from there.
fn device_of(kind: sys::ggml_backend_buffer_type_t) -> String {
    // SAFETY: a kind of memory that a live context uses.
    let handle = unsafe {
        if sys::ggml_backend_buft_is_host(kind) {
            std::ptr::null_mut()
        } else {
            sys::ggml_backend_buft_get_device(kind)
        }
    };
    let all = device::all();
    let found = all.iter().find(|(_, other)| *other == handle).or_else(|| all.iter().find(|(device, _)| !device.gpu));
    found.map_or_else(|| "CPU".to_owned(), |(device, _)| device.name.clone())
}
