//! A loaded model.

use std::ffi::CString;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Mutex;

use llama_cpp_sys_2 as sys;

use crate::error::{Error, ErrorKind, Result};
use crate::{device, log};

/// How a model is loaded.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// Layers on a GPU, from the last one on; all of them without it.
    pub gpu_layers: Option<u32>,
    /// The only devices to use, by [name](crate::Device::name); whatever there is without any. The processor takes part in any case:
    /// alone where it alone is named.
    pub devices: Vec<String>,
    /// Whether the file is mapped instead of read.
    pub mmap: bool,
    /// Whether the CPU backend may copy weights into layouts that it multiplies faster.
    pub repack: bool,
}

impl Default for ModelOptions {
    /// Everything on a GPU where there is one, mapped, repacked.
    fn default() -> Self {
        Self { gpu_layers: None, devices: Vec::new(), mmap: true, repack: true }
    }
}

/// A loaded model, which several contexts may share.
#[derive(Debug)]
pub struct Model {
    raw: NonNull<sys::llama_model>,
    /// Making a context writes to the model; adapters are listed in it, and planning a pass reads that list.
    pub(crate) making: Mutex<()>,
}

// SAFETY: after loading, llama.cpp only reads a model, except when a context is made, which `making` keeps apart.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Loads a GGUF file. Errors: [`ErrorKind::Load`] with what llama.cpp logged, [`ErrorKind::InvalidArgument`] for a device that
    /// there is not.
    pub fn load(path: &Path, options: &ModelOptions) -> Result<Self> {
        Self::open(path, options, false)
    }

    /// As [`load`](Self::load), without the weights: what is made of it knows its sizes and nothing more.
    pub(crate) fn load_sizes(path: &Path, options: &ModelOptions) -> Result<Self> {
        Self::open(path, options, true)
    }

    fn open(path: &Path, options: &ModelOptions, sizes_only: bool) -> Result<Self> {
        log::start();
        let name = c_path(path)?;
        let mut devices = chosen(&options.devices)?;
        // SAFETY: a plain value of the pinned version.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.n_gpu_layers = options.gpu_layers.map_or(-1, |layers| i32::try_from(layers).unwrap_or(i32::MAX));
        params.no_alloc = sizes_only;
        params.load_mode =
            if options.mmap && !sizes_only { sys::LLAMA_LOAD_MODE_MMAP } else { sys::LLAMA_LOAD_MODE_NONE };
        params.use_extra_bufts = options.repack;
        if !options.devices.is_empty() {
            params.devices = devices.as_mut_ptr();
        }
        // SAFETY: the path ends with a zero, the devices with a null; both live during the call.
        let (raw, errors) = log::with_errors(|| unsafe { sys::llama_model_load_from_file(name.as_ptr(), params) });
        let raw = NonNull::new(raw).ok_or_else(|| {
            Error::new(ErrorKind::Load, format!("llama.cpp cannot load {}: {errors}", path.display()))
        })?;
        Ok(Self { raw, making: Mutex::new(()) })
    }

    /// Numbers in one row of hidden states.
    pub fn n_embd(&self) -> usize {
        // SAFETY: the model lives as long as `self`; so in all of these.
        usize_of(unsafe { sys::llama_model_n_embd(self.raw()) })
    }

    /// Transformer layers.
    pub fn n_layer(&self) -> usize {
        // SAFETY: as above.
        usize_of(unsafe { sys::llama_model_n_layer(self.raw()) })
    }

    /// Query heads.
    pub fn n_head(&self) -> usize {
        // SAFETY: as above.
        usize_of(unsafe { sys::llama_model_n_head(self.raw()) })
    }

    /// Key and value heads.
    pub fn n_head_kv(&self) -> usize {
        // SAFETY: as above.
        usize_of(unsafe { sys::llama_model_n_head_kv(self.raw()) })
    }

    /// Tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        // SAFETY: as above.
        usize_of(unsafe { sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(self.raw())) })
    }

    /// Tokens that it was trained to hold.
    pub fn n_ctx_train(&self) -> usize {
        // SAFETY: as above.
        usize_of(unsafe { sys::llama_model_n_ctx_train(self.raw()) })
    }

    /// Tokens that layers with sliding windows look back, where there are any.
    pub fn window(&self) -> Option<usize> {
        // SAFETY: as above.
        Some(usize_of(unsafe { sys::llama_model_n_swa(self.raw()) })).filter(|tokens| *tokens > 0)
    }

    /// Bytes of its tensors.
    pub fn bytes(&self) -> u64 {
        // SAFETY: as above.
        unsafe { sys::llama_model_size(self.raw()) }
    }

    /// Whether it keeps a state per sequence that cannot be cut back to any token, as recurrent layers do.
    pub fn is_recurrent(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_model_is_recurrent(self.raw()) || sys::llama_model_is_hybrid(self.raw()) }
    }

    pub(crate) fn raw(&self) -> *mut sys::llama_model {
        self.raw.as_ptr()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: contexts and adapters hold the model, so none is left.
        unsafe { sys::llama_model_free(self.raw()) }
    }
}

/// The GPUs among the devices of these names, with the null that ends the list.
fn chosen(names: &[String]) -> Result<Vec<sys::ggml_backend_dev_t>> {
    let all = if names.is_empty() { Vec::new() } else { device::all() };
    let find = |name: &String| {
        let found = all.iter().find(|(device, _)| device.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|(device, _)| device.name.as_str()).collect();
            Error::invalid(format!("no device is called {name:?}; there are: {}", known.join(", ")))
        })
    };
    let found = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    let gpus = found.into_iter().filter(|(device, _)| device.gpu).map(|(_, handle)| *handle);
    Ok(gpus.chain([std::ptr::null_mut()]).collect())
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    let text = path.to_str().ok_or_else(|| Error::invalid(format!("{}: not UTF-8", path.display())))?;
    CString::new(text).map_err(|_| Error::invalid("a path with a zero byte"))
}

/// Sizes are positive.
fn usize_of(size: i32) -> usize {
    usize::try_from(size).unwrap_or(0)
}
