//! What a model would take, before it is loaded.

use std::ffi::c_char;
use std::path::Path;

use ruminate::Limits;
use ruminate::engine::native::NativeEngine;
use ruminate::engine::{Backend, Footprint, Network};
use ruminate::gguf::Gguf;
use ruminate::model::{Config, Model};
use ruminate::storage::LoadMode;
use serde_json::{Value, json};

use crate::backend;
use crate::call::{clear, entry};
use crate::model_open::rum_model_options;
use crate::session::{native_options, rum_session_options};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_text};

/// Bytes that a session would take, and the tree that it is asked about.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_estimate {
    pub struct_size: usize,
    /// In: tokens of the prompt, which all branches share.
    pub prompt_tokens: u64,
    /// In: branches that grow at once.
    pub branches: u64,
    /// In: tokens that each branch adds.
    pub branch_tokens: u64,
    /// Out: the model, mapped and packed; the bytes of its files come on top where they are read.
    pub weights: u64,
    /// Out: activations of the largest forward pass.
    pub scratch: u64,
    /// Out: keys and values of the tree.
    pub kv: u64,
    /// Out: weights, scratch and tree together.
    pub total: u64,
    /// Out: keys and values of one token of one branch.
    pub kv_per_token: u64,
    /// Out: keys and values are taken in pages of this many bytes,
    pub kv_page: u64,
    /// Out: which hold this many tokens.
    pub page_tokens: u64,
    /// Out: tokens that the model was trained to hold.
    pub n_ctx_train: u64,
}

// SAFETY: `repr(C)`, whole numbers without padding.
unsafe impl Struct for rum_estimate {
    const FIRST: usize = 88 + size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prompt_tokens: 256,
            branches: 8,
            branch_tokens: 512,
            weights: 0,
            scratch: 0,
            kv: 0,
            total: 0,
            kv_per_token: 0,
            kv_page: 0,
            page_tokens: 0,
            n_ctx_train: 0,
        }
    }
}

/// Fills `estimate` with a usual tree: a prompt of 256 tokens, 8 branches of 512. `struct_size` is `sizeof *estimate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_estimate_init(estimate: *mut rum_estimate, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_estimate_init", |_| unsafe { sized::init(estimate, struct_size) })
}

/// Prices the model at `path` with session options `options` (NULL for the defaults) and the tree that `estimate` describes,
/// and writes the rest of `estimate`. Only the file's header is read; nothing is loaded. From any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_estimate(
    path: *const c_char,
    path_len: usize,
    options: *const rum_session_options,
    estimate: *mut rum_estimate,
) -> rum_status {
    entry("rum_model_estimate", |_| {
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(estimate, "the estimate") }?;
        // SAFETY: the caller's promise.
        let asked = unsafe { sized::read(estimate.cast_const(), "the estimate") }?;
        let priced = price(path, &options, asked)?;
        // SAFETY: the size is that of `estimate`.
        unsafe { sized::write(estimate, size, &priced) };
        Ok(())
    })
}

/// What a session of the model at `path` would take on each device, before anything is loaded: `RUM_BACKEND_LLAMA`'s own plan, to which
/// drivers add something. Of `options` the backend, the layers and the devices are read, and nothing is called; `session` may be NULL for
/// the defaults.
///
/// One JSON object: `fits`, and `devices`, an array of objects with `name`, `gpu`, `weights_bytes`, `kv_bytes`, `scratch_bytes`,
/// `total_bytes`, `free_bytes` and `fits` (null where a device does not tell what is free). The caller frees `out`. From any thread.
/// Errors: `RUM_ERR_UNSUPPORTED` for `RUM_BACKEND_NATIVE`, which `rum_model_estimate` prices, in a build without llama.cpp and for a file
/// that it refuses; `RUM_ERR_INVALID_ARGUMENT` for a device that there is not.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_model_estimate_json(
    path: *const c_char,
    path_len: usize,
    options: *const rum_model_options,
    session: *const rum_session_options,
    out: *mut *mut rum_text,
) -> rum_status {
    entry("rum_model_estimate_json", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        // SAFETY: the caller's promise.
        let session = unsafe { sized::read_or_initial(session, "the session's options") }?;
        // SAFETY: the caller's promise.
        let backend = unsafe { backend::chosen(&options) }?;
        let json = price_devices(Path::new(path), &backend, &session)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(json.to_string(), out) }
    })
}

fn price_devices(path: &Path, backend: &Backend, session: &rum_session_options) -> Result<Value, Failure> {
    let gguf = Gguf::open(path, LoadMode::Mmap, &Limits::default())?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = Network::footprint(&gguf, Some(path), backend, &native_options(session, cores)?)?;
    let fits = Footprint::all_fit(&all);
    Ok(json!({"fits": fits, "devices": all.iter().map(Footprint::document).collect::<Vec<_>>()}))
}

fn price(path: &str, options: &rum_session_options, asked: rum_estimate) -> Result<rum_estimate, Failure> {
    let within = |n: u64, what: &str| {
        let n = u32::try_from(n).map_err(|_| Failure::invalid(format!("{what} is {n}: give less than 2^32")))?;
        usize::try_from(n).map_err(|_| Failure::invalid(format!("{what} is {n}")))
    };
    let prompt = within(asked.prompt_tokens, "prompt_tokens")?;
    let branches = within(asked.branches, "branches")?;
    let tokens = within(asked.branch_tokens, "branch_tokens")?;
    let gguf = Gguf::open(Path::new(path), LoadMode::Mmap, &Limits::default())?;
    let config = Config::from_gguf(&gguf, &Limits::default())?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let estimate = NativeEngine::estimate(&config, Model::resident_bytes(&gguf), &native_options(options, cores)?);
    let kv = estimate.kv(prompt, branches, tokens);
    Ok(rum_estimate {
        weights: estimate.weights,
        scratch: estimate.scratch,
        kv,
        total: estimate.weights.saturating_add(estimate.scratch).saturating_add(kv),
        kv_per_token: estimate.kv_per_token,
        kv_page: estimate.kv_page,
        page_tokens: estimate.page_tokens as u64,
        n_ctx_train: config.n_ctx_train as u64,
        ..asked
    })
}
