//! Models: opened from a path, a file descriptor or memory; what they say about themselves.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Engine, ModelInfo};
use ruminate::exec::Team;
use ruminate::gguf::{Gguf, Value};
use ruminate::storage::{Bytes, LoadMode};
use ruminate::text::{ChatTemplate, Tokenizer};

use crate::call::{Call, clear, entry, free, hand_out, not_null};
use crate::cancel::{self, Cancel, rum_cancel};
use crate::handle::Kind;
use crate::log;
use crate::number::numbers;
use crate::runtime::{Reservation, Runtime, rum_runtime};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, Text, rum_str};

/// A model: weights, vocabulary and chat template. Never changes, so that any number of threads and sessions may use it.
pub struct rum_model(());

/// How a file is brought into memory.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_load {
    /// Map the file: pages are loaded on first use and shared with other processes. A program that shortens the file meanwhile
    /// ends this process (SIGBUS on Unix); other changes are noticed and reported.
    RUM_LOAD_MMAP = 0,
    /// Copy the whole file into memory: later changes have no effect.
    RUM_LOAD_READ = 1,
}

numbers!(rum_load, "way to load": RUM_LOAD_MMAP, RUM_LOAD_READ);

/// How a model is opened. Fill it with `rum_model_options_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_model_options {
    pub struct_size: usize,
    /// A `rum_load`; for `rum_model_open` alone.
    pub load: u32,
    /// 0.
    pub reserved: u32,
    /// A file for the packed weights, or no text: made when it is missing or does not fit, mapped otherwise, so that the first
    /// forward pass has nothing to pack.
    pub packed_cache: rum_str,
}

// SAFETY: `repr(C)`; whole numbers and a pointer, without padding.
unsafe impl Struct for rum_model_options {
    const FIRST: usize = 8 + 3 * size_of::<usize>();

    fn initial() -> Self {
        Self { struct_size: size_of::<Self>(), load: 0, reserved: 0, packed_cache: rum_str::NONE }
    }
}

/// What a model is. Texts are borrowed from the model.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_model_info {
    pub struct_size: usize,
    /// `general.architecture`.
    pub architecture: rum_str,
    /// `general.name`, or the empty text.
    pub name: rum_str,
    /// 32 hexadecimal digits that depend on all metadata and every tensor's name, shape, type and place.
    pub fingerprint: rum_str,
    /// Tokens in the vocabulary.
    pub n_vocab: u64,
    /// Width of the residual stream.
    pub n_embd: u64,
    /// Transformer layers.
    pub n_layer: u64,
    /// Tokens that the model was trained to hold.
    pub n_ctx_train: u64,
    /// Bytes of the model's files.
    pub file_bytes: u64,
    /// The token that begins a text; `UINT32_MAX` for none.
    pub bos: u32,
    /// The token that ends a text; `UINT32_MAX` for none.
    pub eos: u32,
    /// 1 if the file has a chat template.
    pub has_chat_template: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_model_info {
    const FIRST: usize = 56 + 7 * size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            architecture: rum_str::NONE,
            name: rum_str::NONE,
            fingerprint: rum_str::NONE,
            n_vocab: 0,
            n_embd: 0,
            n_layer: 0,
            n_ctx_train: 0,
            file_bytes: 0,
            bos: u32::MAX,
            eos: u32::MAX,
            has_chat_template: 0,
            reserved: 0,
        }
    }
}

/// An opened model and what sessions on it share.
pub struct Model {
    pub net: Arc<ruminate::model::Model>,
    pub tokenizer: Tokenizer,
    pub template: Option<ChatTemplate>,
    pub info: ModelInfo,
    /// Threads of a session that does not choose.
    pub threads: usize,
    /// Where it was opened, for traces.
    pub path: Option<String>,
    pub weights: Reservation,
    texts: [Text; 3],
    metadata: BTreeMap<String, Text>,
}

impl Kind for Model {
    type Opaque = rum_model;
    const NAME: &'static str = "model";
}

/// What the functions that open a model have in common.
struct Opening<'a> {
    threads: usize,
    budget: Arc<crate::runtime::Budget>,
    packed_cache: &'a str,
    cancel: Option<Arc<crate::handle::Object<Cancel>>>,
}

impl<'a> Opening<'a> {
    /// # Safety
    /// As the functions that open a model promise.
    unsafe fn new(
        call: &Call,
        runtime: *const rum_runtime,
        options: &rum_model_options,
        cancel: *const rum_cancel,
    ) -> Result<Self, Failure> {
        let cancel = call.optional::<Cancel>(cancel)?;
        let (threads, budget) = match call.optional::<Runtime>(runtime)? {
            Some(runtime) => (runtime.value.threads, Arc::clone(runtime.value.budget())),
            None => {
                let runtime = Runtime::initial();
                (runtime.threads, Arc::clone(runtime.budget()))
            }
        };
        // SAFETY: the caller's promise.
        let packed_cache = unsafe { options.packed_cache.read("packed_cache") }?;
        Ok(Self { threads, budget, packed_cache, cancel })
    }

    fn check(&self) -> Result<(), Failure> {
        cancel::check(self.cancel.as_ref().map(|cancel| &cancel.value))
    }

    fn model(self, gguf: &Gguf, path: Option<&str>) -> Result<Model, Failure> {
        let limits = Limits::default();
        let weights = self.budget.reserve(gguf.file_len(), "the model")?;
        self.check()?;
        let tokenizer = Tokenizer::from_gguf(gguf, &limits)?;
        let template = ChatTemplate::from_gguf(gguf, &limits)?;
        self.check()?;
        let net = Arc::new(ruminate::model::Model::load(gguf, &limits)?);
        if !self.packed_cache.is_empty() {
            let path = Path::new(self.packed_cache);
            if !net.load_packed(path)? {
                net.save_packed(&Team::new(self.threads)?, path)?;
            }
        }
        self.check()?;
        // An engine tells the sizes that heads are checked against.
        let mut options = NativeOptions::default();
        options.threads = 1;
        let info = NativeEngine::new(Arc::clone(&net), &options)?.info().clone();
        let texts = [&info.architecture, &info.name, &info.fingerprint].map(|text| Text::new(text.as_str()));
        let metadata = gguf.metadata().iter().filter_map(|(key, value)| Some((key.to_owned(), scalar(value)?)));
        let metadata = metadata.collect();
        log::write(
            log::rum_log_level::RUM_LOG_INFO,
            &format!("opened {} ({})", path.unwrap_or("a model in memory"), info.name),
        );
        let (threads, path) = (self.threads, path.map(str::to_owned));
        Ok(Model { net, tokenizer, template, info, threads, path, weights, texts, metadata })
    }
}

/// A metadata value that is no array, as text.
fn scalar(value: &Value) -> Option<Text> {
    match value {
        Value::Str(text) => Some(Text::new(text.clone())),
        other => other.scalar_text().map(Text::new),
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_model_options_init(options: *mut rum_model_options, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_model_options_init", |_| unsafe { sized::init(options, struct_size) })
}

/// Opens the GGUF file at `path` and, where it is the first of a split model, the others beside it.
///
/// `runtime` and `options` may be NULL for the defaults, `cancel` for none; it is looked at between the stages of opening, each
/// of which takes milliseconds (weights are packed in the first forward pass, which is cancelled with its run). The caller
/// frees `out`. Errors: `RUM_ERR_IO`, `RUM_ERR_FORMAT`, `RUM_ERR_UNSUPPORTED`, `RUM_ERR_MEMORY` when the runtime's
/// budget does not hold the weights, `RUM_ERR_CANCELLED`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_open(
    runtime: *const rum_runtime,
    path: *const c_char,
    path_len: usize,
    options: *const rum_model_options,
    cancel: *const rum_cancel,
    out: *mut *mut rum_model,
) -> rum_status {
    entry("rum_model_open", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        // SAFETY: the caller's promise.
        let (opening, path) =
            unsafe { (Opening::new(call, runtime, &options, cancel)?, text::read(path, path_len, "the path")?) };
        let mode = match rum_load::read(options.load)? {
            rum_load::RUM_LOAD_MMAP => LoadMode::Mmap,
            rum_load::RUM_LOAD_READ => LoadMode::Read,
        };
        opening.check()?;
        let gguf = Gguf::open(Path::new(path), mode, &Limits::default())?;
        let absolute = std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string());
        let model = opening.model(&gguf, Some(&absolute)).map_err(|failure| failure.context(path))?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(model, out) }
    })
}

/// Opens a GGUF file that lies in memory. The `len` bytes at `data` are copied, so they may go when the call returns. Otherwise
/// as `rum_model_open`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_open_memory(
    runtime: *const rum_runtime,
    data: *const u8,
    len: usize,
    options: *const rum_model_options,
    cancel: *const rum_cancel,
    out: *mut *mut rum_model,
) -> rum_status {
    entry("rum_model_open_memory", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        // SAFETY: the caller's promise.
        let opening = unsafe { Opening::new(call, runtime, &options, cancel) }?;
        not_null(data, "the data")?;
        if len > isize::MAX as usize {
            return Err(Failure::invalid(format!("the data has a length of {len} bytes")));
        }
        // SAFETY: the caller's promise: `len` bytes can be read.
        let data = unsafe { std::slice::from_raw_parts(data, len) };
        let bytes = Bytes::filled(len, |own| own.copy_from_slice(data))?;
        let model = opening.model(&Gguf::parse(bytes, &Limits::default())?, None)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(model, out) }
    })
}

/// Opens a GGUF file that is `len` bytes of the file `fd` from `offset` on, such as an asset inside a package. They are read into
/// memory; the descriptor stays the caller's, and its position does not matter and does not change. Otherwise as
/// `rum_model_open`. `RUM_ERR_UNSUPPORTED` on systems other than Unix.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_open_fd(
    runtime: *const rum_runtime,
    fd: i32,
    offset: u64,
    len: u64,
    options: *const rum_model_options,
    cancel: *const rum_cancel,
    out: *mut *mut rum_model,
) -> rum_status {
    entry("rum_model_open_fd", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        // SAFETY: the caller's promise.
        let opening = unsafe { Opening::new(call, runtime, &options, cancel) }?;
        let bytes = read_fd(fd, offset, len)?;
        let model = opening.model(&Gguf::parse(bytes, &Limits::default())?, None)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(model, out) }
    })
}

#[cfg(unix)]
fn read_fd(fd: i32, offset: u64, len: u64) -> Result<Bytes, Failure> {
    use std::os::fd::BorrowedFd;
    use std::os::unix::fs::FileExt;

    let failed = |e: std::io::Error| Failure::new(rum_status::RUM_ERR_IO, format!("reading descriptor {fd}: {e}"));
    if fd < 0 {
        return Err(Failure::invalid(format!("{fd} is no file descriptor")));
    }
    // SAFETY: not -1, and borrowed for this call only; one that is not open is an error of the next line.
    let file = std::fs::File::from(unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().map_err(failed)?);
    let size = file.metadata().map_err(failed)?.len();
    let end = offset.checked_add(len).filter(|&end| end <= size && len > 0);
    let len = end.and(usize::try_from(len).ok()).ok_or_else(|| {
        Failure::invalid(format!("{len} bytes from byte {offset} on are no part of a file of {size} bytes"))
    })?;
    let mut read = Ok(());
    let bytes = Bytes::filled(len, |own| read = file.read_exact_at(own, offset))?;
    read.map_err(failed)?;
    Ok(bytes)
}

#[cfg(not(unix))]
fn read_fd(_: i32, _: u64, _: u64) -> Result<Bytes, Failure> {
    Err(Failure::new(rum_status::RUM_ERR_UNSUPPORTED, "file descriptors are read on Unix only; open a path or memory"))
}

/// What the model is. Set `out->struct_size` first; texts are borrowed from `model`. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_get_info(model: *const rum_model, out: *mut rum_model_info) -> rum_status {
    entry("rum_model_get_info", |call| {
        let model = call.receiver::<Model>(model)?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(out, "the info") }?;
        let (info, model) = (&model.value.info, &model.value);
        let [architecture, name, fingerprint] = &model.texts;
        let info = rum_model_info {
            architecture: architecture.lend(),
            name: name.lend(),
            fingerprint: fingerprint.lend(),
            n_vocab: info.n_vocab as u64,
            n_embd: info.n_embd as u64,
            n_layer: info.n_layer as u64,
            n_ctx_train: info.n_ctx_train as u64,
            file_bytes: model.weights.bytes,
            bos: model.tokenizer.bos().unwrap_or(u32::MAX),
            eos: model.tokenizer.eos().unwrap_or(u32::MAX),
            has_chat_template: model.template.is_some().into(),
            ..rum_model_info::initial()
        };
        // SAFETY: the size is that of `out`.
        unsafe { sized::write(out, size, &info) };
        Ok(())
    })
}

/// The file's metadata value of `key` as text, borrowed from `model`; `RUM_ERR_NOT_FOUND` for a key that is not there or has an
/// array. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_get_meta(
    model: *const rum_model,
    key: *const c_char,
    key_len: usize,
    out: *mut rum_str,
) -> rum_status {
    entry("rum_model_get_meta", |call| {
        let model = call.receiver::<Model>(model)?;
        not_null(out, "the out-parameter")?;
        // SAFETY: the caller's promise.
        let key = unsafe { text::read(key, key_len, "the key") }?;
        let missing =
            || Failure::new(rum_status::RUM_ERR_NOT_FOUND, format!("no single metadata value is called {key:?}"));
        let value = model.value.metadata.get(key).ok_or_else(missing)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(value.lend()) };
        Ok(())
    })
}

/// Frees a model; NULL is fine. Its sessions and runs go on, and its memory is given back with the last of them.
#[unsafe(no_mangle)]
pub extern "C" fn rum_model_free(model: *mut rum_model) -> rum_status {
    free::<Model>("rum_model_free", model)
}
