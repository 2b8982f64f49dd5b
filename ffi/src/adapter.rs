//! LoRA adapters: opened, looked at, saved, and put beside a session's model.

use std::ffi::c_char;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ruminate::Limits;
use ruminate::engine::Engine;
use ruminate::trace::AdapterRecord;

use crate::call::{clear, entry, free, hand_out, not_null};
use crate::handle::Kind;
use crate::model::{Model, rum_model};
use crate::run::{Run, rum_run};
use crate::session::{Session, rum_session};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, Text, rum_str};

/// A LoRA adapter: small matrices beside those of one model. Never changes, so that any number of threads and sessions may use it.
pub struct rum_adapter(());

/// Adapters beside one model, at most.
const MOST: usize = 64;

/// What an adapter is. Texts are borrowed from the adapter.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_adapter_info {
    pub struct_size: usize,
    /// `general.name`, or the empty text.
    pub name: rum_str,
    /// 32 hexadecimal digits that depend on every number in it.
    pub digest: rum_str,
    /// The fingerprint of the model that it was made for; the empty text when it does not say.
    pub base_fingerprint: rum_str,
    /// Numbers in all its matrices.
    pub parameters: u64,
    /// Its largest inner width.
    pub rank: u64,
    /// It counts alpha / rank times, or once where this is 0.
    pub alpha: f64,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_adapter_info {
    const FIRST: usize = 24 + 7 * size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            name: rum_str::NONE,
            digest: rum_str::NONE,
            base_fingerprint: rum_str::NONE,
            parameters: 0,
            rank: 0,
            alpha: 0.0,
        }
    }
}

/// An adapter and what is told of it.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub lora: Arc<ruminate::model::Adapter>,
    /// Where it was opened, for traces; empty for one that was trained.
    path: String,
    name: Text,
    base_fingerprint: Text,
    /// Made when it is asked for: it reads all numbers.
    digest: Arc<OnceLock<Text>>,
}

impl Kind for Adapter {
    type Opaque = rum_adapter;
    const NAME: &'static str = "adapter";
}

impl Adapter {
    /// An adapter that was opened at `path`, or trained.
    pub fn new(lora: ruminate::model::Adapter, path: &str) -> Self {
        let [name, base_fingerprint] = [&lora.name, &lora.base_fingerprint].map(|text| Text::new(text.clone()));
        Self { lora: Arc::new(lora), path: path.to_owned(), name, base_fingerprint, digest: Arc::default() }
    }

    fn digest(&self) -> &Text {
        self.digest.get_or_init(|| Text::new(self.lora.digest()))
    }
}

/// Opens the adapter in the GGUF file at `path`, as llama.cpp and `rum_adapter_save` write it. `RUM_ERR_INVALID_ARGUMENT` for one of
/// another model than `model`. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_adapter_open(
    model: *const rum_model,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut rum_adapter,
) -> rum_status {
    entry("rum_adapter_open", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let model = call.object::<Model>(model)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        let network = &model.value.network;
        let lora = ruminate::model::Adapter::open(Path::new(path), network.config()?, &Limits::default())
            .and_then(|lora| network.check_adapter(&lora).map(|()| lora))
            .map_err(|e| e.context(path))?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Adapter::new(lora, path), out) }
    })
}

/// The adapter that a run of `rum_run_train` came to, as it was when the run ended, whatever ended it. The caller frees `out`.
/// `RUM_ERR_NOT_FOUND` for a run that trained none, `RUM_ERR_NOT_DONE` while it is under way. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_get_adapter(run: *const rum_run, out: *mut *mut rum_adapter) -> rum_status {
    entry("rum_run_get_adapter", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let run = call.receiver::<Run>(run)?;
        let missing = || Failure::new(rum_status::RUM_ERR_NOT_FOUND, "this run trained no adapter");
        let adapter = run.value.finished()?.adapter.as_ref().ok_or_else(missing)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(adapter.clone(), out) }
    })
}

/// What the adapter is. Set `out->struct_size` first; texts are borrowed from `adapter`. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_adapter_get_info(adapter: *const rum_adapter, out: *mut rum_adapter_info) -> rum_status {
    entry("rum_adapter_get_info", |call| {
        let adapter = call.receiver::<Adapter>(adapter)?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(out, "the info") }?;
        let Adapter { lora, name, base_fingerprint, .. } = &adapter.value;
        let info = rum_adapter_info {
            name: name.lend(),
            digest: adapter.value.digest().lend(),
            base_fingerprint: base_fingerprint.lend(),
            parameters: lora.parameters() as u64,
            rank: lora.iter().map(|(_, _, factors)| factors.rank as u64).max().unwrap_or(0),
            alpha: f64::from(lora.alpha),
            ..rum_adapter_info::initial()
        };
        // SAFETY: the size is that of `out`.
        unsafe { sized::write(out, size, &info) };
        Ok(())
    })
}

/// Writes the adapter to the GGUF file at `path`, in llama.cpp's format, whole or not at all: a file that was there before stays until
/// the new one is complete. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_adapter_save(
    adapter: *const rum_adapter,
    path: *const c_char,
    path_len: usize,
) -> rum_status {
    entry("rum_adapter_save", |call| {
        let adapter = call.receiver::<Adapter>(adapter)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        Ok(adapter.value.lora.save(Path::new(path))?)
    })
}

/// Puts `n` adapters beside the session's model in place of those before; 0 takes all away. Each counts as often as its number in
/// `scales` says, once where `scales` is NULL. The adapters may be freed; the session's clones share them.
///
/// `RUM_ERR_INVALID_ARGUMENT`, and nothing has changed, while the session or a clone holds tokens, whose keys and values would not
/// fit (`rum_session_rewind` to 0), for an adapter of another model, and for a scale that is not finite. The adapters' bytes are
/// counted by `rum_session_memory`, not by the runtime's memory budget.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_set_adapters(
    session: *mut rum_session,
    adapters: *const *const rum_adapter,
    scales: *const f32,
    n: usize,
) -> rum_status {
    entry("rum_session_set_adapters", |call| {
        let session = call.receiver::<Session>(session)?;
        if n > MOST {
            return Err(Failure::invalid(format!("{n} adapters: give at most {MOST}")));
        }
        let (mut set, mut records) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for i in 0..n {
            not_null(adapters, "the adapters")?;
            // SAFETY: the caller's promise: `n` handles can be read; not NULL.
            let adapter = call.object::<Adapter>(unsafe { adapters.add(i).read() })?;
            let scale = match scales.is_null() {
                true => 1.0,
                false => {
                    not_null(scales, "the scales")?;
                    // SAFETY: the caller's promise: `n` numbers can be read; not NULL.
                    unsafe { scales.add(i).read() }
                }
            };
            records.push(AdapterRecord { path: adapter.value.path.clone(), scale });
            set.push((Arc::clone(&adapter.value.lora), scale));
        }
        let (mut motor, _line) = session.value.lend()?;
        motor.engine.set_adapters(&set)?;
        motor.adapters = records;
        Ok(())
    })
}

/// Frees an adapter; NULL is fine. Sessions that it stands beside go on.
#[unsafe(no_mangle)]
pub extern "C" fn rum_adapter_free(adapter: *mut rum_adapter) -> rum_status {
    free::<Adapter>("rum_adapter_free", adapter)
}
