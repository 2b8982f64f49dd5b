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

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::limits::Limits;
use crate::storage::Bytes;

/// A network ready to run: its configuration, its weights (still in the file's bytes) and where it came from.
pub struct Model {
    config: Config,
    weights: Weights,
    fingerprint: String,
    files: Vec<Bytes>,
}

impl Model {
    /// Reads the configuration, checks every tensor's shape against it and leaves the weights in the file's bytes.
    ///
    /// Unsupported architectures, features and tensors that nothing would use are errors, never approximations.
    pub fn load(gguf: &Gguf, limits: &Limits) -> Result<Self> {
        let config = Config::from_gguf(gguf, limits)?;
        let weights = Weights::from_gguf(gguf, &config)?;
        Ok(Self { config, weights, fingerprint: gguf.fingerprint().to_owned(), files: gguf.bytes().cloned().collect() })
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

    /// Bytes that the weights take in memory: packed ones once they are packed, else as in the files.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// An error of kind [`FileChanged`](crate::ErrorKind::FileChanged) if a mapped file was changed since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(Bytes::check_unchanged)
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
