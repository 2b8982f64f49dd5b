//! What a GGUF file says about its network: configuration, weights, one file per architecture.

mod adapter;
pub mod arch;
mod config;
mod packed_cache;
mod rope;
mod tensor;
mod weights;

pub(crate) use adapter::adapted_fingerprint;
pub use adapter::{Adapter, Lora, MergeFormat, Merged, Projection, merge};
pub use config::{Config, Window};
pub(crate) use rope::RopeTable;
pub use rope::{Rope, RopeFactors, Yarn};
pub use tensor::Tensor;
pub use weights::{Layer, Linear, Weights};

pub use crate::kernels::Activation;

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::gguf::{Gguf, TensorInfo};
use crate::kernels::PackedMatrix;
use crate::limits::Limits;
use crate::storage::Bytes;

/// A network ready to run: its configuration, its weights (still in the file's bytes) and where it came from.
pub struct Model {
    config: Config,
    weights: Weights,
    fingerprint: String,
    files: Vec<Bytes>,
    /// The cache that packed weights are mapped from.
    packed: OnceLock<Bytes>,
}

impl Model {
    /// Reads the configuration, checks every tensor's shape against it and leaves the weights in the file's bytes.
    ///
    /// Unsupported architectures, features and tensors that nothing would use are errors, never approximations.
    pub fn load(gguf: &Gguf, limits: &Limits) -> Result<Self> {
        let config = Config::from_gguf(gguf, limits)?;
        let weights = Weights::from_gguf(gguf, &config)?;
        let files = gguf.bytes().cloned().collect();
        Ok(Self { config, weights, fingerprint: gguf.fingerprint().to_owned(), files, packed: OnceLock::new() })
    }

    /// Sizes and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Digest of the file's metadata and tensor directory.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The bytes of the model's files.
    fn files(&self) -> &[Bytes] {
        &self.files
    }

    /// Bytes that the weights take in memory: as in the files, or packed; where the files were read and not mapped, in both forms.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Bytes that the model in `gguf` takes once all its weights are packed, by its directory alone. A mapped file lets the pages of a
    /// packed matrix go; what was read stays beside it.
    pub fn resident_bytes(gguf: &Gguf) -> u64 {
        let is_tied = gguf.tensor("output.weight").is_none();
        let packed = |tensor: &TensorInfo| match tensor.shape() {
            // Embeddings are looked up, and packed only where they are the output, too.
            _ if tensor.name == "token_embd.weight" && !is_tied => 0,
            &[cols, rows] => {
                let [rows, cols] = [rows, cols].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
                PackedMatrix::len_of(tensor.ty, rows, cols).unwrap_or(usize::MAX)
            }
            _ => 0,
        };
        let more = |tensor: &TensorInfo| {
            let (bytes, range) = gguf.bytes_of(tensor);
            packed(tensor).saturating_sub(if bytes.is_owned() { 0 } else { range.len() }) as u64
        };
        gguf.tensors().iter().map(more).fold(gguf.file_len(), u64::saturating_add)
    }

    /// An error of kind [`FileChanged`](crate::ErrorKind::FileChanged) if a mapped file was changed since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files.iter().chain(self.packed.get()).try_for_each(Bytes::check_unchanged)
    }
}

/// `"<architecture>.<name>"`, the form of every architecture's own keys.
fn key(architecture: &str, name: &str) -> String {
    format!("{architecture}.{name}")
}

/// An error unless the metadata lacks `name` or holds 0 there: for features that would change the arithmetic.
fn reject_feature(gguf: &Gguf, architecture: &str, name: &str) -> Result<()> {
    let key = key(architecture, name);
    match gguf.metadata().u64(&key)? {
        None | Some(0) => Ok(()),
        Some(n) => Err(Error::unsupported(format!("{key} = {n}: this feature is not supported"))),
    }
}
