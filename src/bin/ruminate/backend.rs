//! What computes: our own engine on the processor, or llama.cpp where it was built in.

use std::sync::Arc;

use clap::ValueEnum;
use ruminate::Limits;
use ruminate::engine::Engine;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::exec::Team;
use ruminate::gguf::Gguf;
use ruminate::model::Model;

use crate::adapter_args;
use crate::exit::Failure;
use crate::model::ModelArgs;

/// What [`BackendArgs::name`] calls our own engine.
pub const NATIVE: &str = "native";

/// The engines.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The engine of this program, on the processor.
    Native,
    /// llama.cpp: CUDA, Metal and Vulkan, and more architectures; in builds with the feature `llama`.
    Llama,
}

#[derive(clap::Args)]
pub struct BackendArgs {
    /// What computes.
    #[arg(long, env = "RUMINATE_BACKEND", value_enum, default_value_t = Backend::Native)]
    pub backend: Backend,
    /// Layers on a GPU, from the last one on; all of them without it. With --backend llama.
    #[arg(long, env = "RUMINATE_GPU_LAYERS", value_name = "N")]
    pub gpu_layers: Option<u32>,
    /// The devices to use, by the names that `doctor` shows; whatever there is without it. With --backend llama.
    #[arg(long, env = "RUMINATE_DEVICE", value_name = "NAME,…", value_delimiter = ',')]
    pub device: Vec<String>,
}

/// An engine, with the network behind it where it is our own.
pub struct Opened {
    pub engine: Box<dyn Engine>,
    pub network: Option<Arc<Model>>,
}

impl BackendArgs {
    /// Its name in reports, devices included: what speed depends on.
    pub fn name(&self) -> String {
        match (self.backend, self.device.is_empty(), self.gpu_layers) {
            (Backend::Native, ..) => NATIVE.to_owned(),
            (Backend::Llama, true, None) => "llama".to_owned(),
            (Backend::Llama, ..) => {
                let layers = self.gpu_layers.map(|layers| layers.to_string()).unwrap_or_default();
                format!("llama:{}:{layers}", self.device.join("+"))
            }
        }
    }

    /// The flags that gave a [`name`](Self::name); our own engine's for none.
    pub fn recorded(name: Option<&str>) -> Result<Self, Failure> {
        let name = name.unwrap_or(NATIVE);
        let mut parts = name.split(':');
        let backend = match parts.next() {
            Some(NATIVE) => Backend::Native,
            Some("llama") => Backend::Llama,
            _ => return Err(Failure::data(format!("no backend is called {name:?}"))),
        };
        let device = parts.next().unwrap_or_default().split('+').filter(|d| !d.is_empty()).map(str::to_owned).collect();
        let layers = parts.next().filter(|layers| !layers.is_empty()).map(str::parse).transpose();
        let gpu_layers = layers.map_err(|_| Failure::data(format!("the layers in {name:?} are no number")))?;
        Ok(Self { backend, gpu_layers, device })
    }

    pub fn open(&self, args: &ModelArgs, gguf: &Gguf, options: &NativeOptions) -> Result<Opened, Failure> {
        match self.backend {
            Backend::Native if self.gpu_layers.is_some() || !self.device.is_empty() => {
                Err(Failure::usage("--gpu-layers and --device need --backend llama"))
            }
            Backend::Native => native(args, gguf, options),
            Backend::Llama => llama(args, gguf, options),
        }
    }
}

fn native(args: &ModelArgs, gguf: &Gguf, options: &NativeOptions) -> Result<Opened, Failure> {
    let model = Model::load(gguf, &Limits::default()).map_err(|e| e.context(args.source.name()))?;
    let model = Arc::new(model);
    if let Some(path) = &args.packed_cache
        && !model.load_packed(path)?
    {
        model.save_packed(&Team::new(options.threads)?, path)?;
    }
    let adapters = adapter_args::open(&args.adapters, model.config())?;
    let mut engine = NativeEngine::new(Arc::clone(&model), options)?;
    engine.set_adapters(&adapters)?;
    Ok(Opened { engine: Box::new(engine), network: Some(model) })
}

#[cfg(not(feature = "llama"))]
fn llama(_: &ModelArgs, _: &Gguf, _: &NativeOptions) -> Result<Opened, Failure> {
    Err(Failure::usage("this build has no llama.cpp: build it with `cargo build --release --features llama`"))
}

#[cfg(feature = "llama")]
fn llama(args: &ModelArgs, gguf: &Gguf, options: &NativeOptions) -> Result<Opened, Failure> {
    use ruminate::engine::llama::{LlamaEngine, LlamaOptions};
    use ruminate::model::Config;

    if args.packed_cache.is_some() || args.isa.is_some() {
        return Err(Failure::usage("--packed-cache and --isa are for --backend native"));
    }
    let path = args.source.model.as_ref();
    let path = path.ok_or_else(|| Failure::usage("--backend llama reads a file: name one with --model"))?;
    let mut llama = LlamaOptions::new(path);
    (llama.threads, llama.n_ctx, llama.kv_type) = (options.threads, options.n_ctx, options.kv_type);
    (llama.gpu_layers, llama.devices) = (args.backend.gpu_layers, args.backend.device.clone());
    let mut engine = LlamaEngine::load(gguf, &llama)?;
    if !args.adapters.is_empty() {
        let config = Config::from_gguf(gguf, &Limits::default())?;
        engine.set_adapters(&adapter_args::open(&args.adapters, &config)?)?;
    }
    Ok(Opened { engine: Box::new(engine), network: None })
}
