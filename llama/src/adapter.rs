//! LoRA adapters.

use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use llama_cpp_sys_2 as sys;

use crate::error::{Error, ErrorKind, Result};
use crate::log;
use crate::model::{Model, c_path};

/// A loaded LoRA adapter of one model. It is freed when the last context that uses it has let it go.
#[derive(Debug)]
pub struct Adapter {
    raw: NonNull<sys::llama_adapter_lora>,
    model: Arc<Model>,
}

// SAFETY: an adapter is only read after loading.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

impl Adapter {
    /// Loads an adapter in llama.cpp's GGUF format for `model`.
    pub fn load(model: &Arc<Model>, path: &Path) -> Result<Self> {
        let name = c_path(path)?;
        let _making = model.making.lock().map_err(|_| Error::new(ErrorKind::Failed, "an earlier call failed"))?;
        // SAFETY: the model lives, the path ends with a zero; llama.cpp catches its exceptions here.
        let load = || unsafe { sys::llama_adapter_lora_init(model.raw(), name.as_ptr()) };
        let (raw, errors) = log::with_errors(load);
        let raw = NonNull::new(raw).ok_or_else(|| {
            Error::new(ErrorKind::Load, format!("llama.cpp cannot load {}: {errors}", path.display()))
        })?;
        Ok(Self { raw, model: Arc::clone(model) })
    }

    pub(crate) fn raw(&self) -> *mut sys::llama_adapter_lora {
        self.raw.as_ptr()
    }

    pub(crate) fn fits(&self, model: &Arc<Model>) -> bool {
        Arc::ptr_eq(&self.model, model)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        // It is taken out of the model's list, which another thread may be reading for its context.
        let _making = self.model.making.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: contexts hold the adapters that they use, so none uses this one.
        unsafe { sys::llama_adapter_lora_free(self.raw()) }
    }
}
