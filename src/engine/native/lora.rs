//! Adapters in the form that the kernels take: all factors A that meet one input as one matrix, which is multiplied along
//! with the model's own, and beside every matrix of the model the factors B of all adapters as one, scales included.

use std::sync::Arc;

use crate::engine::native::lora::Site::{AfterAttention, AfterGate, BeforeAttention, BeforeFfn};
use crate::engine::native::scratch::resize_exact;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::kernels::{self, Activations, Input, MatrixView, PackedMatrix, Product};
use crate::model::{Adapter, Lora, Model, Projection, adapted_fingerprint};
use crate::quant::QuantType;
use crate::simd::Isa;

/// The inputs that a layer's matrices meet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Site {
    BeforeAttention,
    AfterAttention,
    BeforeFfn,
    AfterGate,
}

const SITES: [(Site, &[Projection]); 4] = [
    (BeforeAttention, &[Projection::AttnQ, Projection::AttnK, Projection::AttnV]),
    (AfterAttention, &[Projection::AttnOutput]),
    (BeforeFfn, &[Projection::FfnGate, Projection::FfnUp]),
    (AfterGate, &[Projection::FfnDown]),
];

/// What stands beside the matrices of a model.
pub(super) struct LoraSet {
    layers: Vec<[Option<Beside>; SITES.len()]>,
    fingerprint: String,
}

/// What stands beside the matrices that meet one input.
pub(super) struct Beside {
    /// The A of all of them below each other.
    a: PackedMatrix,
    parts: Vec<Part>,
}

/// What stands beside one matrix: `y += B (A x)`.
struct Part {
    projection: Projection,
    /// Its first row of A.
    first: usize,
    b: PackedMatrix,
}

impl LoraSet {
    /// Checks that every adapter belongs to `model`, and packs all of them.
    pub fn new(team: &Team, model: &Model, adapters: &[(Arc<Adapter>, f32)]) -> Result<Self> {
        for (adapter, _) in adapters {
            adapter.check_base(model)?;
        }
        let fingerprint = adapted_fingerprint(model.fingerprint(), adapters)?;
        let mut layers = Vec::with_capacity(model.config().n_layer);
        for layer in 0..model.config().n_layer {
            let mut sites = [const { None }; SITES.len()];
            for (site, projections) in SITES {
                sites[site as usize] = Beside::new(team, model, adapters, layer, projections)?;
            }
            layers.push(sites);
        }
        Ok(Self { layers, fingerprint })
    }

    /// What stands beside the matrices of layer `layer` that meet the input at `site`.
    pub fn get(&self, layer: usize, site: Site) -> Option<&Beside> {
        self.layers.get(layer)?[site as usize].as_ref()
    }

    /// Outputs of the widest A.
    pub fn rank(&self) -> usize {
        self.layers.iter().flatten().flatten().map(|beside| beside.a.rows()).max().unwrap_or_default()
    }

    /// Digest of the model and of everything beside it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Bytes of the packed factors.
    pub fn bytes(&self) -> u64 {
        let all = self.layers.iter().flatten().flatten();
        all.flat_map(|beside| beside.parts.iter().map(|part| &part.b).chain([&beside.a]))
            .map(|matrix| matrix.data().len() as u64)
            .sum()
    }
}

impl Beside {
    fn new(
        team: &Team,
        model: &Model,
        adapters: &[(Arc<Adapter>, f32)],
        layer: usize,
        projections: &[Projection],
    ) -> Result<Option<Self>> {
        let (mut a, mut parts, mut rank, mut width) = (Vec::new(), Vec::new(), 0, 0);
        for &projection in projections {
            let mut pairs: Vec<(&Lora, f32)> = Vec::new();
            for (adapter, scale) in adapters {
                pairs.extend(adapter.get(layer, projection).map(|lora| (lora, scale * adapter.scale(lora))));
            }
            if pairs.is_empty() {
                continue;
            }
            let (n_in, n_out) = projection.shape(model.config());
            parts.push(Part { projection, first: rank, b: scaled(team, &pairs, n_out)? });
            pairs.iter().for_each(|(lora, _)| a.extend_from_slice(&lora.a));
            rank += pairs.iter().map(|(lora, _)| lora.rank).sum::<usize>();
            width = n_in;
        }
        if parts.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { a: packed(team, &a, rank, width)?, parts }))
    }
}

/// The B of all pairs side by side, each scaled.
fn scaled(team: &Team, pairs: &[(&Lora, f32)], n_out: usize) -> Result<PackedMatrix> {
    let rank = pairs.iter().map(|(lora, _)| lora.rank).sum();
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
    packed(team, &b, n_out, rank)
}

fn packed(team: &Team, data: &[f32], rows: usize, cols: usize) -> Result<PackedMatrix> {
    PackedMatrix::new(team, &MatrixView::new(QuantType::F32, rows, cols, bytemuck::cast_slice(data))?)
}

/// Buffers between the two factors.
#[derive(Default)]
pub(super) struct LowRank {
    /// `A x` of all parts, `[token][rank]`.
    x: Vec<f32>,
    /// That of one part.
    own: Vec<f32>,
    acts: Activations,
}

impl LowRank {
    /// The product of A with the `n` inputs, which must be there in F32, to be computed along with those of the model's
    /// matrices.
    pub fn product<'a>(&'a mut self, beside: Option<&'a Beside>, n: usize) -> Option<Product<'a>> {
        let w = &beside?.a;
        resize_exact(&mut self.x, n * w.rows());
        Some(Product { w, bias: None, out: &mut self.x, add: false })
    }

    /// Adds what stands beside `projection` to `out`, from what [`product`](Self::product) was given.
    pub fn add(
        &mut self,
        team: &Team,
        isa: Isa,
        beside: Option<&Beside>,
        projection: Projection,
        out: &mut [f32],
    ) -> Result<()> {
        let Some(beside) = beside else { return Ok(()) };
        let Some(part) = beside.parts.iter().find(|part| part.projection == projection) else { return Ok(()) };
        let (all, rank) = (beside.a.rows(), part.b.cols());
        self.own.clear();
        self.own.reserve_exact(self.x.len() / all * rank);
        self.x.chunks_exact(all).for_each(|x| self.own.extend_from_slice(&x[part.first..part.first + rank]));
        self.acts.set(team, isa, Input::Plain(&self.own), rank, &[QuantType::F32])?;
        kernels::matmul(team, isa, &self.acts, vec![Product { w: &part.b, bias: None, out, add: true }])
    }

    pub fn bytes(&self) -> usize {
        (self.x.capacity() + self.own.capacity()) * size_of::<f32>() + self.acts.bytes()
    }
}
