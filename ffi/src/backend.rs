//! What computes: our own engine on the processor, or llama.cpp where it was built in.

use ruminate::engine::{Backend, devices};
use serde_json::{Value, json};

use crate::call::{clear, entry};
use crate::model_open::rum_model_options;
use crate::number::numbers;
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_text};

/// What computes a model.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_backend {
    /// The engine of this library, on the processor.
    RUM_BACKEND_NATIVE = 0,
    /// llama.cpp: CUDA, Metal and Vulkan, and more architectures; in builds that `rum_build_info_json` says so of.
    RUM_BACKEND_LLAMA = 1,
}

numbers!(rum_backend, "backend": RUM_BACKEND_NATIVE, RUM_BACKEND_LLAMA);

/// The backend that the options name.
///
/// # Safety
/// The options' pointers can be read.
pub unsafe fn chosen(options: &rum_model_options) -> Result<Backend, Failure> {
    // SAFETY: the caller's promise.
    let names = unsafe { options.device.read("device") }?;
    let gpu_layers = (options.n_gpu_layers != u32::MAX).then_some(options.n_gpu_layers);
    match rum_backend::read(options.backend)? {
        rum_backend::RUM_BACKEND_NATIVE if gpu_layers.is_some() || !names.is_empty() => {
            Err(Failure::invalid("n_gpu_layers and device are for RUM_BACKEND_LLAMA"))
        }
        rum_backend::RUM_BACKEND_NATIVE => Ok(Backend::Native),
        rum_backend::RUM_BACKEND_LLAMA => {
            let devices = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
            Ok(Backend::Llama { gpu_layers, devices })
        }
    }
}

/// The devices that `RUM_BACKEND_LLAMA` can use here, as one JSON array of objects with `name`, `description`, `memory_free` and
/// `memory_total` in bytes, and `gpu` (whether layers can be put on it); empty in a build without it. The caller frees `out`. From any
/// thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_devices_json(out: *mut *mut rum_text) -> rum_status {
    entry("rum_devices_json", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let device = |device: ruminate::engine::Device| {
            json!({
                "name": device.name,
                "description": device.description,
                "memory_free": device.memory_free,
                "memory_total": device.memory_total,
                "gpu": device.gpu,
            })
        };
        let listed: Vec<Value> = devices().into_iter().map(device).collect();
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(Value::from(listed).to_string(), out) }
    })
}
