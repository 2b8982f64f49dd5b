//! Adapters in the form that the kernels take: for every matrix the factors of all adapters as one pair, so that several
//! cost no more calls than one.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::gguf::Fingerprint;
use crate::kernels::{self, Activations, Input, MatrixView, PackedMatrix, Product};
use crate::model::{Adapter, Lora, Model, Projection};
use crate::quant::QuantType;
use crate::simd::Isa;

/// What stands beside the matrices of a model.
pub(super) struct LoraSet {
    layers: Vec<[Option<Factors>; Projection::ALL.len()]>,
    fingerprint: String,
}

/// What stands beside one matrix: `y += B (A x)`. Scales are part of B.
pub(super) struct Factors {
    a: PackedMatrix,
    b: PackedMatrix,
}

impl LoraSet {
    /// Checks that every adapter belongs to `model`, and packs all of them.
    pub fn new(team: &Team, model: &Model, adapters: &[(Arc<Adapter>, f32)]) -> Result<Self> {
        let mut digest = Fingerprint::new();
        digest.add(model.fingerprint().as_bytes());
        for (adapter, scale) in adapters {
            adapter.check_base(model)?;
            if !scale.is_finite() {
                return Err(Error::invalid(format!("an adapter cannot be scaled by {scale}")));
            }
            digest.add(adapter.digest().as_bytes());
            digest.add(&scale.to_le_bytes());
        }
        let mut layers = Vec::with_capacity(model.config().n_layer);
        for layer in 0..model.config().n_layer {
            let mut places = [const { None }; Projection::ALL.len()];
            for (place, projection) in places.iter_mut().zip(Projection::ALL) {
                let beside: Vec<(&Lora, f32)> = adapters
                    .iter()
                    .filter_map(|(adapter, scale)| {
                        let lora = adapter.get(layer, projection)?;
                        Some((lora, scale * adapter.scale(lora)))
                    })
                    .collect();
                if !beside.is_empty() {
                    let (n_in, n_out) = projection.shape(model.config());
                    *place = Some(Factors::new(team, &beside, n_in, n_out)?);
                }
            }
            layers.push(places);
        }
        Ok(Self { layers, fingerprint: digest.hex() })
    }

    /// What stands beside `projection` of layer `layer`.
    pub fn get(&self, layer: usize, projection: Projection) -> Option<&Factors> {
        self.layers.get(layer)?.get(projection as usize)?.as_ref()
    }

    /// Digest of the model and of everything beside it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Bytes of the packed factors.
    pub fn bytes(&self) -> u64 {
        let factors = self.layers.iter().flatten().flatten();
        factors.map(|f| (f.a.data().len() + f.b.data().len()) as u64).sum()
    }
}

impl Factors {
    /// The A of all pairs below each other, and their B, scaled, side by side.
    fn new(team: &Team, pairs: &[(&Lora, f32)], n_in: usize, n_out: usize) -> Result<Self> {
        let rank = pairs.iter().map(|(lora, _)| lora.rank).sum();
        let a: Vec<f32> = pairs.iter().flat_map(|(lora, _)| &lora.a).copied().collect();
        let mut rows: Vec<_> = pairs.iter().map(|(lora, scale)| (lora.b.chunks_exact(lora.rank), scale)).collect();
        let mut b = Vec::new();
        for _ in 0..n_out {
            for (rows, scale) in &mut rows {
                b.extend(rows.next().unwrap_or_default().iter().map(|x| x * **scale));
            }
        }
        if !b.iter().all(|x| x.is_finite()) {
            return Err(Error::new(ErrorKind::NonFinite, "an adapter's scaled factors leave the range of f32"));
        }
        Ok(Self { a: packed(team, &a, rank, n_in)?, b: packed(team, &b, n_out, rank)? })
    }
}

fn packed(team: &Team, data: &[f32], rows: usize, cols: usize) -> Result<PackedMatrix> {
    PackedMatrix::new(team, &MatrixView::new(QuantType::F32, rows, cols, bytemuck::cast_slice(data))?)
}

/// Buffers between the two factors.
#[derive(Default)]
pub(super) struct LowRank {
    /// `A x`, `[token][rank]`.
    x: Vec<f32>,
    acts: Activations,
}

impl LowRank {
    /// Adds the product of the factors, if there are any, with the inputs in `acts`, which must be there in F32, to `out`.
    pub fn add(
        &mut self,
        team: &Team,
        isa: Isa,
        acts: &Activations,
        factors: Option<&Factors>,
        out: &mut [f32],
    ) -> Result<()> {
        let Some(Factors { a, b }) = factors else { return Ok(()) };
        self.x.resize(acts.n() * a.rows(), 0.0);
        kernels::matmul(team, isa, acts, vec![Product { w: a, bias: None, out: &mut self.x, add: false }])?;
        self.acts.set(team, isa, Input::Plain(&self.x), a.rows(), &[QuantType::F32])?;
        kernels::matmul(team, isa, &self.acts, vec![Product { w: b, bias: None, out, add: true }])
    }

    pub fn bytes(&self) -> usize {
        self.x.capacity() * size_of::<f32>() + self.acts.bytes()
    }
}
