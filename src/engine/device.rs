//! What else than the processor can compute.

/// One device of llama.cpp's in this build and machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// ggml's name for it, such as `CPU`, `CUDA0` or `Vulkan0`.
    pub name: String,
    /// What it is, in its driver's words.
    pub description: String,
    /// Bytes of its memory that are free now.
    pub memory_free: u64,
    /// Bytes of its memory.
    pub memory_total: u64,
}

/// The devices that llama.cpp can use here; none in a build without it.
pub fn devices() -> Vec<Device> {
    #[cfg(feature = "llama")]
    return ruminate_llama::devices().into_iter().map(Device::from).collect();
    #[cfg(not(feature = "llama"))]
    Vec::new()
}

#[cfg(feature = "llama")]
impl From<ruminate_llama::Device> for Device {
    fn from(device: ruminate_llama::Device) -> Self {
        let ruminate_llama::Device { name, description, memory_free, memory_total } = device;
        Self { name, description, memory_free, memory_total }
    }
}
