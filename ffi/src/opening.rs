//! A model on its way into memory: what the functions that open one have in common.

use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::{Backend, Network};
use ruminate::exec::Team;
use ruminate::gguf::Gguf;
use ruminate::model::Model as Native;
use ruminate::observe::{Event, Interrupt, Observer};
use ruminate::storage::{Bytes, LoadMode};
use ruminate::text::{ChatTemplate, Tokenizer};

use crate::backend;
use crate::call::Call;
use crate::cancel::{Cancel, rum_cancel};
use crate::host::Host;
use crate::log;
use crate::model::{Model, Weights};
use crate::model_open::{rum_load, rum_load_stage, rum_model_options};
use crate::runtime::{Reservation, Runtime, rum_runtime};
use crate::sized;
use crate::status::Failure;

/// Bytes between two looks at what could end the opening.
const CHUNK: usize = 1 << 20;
/// What takes memory, in messages.
const WHAT: &str = "the model";

/// A model on its way into memory.
pub struct Opening<'a> {
    threads: usize,
    mode: LoadMode,
    pack: bool,
    packed_cache: &'a str,
    backend: Backend,
    interrupt: Interrupt,
    teller: Teller,
}

impl<'a> Opening<'a> {
    /// # Safety
    /// As the functions that open a model promise.
    pub unsafe fn new(
        call: &Call,
        runtime: *const rum_runtime,
        options: *const rum_model_options,
        cancel: *const rum_cancel,
    ) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        let interrupt = Interrupt::default();
        let host = Host::new(options.user, options.drop);
        if let Some(cancel) = call.optional::<Cancel>(cancel)? {
            cancel.value.link(&interrupt.cancel);
        }
        let (threads, budget) = match call.optional::<Runtime>(runtime)? {
            Some(runtime) => (runtime.value.threads, Arc::clone(runtime.value.budget())),
            None => {
                let runtime = Runtime::initial();
                (runtime.threads, Arc::clone(runtime.budget()))
            }
        };
        // SAFETY: the caller's promise.
        let packed_cache = unsafe { options.packed_cache.read("packed_cache") }?;
        let pack = options.pack != 0;
        // SAFETY: the caller's promise.
        let backend = unsafe { backend::chosen(&options) }?;
        if backend != Backend::Native && (pack || !packed_cache.is_empty()) {
            return Err(Failure::invalid("weights are packed for RUM_BACKEND_NATIVE alone"));
        }
        let mode = match rum_load::read(options.load)? {
            // llama.cpp maps the file itself: a copy would serve nobody.
            rum_load::RUM_LOAD_READ if backend == Backend::Native => LoadMode::Read,
            rum_load::RUM_LOAD_READ | rum_load::RUM_LOAD_MMAP => LoadMode::Mmap,
        };
        let memory = budget.reserve(0, "the model")?;
        let teller = Teller { host, call: options.on_progress, interrupt: interrupt.clone(), memory, refused: None };
        Ok(Self { threads, mode, pack, packed_cache, backend, interrupt, teller })
    }

    /// The file at `path`, and the others of a split model.
    pub fn file(&mut self, path: &Path) -> Result<Gguf, Failure> {
        self.interrupt.check()?;
        let opened = Gguf::open_watched(path, self.mode, &Limits::default(), &mut self.teller, &self.interrupt);
        opened.map_err(|error| self.teller.refused.take().unwrap_or_else(|| error.into()))
    }

    /// `len` bytes that `fill` writes part by part, each from the place that it is told.
    pub fn fill<F>(&mut self, len: usize, mut fill: F) -> Result<Bytes, Failure>
    where
        F: FnMut(&mut [u8], usize) -> Result<(), Failure>,
    {
        self.teller.memory.grow(len as u64, WHAT)?;
        let bytes = Bytes::filled(len, |all| {
            all.chunks_mut(CHUNK).enumerate().try_for_each(|(i, part)| {
                self.interrupt.check()?;
                fill(part, i * CHUNK)?;
                let done = (i * CHUNK + part.len()) as u64;
                self.teller.event(&Event::Progress { what: "reading", done, total: len as u64 });
                Ok::<(), Failure>(())
            })
        })?;
        self.interrupt.check()?;
        Ok(bytes)
    }

    /// The model in the file, packed if that was asked for.
    pub fn model(mut self, gguf: &Gguf, path: Option<&str>) -> Result<Model, Failure> {
        let limits = Limits::default();
        let bytes = match self.backend {
            Backend::Native => Native::resident_bytes(gguf),
            Backend::Llama { .. } => gguf.file_len(),
        };
        // What was read is counted already.
        let memory = &mut self.teller.memory;
        memory.grow(bytes.saturating_sub(memory.bytes), WHAT)?;
        self.interrupt.check()?;
        let tokenizer = Tokenizer::from_gguf_watched(gguf, &limits, &self.interrupt)?;
        let template = ChatTemplate::from_gguf(gguf, &limits)?;
        self.interrupt.check()?;
        let network = Network::load(gguf, path.map(Path::new), &self.backend)?;
        self.interrupt.check()?;
        if let Ok(net) = network.native() {
            self.pack(net)?;
        }
        self.interrupt.check()?;
        let (backend, threads) = (std::mem::take(&mut self.backend), self.threads);
        let memory = self.teller.memory.take();
        let model = Model::new(gguf, Weights { network, backend, memory }, tokenizer, template, threads, path)?;
        let name = path.unwrap_or("a model in memory");
        log::write(log::rum_log_level::RUM_LOG_INFO, &format!("opened {name} ({})", model.info.name));
        Ok(model)
    }

    fn pack(&mut self, net: &Native) -> Result<(), Failure> {
        let cache = (!self.packed_cache.is_empty()).then(|| Path::new(self.packed_cache));
        let is_there = cache.map_or(Ok(false), |path| net.load_packed(path))?;
        if is_there || (cache.is_none() && !self.pack) {
            return Ok(());
        }
        let team = Team::new(self.threads)?;
        net.pack(&team, &mut self.teller, &self.interrupt)?;
        if let Some(path) = cache {
            net.save_packed(&team, path)?;
        }
        Ok(())
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        // The host's token forgets this call's.
        self.interrupt.cancel.cancel();
    }
}

/// Brings the progress of opening to the host, and sees that there is memory for a file before it is read.
struct Teller {
    host: Host,
    call: Option<unsafe extern "C" fn(*mut c_void, u32, u64, u64) -> i32>,
    interrupt: Interrupt,
    memory: Reservation,
    /// Why it ended the reading.
    refused: Option<Failure>,
}

impl Observer for Teller {
    fn event(&mut self, event: &Event<'_>) {
        let &Event::Progress { what, done, total } = event else { return };
        if done == 0 {
            if let Err(failure) = self.memory.grow(total, WHAT) {
                self.refused = Some(failure);
                self.interrupt.cancel.cancel();
            }
            return;
        }
        let Some(call) = self.call else { return };
        let stage = match what {
            "packing" => rum_load_stage::RUM_LOAD_STAGE_PACKING,
            _ => rum_load_stage::RUM_LOAD_STAGE_READING,
        };
        // SAFETY: the host's function with the host's data; no lock is held.
        if unsafe { call(self.host.user(), stage as u32, done, total) } != 0 {
            self.interrupt.cancel.cancel();
        }
    }
}
