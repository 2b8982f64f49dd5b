//! LoRA adapters: beside a frozen matrix W stands a product of two small ones, `y = W x + s B (A x)`
//! (<https://arxiv.org/abs/2106.09685>).

mod file;
mod merge;
mod projection;
mod stored;
#[cfg(test)]
mod tests;

pub use merge::{MergeFormat, Merged, merge};
pub use projection::Projection;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Fingerprint;
use crate::model::{Config, Model};

/// The two factors beside one matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Inner width.
    pub rank: usize,
    /// `[rank][n_in]`.
    pub a: Vec<f32>,
    /// `[n_out][rank]`.
    pub b: Vec<f32>,
}

/// A set of factors for one base model.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// `general.name`, or an empty string.
    pub name: String,
    /// `general.architecture` of its base.
    pub architecture: String,
    /// [`Model::fingerprint`] of its base, or an empty string when it is not known.
    pub base_fingerprint: String,
    /// The products count `alpha / rank` times, or once where it is 0.
    pub alpha: f32,
    /// Inputs and outputs of the base's matrices, in the order of [`Projection::ALL`].
    shapes: [(usize, usize); Projection::ALL.len()],
    layers: Vec<[Option<Lora>; Projection::ALL.len()]>,
}

impl Adapter {
    /// An adapter for models of this configuration that changes nothing yet.
    pub fn new(config: &Config, alpha: f32) -> Self {
        let layers = vec![[const { None }; Projection::ALL.len()]; config.n_layer];
        Self {
            name: String::new(),
            architecture: config.architecture.clone(),
            base_fingerprint: String::new(),
            alpha,
            shapes: Projection::ALL.map(|projection| projection.shape(config)),
            layers,
        }
    }

    /// Layers of the base.
    pub fn n_layer(&self) -> usize {
        self.layers.len()
    }

    /// The factors beside `projection` of layer `layer`.
    pub fn get(&self, layer: usize, projection: Projection) -> Option<&Lora> {
        self.layers.get(layer)?.get(projection as usize)?.as_ref()
    }

    /// [`get`](Self::get), to be changed.
    pub fn get_mut(&mut self, layer: usize, projection: Projection) -> Option<&mut Lora> {
        self.layers.get_mut(layer)?.get_mut(projection as usize)?.as_mut()
    }

    /// Puts factors beside a matrix of the base, whose shape they must fit.
    pub fn set(&mut self, config: &Config, layer: usize, projection: Projection, lora: Lora) -> Result<()> {
        check_shape(&lora, layer, projection, projection.shape(config))?;
        let place = self.layers.get_mut(layer).and_then(|layer| layer.get_mut(projection as usize));
        let place = place.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("an adapter for layer {layer} of no such layer"))
        })?;
        *place = Some(lora);
        Ok(())
    }

    /// What the product of `lora` is scaled by.
    pub fn scale(&self, lora: &Lora) -> f32 {
        if self.alpha == 0.0 { 1.0 } else { self.alpha / lora.rank as f32 }
    }

    /// An adapter of the same shape, all factors zero.
    pub fn zeros_like(&self) -> Self {
        let zeros = |lora: &Lora| Lora { rank: lora.rank, a: vec![0.0; lora.a.len()], b: vec![0.0; lora.b.len()] };
        let layers = self.layers.iter().map(|layer| layer.each_ref().map(|lora| lora.as_ref().map(zeros))).collect();
        Self {
            name: self.name.clone(),
            architecture: self.architecture.clone(),
            base_fingerprint: self.base_fingerprint.clone(),
            alpha: self.alpha,
            shapes: self.shapes,
            layers,
        }
    }

    /// All factors, lowest layer first, projections in the order of [`Projection::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (usize, Projection, &Lora)> {
        self.layers.iter().enumerate().flat_map(|(i, layer)| {
            Projection::ALL.into_iter().zip(layer).filter_map(move |(p, lora)| Some((i, p, lora.as_ref()?)))
        })
    }

    /// The factors in the order of [`iter`](Self::iter), to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lora> {
        self.layers.iter_mut().flatten().flatten()
    }

    /// Numbers in all factors.
    pub fn parameters(&self) -> usize {
        self.iter().map(|(_, _, lora)| lora.a.len() + lora.b.len()).sum()
    }

    /// An error unless the adapter belongs to `model`: of kind [`InvalidArgument`](ErrorKind::InvalidArgument) for another
    /// architecture, other sizes or, where the adapter knows its base, another file; and errors as
    /// [`validate`](Self::validate).
    pub fn check_base(&self, model: &Model) -> Result<()> {
        self.check(model.config(), model.fingerprint())
    }

    /// [`check_base`](Self::check_base) for a model of this configuration and fingerprint.
    pub(crate) fn check(&self, config: &Config, fingerprint: &str) -> Result<()> {
        self.check_config(config)?;
        self.check_fingerprint(fingerprint)?;
        self.validate()
    }

    /// Every factor has its matrix's shape ([`Format`](ErrorKind::Format)), and every number is finite
    /// ([`NonFinite`](ErrorKind::NonFinite)).
    pub fn validate(&self) -> Result<()> {
        if !self.alpha.is_finite() {
            return Err(Error::new(ErrorKind::NonFinite, format!("the adapter's alpha is {}", self.alpha)));
        }
        for (layer, projection, lora) in self.iter() {
            check_shape(lora, layer, projection, self.shapes[projection as usize])?;
            if !lora.a.iter().chain(&lora.b).all(|x| x.is_finite()) {
                let name = projection.name();
                let message = format!("the adapter's factors beside blk.{layer}.{name} hold NaN or infinity");
                return Err(Error::new(ErrorKind::NonFinite, message));
            }
        }
        Ok(())
    }

    /// 32 hex digits that depend on every number in it, but not on its name.
    pub fn digest(&self) -> String {
        let mut digest = Fingerprint::new();
        digest.add(self.architecture.as_bytes());
        digest.add(&self.alpha.to_le_bytes());
        for (layer, projection, lora) in self.iter() {
            digest.add(&[layer, projection as usize, lora.rank].map(|n| (n as u64).to_le_bytes()).concat());
            digest.add(bytemuck::cast_slice(&lora.a));
            digest.add(bytemuck::cast_slice(&lora.b));
        }
        digest.hex()
    }

    fn check_config(&self, config: &Config) -> Result<()> {
        let shapes = Projection::ALL.map(|projection| projection.shape(config));
        if self.architecture != config.architecture {
            return Err(other_architecture(&self.architecture, &config.architecture));
        }
        if (self.n_layer(), self.shapes) != (config.n_layer, shapes) {
            let (mine, base) = (self.n_layer(), config.n_layer);
            return Err(Error::invalid(format!(
                "the adapter belongs to a model of {mine} layers with matrices of other sizes than this one of {base} layers"
            )));
        }
        Ok(())
    }

    fn check_fingerprint(&self, fingerprint: &str) -> Result<()> {
        if self.base_fingerprint.is_empty() || self.base_fingerprint == fingerprint {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the adapter was made for a model file of fingerprint {}, this one has {fingerprint}: load the file that it was \
             made for",
            self.base_fingerprint
        )))
    }
}

fn other_architecture(adapter: &str, base: &str) -> Error {
    Error::invalid(format!("an adapter for {adapter:?} models cannot stand beside a {base:?} model"))
}

fn check_shape(lora: &Lora, layer: usize, projection: Projection, (n_in, n_out): (usize, usize)) -> Result<()> {
    let fits = |len: usize, width: usize| lora.rank > 0 && lora.rank.checked_mul(width) == Some(len);
    if fits(lora.a.len(), n_in) && fits(lora.b.len(), n_out) {
        return Ok(());
    }
    let (a, b) = (lora.a.len(), lora.b.len());
    Err(Error::format(format!(
        "factors of {a} and {b} numbers at rank {} beside blk.{layer}.{}, which has {n_in} inputs and {n_out} outputs",
        lora.rank,
        projection.name()
    )))
}

/// The fingerprint of a model with `adapters` beside it; its own without any.
/// [`InvalidArgument`](ErrorKind::InvalidArgument) for a scale that is not finite.
pub(crate) fn adapted_fingerprint(model: &str, adapters: &[(Arc<Adapter>, f32)]) -> Result<String> {
    if adapters.is_empty() {
        return Ok(model.to_owned());
    }
    let mut digest = Fingerprint::new();
    digest.add(model.as_bytes());
    for (adapter, scale) in adapters {
        if !scale.is_finite() {
            return Err(Error::invalid(format!("an adapter cannot be scaled by {scale}")));
        }
        digest.add(adapter.digest().as_bytes());
        digest.add(&scale.to_le_bytes());
    }
    Ok(digest.hex())
}
