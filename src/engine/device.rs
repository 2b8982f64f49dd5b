//! What else than the processor can compute.

use serde_json::{Value, json};

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
    /// Whether layers can be put on it: a GPU, on a card or on the processor's chip.
    pub gpu: bool,
}

/// Bytes that an engine would take on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// The device, with its memory as it is now.
    pub device: Device,
    /// Weights.
    pub weights: u64,
    /// Keys and values, which are taken at once.
    pub kv: u64,
    /// Buffers of a forward pass.
    pub scratch: u64,
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.scratch)
    }

    /// Whether it fits the memory that is free; nothing for a device that does not tell.
    pub fn fits(&self) -> Option<bool> {
        (self.device.memory_total > 0).then_some(self.total() <= self.device.memory_free)
    }

    /// Whether each fits as far as devices tell.
    pub fn all_fit(all: &[Self]) -> bool {
        all.iter().all(|footprint| footprint.fits() != Some(false))
    }

    /// For machines, in bytes: `name`, `gpu`, `weights_bytes`, `kv_bytes`, `scratch_bytes`, `total_bytes`, `free_bytes` and `fits`, which is
    /// null for a device that does not tell.
    pub fn document(&self) -> Value {
        json!({
            "name": self.device.name,
            "gpu": self.device.gpu,
            "weights_bytes": self.weights,
            "kv_bytes": self.kv,
            "scratch_bytes": self.scratch,
            "total_bytes": self.total(),
            "free_bytes": self.device.memory_free,
            "fits": self.fits(),
        })
    }
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
        let ruminate_llama::Device { name, description, memory_free, memory_total, gpu } = device;
        Self { name, description, memory_free, memory_total, gpu }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_what_is_free() {
        let device = |memory_free, memory_total| Device {
            name: "GPU0".into(),
            description: String::new(),
            memory_free,
            memory_total,
            gpu: true,
        };
        let on = |device| Footprint { device, weights: 5, kv: 3, scratch: 2 };
        assert_eq!((on(device(10, 20)).fits(), on(device(9, 20)).fits()), (Some(true), Some(false)));
        assert_eq!(on(device(0, 0)).fits(), None, "it does not tell");
        assert_eq!(Footprint { kv: u64::MAX, ..on(device(9, 20)) }.fits(), Some(false), "no overflow");
        assert!(Footprint::all_fit(&[on(device(10, 20)), on(device(0, 0))]));
        assert!(!Footprint::all_fit(&[on(device(10, 20)), on(device(9, 20))]));
    }
}
