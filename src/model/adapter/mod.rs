//! LoRA adapters: beside a frozen matrix W stands a product of two small ones, `y = W x + s B (A x)`
//! (<https://arxiv.org/abs/2106.09685>).

mod projection;

pub use projection::Projection;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Config;

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
    /// The products count `alpha / rank` times, or once where it is 0.
    pub alpha: f32,
    layers: Vec<[Option<Lora>; Projection::ALL.len()]>,
}

impl Adapter {
    /// An adapter for models of this configuration that changes nothing yet.
    pub fn new(config: &Config, alpha: f32) -> Self {
        let layers = vec![[const { None }; Projection::ALL.len()]; config.n_layer];
        Self { name: String::new(), architecture: config.architecture.clone(), alpha, layers }
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
        let (n_in, n_out) = projection.shape(config);
        let fits = |len: usize, width: usize| lora.rank > 0 && lora.rank.checked_mul(width) == Some(len);
        if !fits(lora.a.len(), n_in) || !fits(lora.b.len(), n_out) {
            let (a, b) = (lora.a.len(), lora.b.len());
            return Err(Error::format(format!(
                "factors of {a} and {b} numbers at rank {} beside blk.{layer}.{}, which has {n_in} inputs and {n_out} outputs",
                lora.rank,
                projection.name()
            )));
        }
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

    /// All factors, lowest layer first, projections in the order of [`Projection::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (usize, Projection, &Lora)> {
        self.layers.iter().enumerate().flat_map(|(i, layer)| {
            Projection::ALL.into_iter().zip(layer).filter_map(move |(p, lora)| Some((i, p, lora.as_ref()?)))
        })
    }
}
