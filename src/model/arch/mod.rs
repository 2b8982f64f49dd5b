//! The supported architectures, one file each, named as in `general.architecture`.
//!
//! All are decoders of the same shape; a file states how its architecture differs from llama's constants, and refuses
//! what it would otherwise have to ignore.

mod gemma3;
mod llama;
mod phi3;
mod qwen2;
mod qwen3;

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::model::{Config, RopeFactors, weights};

/// Turns the common configuration into an architecture's own.
pub(crate) type Refine = fn(&Gguf, &mut Config) -> Result<()>;

const ARCHITECTURES: [(&str, Refine); 5] = [
    ("llama", llama::refine),
    ("qwen2", qwen2::refine),
    ("qwen3", qwen3::refine),
    ("gemma3", gemma3::refine),
    ("phi3", phi3::refine),
];

/// Names of the supported architectures.
pub fn names() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|(name, _)| *name)
}

pub(crate) fn find(architecture: &str) -> Result<Refine> {
    ARCHITECTURES.iter().find(|(name, _)| *name == architecture).map(|(_, refine)| *refine).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        Error::unsupported(format!("architecture {architecture:?} is not supported; supported: {known}"))
    })
}

/// Reads the frequency divisors that the file holds as tensors.
fn rope_factors(gguf: &Gguf, config: &Config) -> Result<RopeFactors> {
    let pairs = config.rope.n_rot / 2;
    let read = |name: &str| -> Result<Option<Vec<f32>>> {
        let Some(info) = gguf.tensor(name) else { return Ok(None) };
        if info.shape() != [pairs as u64] {
            return Err(Error::format(format!("tensor {name} has shape {:?}; expected [{pairs}]", info.shape())));
        }
        let factors = weights::dequantize(gguf, info, pairs)?;
        if factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
            return Err(Error::format(format!("tensor {name} holds a divisor that is not positive")));
        }
        Ok(Some(factors))
    };
    match (read("rope_freqs.weight")?, read("rope_factors_short.weight")?, read("rope_factors_long.weight")?) {
        (None, None, None) => Ok(RopeFactors::None),
        (Some(factors), None, None) => Ok(RopeFactors::Fixed(factors)),
        (None, Some(short), Some(long)) => Ok(RopeFactors::Long { short, long }),
        _ => Err(Error::format("the file holds contradictory rope factors")),
    }
}

/// An error when the file holds rope factors that the architecture would not read.
fn no_rope_factors(gguf: &Gguf, config: &Config) -> Result<()> {
    match rope_factors(gguf, config)? {
        RopeFactors::None => Ok(()),
        _ => Err(Error::unsupported(format!("rope factors in architecture {} are not supported", config.architecture))),
    }
}
