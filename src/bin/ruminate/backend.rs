//! What computes: our own engine on the processor, or llama.cpp where it was built in.

use std::sync::Arc;

use clap::ValueEnum;
use ruminate::engine::native::NativeOptions;
use ruminate::engine::{self, Engine, Network};
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
        self.choice().name()
    }

    /// The flags that gave a [`name`](Self::name); our own engine's for none.
    pub fn recorded(name: Option<&str>) -> Result<Self, Failure> {
        let chosen = engine::Backend::by_name(name.unwrap_or(NATIVE)).map_err(|e| Failure::data(e.to_string()))?;
        Ok(match chosen {
            engine::Backend::Native => Self { backend: Backend::Native, gpu_layers: None, device: Vec::new() },
            engine::Backend::Llama { gpu_layers, devices } => {
                Self { backend: Backend::Llama, gpu_layers, device: devices }
            }
        })
    }

    pub fn open(&self, args: &ModelArgs, gguf: &Gguf, options: &NativeOptions) -> Result<Opened, Failure> {
        self.check()?;
        if !self.is_native() {
            check_llama(args)?;
        }
        let network = Network::load(gguf, args.source.model.as_deref(), &self.choice());
        let network = network.map_err(|e| e.context(args.source.name()))?;
        if let Some(path) = &args.packed_cache {
            let model = network.native()?;
            if !model.load_packed(path)? {
                model.save_packed(&Team::new(options.threads)?, path)?;
            }
        }
        let mut engine = network.engine(options)?;
        if !args.adapters.is_empty() {
            engine.set_adapters(&adapter_args::open(&args.adapters, network.config()?)?)?;
        }
        Ok(Opened { engine, network: network.native().ok().cloned() })
    }

    pub fn is_native(&self) -> bool {
        self.backend == Backend::Native
    }

    /// An error for flags that our own engine has no use for, and for llama.cpp in a build without it.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_native() && (self.gpu_layers.is_some() || !self.device.is_empty()) {
            return Err(Failure::usage("--gpu-layers and --device need --backend llama"));
        }
        if !self.is_native() && cfg!(not(feature = "llama")) {
            let how = "build it with `cargo build --release --features llama`";
            return Err(Failure::usage(format!("this build has no llama.cpp: {how}")));
        }
        Ok(())
    }

    pub fn choice(&self) -> engine::Backend {
        match self.backend {
            Backend::Native => engine::Backend::Native,
            Backend::Llama => engine::Backend::Llama { gpu_layers: self.gpu_layers, devices: self.device.clone() },
        }
    }
}

/// An error for flags that llama.cpp has no use for.
fn check_llama(args: &ModelArgs) -> Result<(), Failure> {
    if args.packed_cache.is_some() || args.isa.is_some() {
        return Err(Failure::usage("--packed-cache and --isa are for --backend native"));
    }
    match args.source.model {
        Some(_) => Ok(()),
        None => Err(Failure::usage("--backend llama reads a file: name one with --model")),
    }
}
