//! What an engine on llama.cpp would take, device by device, before anything is loaded.

use ruminate_llama as llama;

use super::model::{cell_bytes, cell_numbers, n_ctx_short};
use super::{LlamaEngine, LlamaOptions};
use crate::engine::{Device, Footprint};
use crate::error::{Error, Result};
use crate::gguf::Gguf;

impl LlamaEngine {
    /// What an engine with these options on the file at `options.path`, whose parsed form is `gguf`, would take on each device, the
    /// processor included, which reads weights from the mapped file. It is llama.cpp's own plan; drivers take something more.
    ///
    /// Errors: those of [`load`](Self::load), but none for want of memory.
    pub fn footprint(gguf: &Gguf, options: &LlamaOptions) -> Result<Vec<Footprint>> {
        let architecture = gguf.metadata().str("general.architecture")?.unwrap_or_default();
        let buffers = llama::buffers(&options.path, &options.model(), |model| -> Result<llama::ContextOptions> {
            let n_ctx = options.n_ctx(model.n_ctx_train())?;
            let cell_bytes = cell_bytes(cell_numbers(gguf, architecture, model)?, options.kv_type);
            let n_ctx_short = n_ctx_short(gguf, architecture, model)?;
            Ok(options.context(options.cells(n_ctx, cell_bytes, n_ctx_short)?))
        })?;
        let devices: Vec<Device> = llama::devices().into_iter().map(Device::from).collect();
        let footprint = |buffers: llama::Buffers| {
            let device = devices.iter().find(|device| device.name == buffers.device).cloned();
            let device =
                device.ok_or_else(|| Error::unsupported(format!("{} tells nothing of itself", buffers.device)))?;
            Ok(Footprint { device, weights: buffers.weights, kv: buffers.kv, scratch: buffers.compute })
        };
        buffers.into_iter().map(footprint).collect()
    }
}
