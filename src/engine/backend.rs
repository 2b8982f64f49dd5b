//! What computes a model: our own engine on the processor, or llama.cpp where it was built in.

use std::path::Path;
use std::sync::Arc;

use super::native::{NativeEngine, NativeOptions};
use super::{Engine, Footprint, ModelInfo};
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits::Limits;
use crate::model::{Adapter, Config, Model};

/// An engine to choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Backend {
    /// Our own, on the processor.
    #[default]
    Native,
    /// llama.cpp: CUDA, Metal and Vulkan, and more architectures; in builds with the feature `llama`.
    Llama {
        /// Layers on a GPU, from the last one on; all of them without it.
        gpu_layers: Option<u32>,
        /// The only devices to use, by the names of [`devices`](super::devices); whatever there is without any.
        devices: Vec<String>,
    },
}

const NATIVE: &str = "native";
const LLAMA: &str = "llama";

impl Backend {
    /// The backends of this build, by the first part of their [`name`](Self::name).
    pub const BUILT_IN: &[&str] = if cfg!(feature = "llama") { &[NATIVE, LLAMA] } else { &[NATIVE] };

    /// Its name in reports, devices included: what speed depends on.
    pub fn name(&self) -> String {
        match self {
            Self::Native => NATIVE.to_owned(),
            Self::Llama { gpu_layers: None, devices } if devices.is_empty() => LLAMA.to_owned(),
            Self::Llama { gpu_layers, devices } => {
                let layers = gpu_layers.map(|layers| layers.to_string()).unwrap_or_default();
                format!("{LLAMA}:{}:{layers}", devices.join("+"))
            }
        }
    }

    /// The backend of a [`name`](Self::name).
    pub fn by_name(name: &str) -> Result<Self> {
        let mut parts = name.split(':');
        match parts.next() {
            Some(NATIVE) => Ok(Self::Native),
            Some(LLAMA) => {
                let devices = parts.next().unwrap_or_default().split('+').filter(|d| !d.is_empty());
                let devices = devices.map(str::to_owned).collect();
                let layers = parts.next().filter(|layers| !layers.is_empty()).map(str::parse).transpose();
                let gpu_layers = layers.map_err(|_| Error::invalid(format!("the layers in {name:?} are no number")))?;
                Ok(Self::Llama { gpu_layers, devices })
            }
            _ => Err(Error::invalid(format!("no backend is called {name:?}; there are: {NATIVE}, {LLAMA}"))),
        }
    }
}

/// A model's weights as a backend has them. Engines on them share them.
#[derive(Clone)]
pub enum Network {
    /// For our own engine.
    Native(Arc<Model>),
    /// For llama.cpp.
    #[cfg(feature = "llama")]
    Llama(Arc<super::llama::LlamaModel>),
}

/// Bytes that an engine takes beside weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Buffers of a forward pass.
    pub scratch: u64,
    /// The least keys and values that it can work with.
    pub kv: u64,
}

impl Network {
    /// The weights of `gguf`, which is the file at `path`; llama.cpp reads it itself.
    ///
    /// Errors: those of [`Model::load`]; [`Unsupported`](crate::ErrorKind::Unsupported) for llama.cpp in a build without it, for what it
    /// refuses, and for bytes that are no file.
    pub fn load(gguf: &Gguf, path: Option<&Path>, backend: &Backend) -> Result<Self> {
        match backend {
            Backend::Native => Ok(Self::Native(Arc::new(Model::load(gguf, &Limits::default())?))),
            Backend::Llama { gpu_layers, devices } => llama(gguf, path, *gpu_layers, devices),
        }
    }

    /// What an engine with these options would take on each device, before anything is loaded; see
    /// `LlamaEngine::footprint`. [`Unsupported`](crate::ErrorKind::Unsupported) for our own engine,
    /// which [`NativeEngine::estimate`] prices, and for llama.cpp in a build without it.
    pub fn footprint(
        gguf: &Gguf,
        path: Option<&Path>,
        backend: &Backend,
        options: &NativeOptions,
    ) -> Result<Vec<Footprint>> {
        match backend {
            Backend::Native => {
                Err(Error::unsupported("our own engine computes on the processor alone, and is priced without devices"))
            }
            Backend::Llama { gpu_layers, devices } => footprint(gguf, path, *gpu_layers, devices, options),
        }
    }

    /// The weights that training and packing work on: our own engine's.
    pub fn native(&self) -> Result<&Arc<Model>> {
        match self {
            Self::Native(model) => Ok(model),
            #[cfg(feature = "llama")]
            Self::Llama(_) => Err(Error::unsupported("this needs the native backend: llama.cpp's weights are its own")),
        }
    }

    /// Sizes and the fingerprint; the context is that of an engine with default options.
    pub fn info(&self) -> Result<ModelInfo> {
        match self {
            Self::Native(model) => {
                let options = NativeOptions { threads: 1, ..NativeOptions::default() };
                Ok(NativeEngine::new(Arc::clone(model), &options)?.info().clone())
            }
            #[cfg(feature = "llama")]
            Self::Llama(model) => model.info(None),
        }
    }

    /// The hyperparameters; [`Unsupported`](crate::ErrorKind::Unsupported) for an architecture that llama.cpp alone knows.
    pub fn config(&self) -> Result<&Config> {
        match self {
            Self::Native(model) => Ok(model.config()),
            #[cfg(feature = "llama")]
            Self::Llama(model) => model.config(),
        }
    }

    /// An error unless the adapter belongs to this model; see [`Adapter::check_base`].
    pub fn check_adapter(&self, adapter: &Adapter) -> Result<()> {
        match self {
            Self::Native(model) => adapter.check_base(model),
            #[cfg(feature = "llama")]
            Self::Llama(model) => adapter.check(model.config()?, model.fingerprint()),
        }
    }

    /// What [`engine`](Self::engine) with these options would take.
    pub fn needs(&self, options: &NativeOptions) -> Result<Needs> {
        match self {
            Self::Native(model) => {
                let estimate = NativeEngine::estimate(model.config(), 0, options);
                Ok(Needs { scratch: estimate.scratch, kv: estimate.kv_page })
            }
            #[cfg(feature = "llama")]
            Self::Llama(model) => model.needs(&model.options(options)),
        }
    }

    /// An engine with a line of branches of its own. llama.cpp chooses its instructions itself, and takes its keys and values at once.
    pub fn engine(&self, options: &NativeOptions) -> Result<Box<dyn Engine>> {
        match self {
            Self::Native(model) => Ok(Box::new(NativeEngine::new(Arc::clone(model), options)?)),
            #[cfg(feature = "llama")]
            Self::Llama(model) => Ok(Box::new(super::llama::LlamaEngine::new(model, &model.options(options))?)),
        }
    }
}

#[cfg(feature = "llama")]
fn llama(gguf: &Gguf, path: Option<&Path>, gpu_layers: Option<u32>, devices: &[String]) -> Result<Network> {
    use super::llama::{LlamaModel, LlamaOptions};

    let options = LlamaOptions { gpu_layers, devices: devices.to_vec(), ..LlamaOptions::new(a_file(path)?) };
    Ok(Network::Llama(Arc::new(LlamaModel::load(gguf, &options)?)))
}

#[cfg(feature = "llama")]
fn footprint(
    gguf: &Gguf,
    path: Option<&Path>,
    gpu_layers: Option<u32>,
    devices: &[String],
    options: &NativeOptions,
) -> Result<Vec<Footprint>> {
    use super::llama::{LlamaEngine, LlamaOptions};

    let options = LlamaOptions::like(options, a_file(path)?);
    LlamaEngine::footprint(gguf, &LlamaOptions { gpu_layers, devices: devices.to_vec(), ..options })
}

#[cfg(feature = "llama")]
fn a_file(path: Option<&Path>) -> Result<&Path> {
    path.ok_or_else(|| {
        Error::unsupported("llama.cpp reads a file: open the model by its path, or with the native backend")
    })
}

#[cfg(not(feature = "llama"))]
fn llama(_: &Gguf, _: Option<&Path>, _: Option<u32>, _: &[String]) -> Result<Network> {
    Err(Error::unsupported(NO_LLAMA))
}

#[cfg(not(feature = "llama"))]
fn footprint(_: &Gguf, _: Option<&Path>, _: Option<u32>, _: &[String], _: &NativeOptions) -> Result<Vec<Footprint>> {
    Err(Error::unsupported(NO_LLAMA))
}

#[cfg(not(feature = "llama"))]
const NO_LLAMA: &str = "this build has no llama.cpp: build it with the feature `llama`, or use the native backend";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_name_leads_back_to_its_backend() {
        let llama = |gpu_layers, devices: &[&str]| Backend::Llama {
            gpu_layers,
            devices: devices.iter().map(|&device| device.to_owned()).collect(),
        };
        let all = [
            (Backend::Native, "native"),
            (llama(None, &[]), "llama"),
            (llama(Some(0), &[]), "llama::0"),
            (llama(None, &["CPU"]), "llama:CPU:"),
            (llama(Some(12), &["CUDA0", "CUDA1"]), "llama:CUDA0+CUDA1:12"),
        ];
        for (backend, name) in all {
            assert_eq!((backend.name().as_str(), &Backend::by_name(name).unwrap()), (name, &backend));
        }
        for name in ["", "abacus", "llama:CPU:x"] {
            assert_eq!(Backend::by_name(name).unwrap_err().kind(), ErrorKind::InvalidArgument, "{name}");
        }
    }

    #[cfg(not(feature = "llama"))]
    #[test]
    fn a_build_without_llama_says_how_to_get_it() {
        let gguf = Gguf::open(Path::new("models/abacus-q8_0.gguf"), crate::storage::LoadMode::Mmap, &Limits::default());
        let error = Network::load(&gguf.unwrap(), None, &Backend::by_name("llama").unwrap()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("feature `llama`"), "{error}");
    }
}
