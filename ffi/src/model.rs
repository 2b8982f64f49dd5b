//! Models, and what they say about themselves.

use std::collections::BTreeMap;
use std::ffi::c_char;

use ruminate::engine::{Backend, ModelInfo, Network};
use ruminate::gguf::{Gguf, Value};
use ruminate::text::{ChatTemplate, Tokenizer};

use crate::call::{entry, free, not_null};
use crate::handle::Kind;
use crate::runtime::Reservation;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, Text, rum_str};

/// A model: weights, vocabulary and chat template. Never changes, so that any number of threads and sessions may use it.
pub struct rum_model(());

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
    pub network: Network,
    pub backend: Backend,
    pub tokenizer: Tokenizer,
    pub template: Option<ChatTemplate>,
    pub info: ModelInfo,
    /// Threads of a session that does not choose.
    pub threads: usize,
    /// Where it was opened, for traces.
    pub path: Option<String>,
    pub weights: Reservation,
    /// Of all its files.
    file_bytes: u64,
    texts: [Text; 3],
    metadata: BTreeMap<String, Text>,
}

/// Weights on their backend, and the memory that they were granted.
pub struct Weights {
    pub network: Network,
    pub backend: Backend,
    pub memory: Reservation,
}

impl Kind for Model {
    type Opaque = rum_model;
    const NAME: &'static str = "model";
}

impl Model {
    pub fn new(
        gguf: &Gguf,
        weights: Weights,
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
        threads: usize,
        path: Option<&str>,
    ) -> Result<Self, Failure> {
        let Weights { network, backend, memory: weights } = weights;
        let info = network.info()?;
        let texts = [&info.architecture, &info.name, &info.fingerprint].map(|text| Text::new(text.as_str()));
        let metadata = gguf.metadata().iter().filter_map(|(key, value)| Some((key.to_owned(), scalar(value)?)));
        let (metadata, path, file_bytes) = (metadata.collect(), path.map(str::to_owned), gguf.file_len());
        Ok(Self { network, backend, tokenizer, template, info, threads, path, weights, file_bytes, texts, metadata })
    }
}

/// A metadata value that is no array, as text.
fn scalar(value: &Value) -> Option<Text> {
    match value {
        Value::Str(text) => Some(Text::new(text.clone())),
        other => other.scalar_text().map(Text::new),
    }
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
            file_bytes: model.file_bytes,
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
