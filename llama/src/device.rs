//! What computes.

use std::ffi::CStr;

use llama_cpp_sys_2 as sys;

use crate::log;

/// One device of this build and machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// ggml's name for it, such as `CPU`, `CUDA0` or `Vulkan0`.
    pub name: String,
    /// What it is, in its driver's words.
    pub description: String,
    /// Bytes of its memory that are free now.
    pub memory_free: u64,
    /// Bytes of its memory.
    pub memory_total: u64,
    /// Whether layers can be put on it: a GPU, on a card or on the processor's chip.
    pub gpu: bool,
}

/// The devices of this build and machine.
pub fn devices() -> Vec<Device> {
    all().into_iter().map(|(device, _)| device).collect()
}

/// Every device with ggml's handle, which lives as long as the process.
pub(crate) fn all() -> Vec<(Device, sys::ggml_backend_dev_t)> {
    log::start();
    // SAFETY: ggml's registry is filled by now; indices below the count are valid and names are static strings.
    unsafe {
        let handles = (0..sys::ggml_backend_dev_count()).map(|i| sys::ggml_backend_dev_get(i));
        handles.filter(|handle| !handle.is_null()).map(|handle| (describe(handle), handle)).collect()
    }
}

/// # Safety
/// `handle` is a device of ggml's registry.
unsafe fn describe(handle: sys::ggml_backend_dev_t) -> Device {
    let (mut free, mut total) = (0usize, 0usize);
    // SAFETY: promised by the caller; the strings end with zeros and are not freed.
    unsafe {
        sys::ggml_backend_dev_memory(handle, &mut free, &mut total);
        let text = |text| CStr::from_ptr(text).to_string_lossy().into_owned();
        let kind = sys::ggml_backend_dev_type(handle);
        Device {
            name: text(sys::ggml_backend_dev_name(handle)),
            description: text(sys::ggml_backend_dev_description(handle)),
            memory_free: free as u64,
            memory_total: total as u64,
            gpu: kind == sys::GGML_BACKEND_DEVICE_TYPE_GPU || kind == sys::GGML_BACKEND_DEVICE_TYPE_IGPU,
        }
    }
}
