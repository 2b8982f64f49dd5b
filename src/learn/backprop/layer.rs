//! One decoder layer, forward and backward.

use super::attention::Attention;
use super::linear::Projected;
use super::rotation::Rotation;
use super::{Buffer, Compute, Forest, gate, norm};
use crate::error::Result;
use crate::kernels;
use crate::model::{Adapter, Config, Layer, Projection};

/// A layer in its place, over the rows of a forest.
pub(super) struct Block<'a> {
    pub on: Compute<'a>,
    pub config: &'a Config,
    pub layer: &'a Layer,
    pub index: usize,
    pub adapter: Option<&'a Adapter>,
    pub forest: &'a Forest,
    pub rotation: &'a Rotation,
}

/// What the backward pass needs of the forward pass, each `[row][width]`.
pub(super) struct Activations {
    x: Buffer,
    attn_norm: Buffer,
    /// Queries and keys before their own norms, where they have any.
    q_raw: Option<Buffer>,
    k_raw: Option<Buffer>,
    q: Buffer,
    k: Buffer,
    v: Buffer,
    attn: Buffer,
    /// The attention's projection before its own norm, where it has one.
    attn_output: Option<Buffer>,
    middle: Buffer,
    ffn_norm: Buffer,
    gate: Buffer,
    up: Buffer,
    ffn: Buffer,
    /// The feed-forward layer's result before its own norm, where it has one.
    ffn_down: Option<Buffer>,
}

impl Activations {
    /// Numbers kept per row.
    pub fn width(config: &Config) -> usize {
        // The residual stream before, between and normed twice, and two results before norms of theirs; q and k twice at most.
        6 * config.n_embd + 3 * config.n_embd_q() + 3 * config.n_embd_kv() + 3 * config.n_ff
    }

    /// The layer's input again.
    pub fn into_input(self) -> Buffer {
        self.x
    }
}

impl<'a> Block<'a> {
    /// The layer's output for its input `x`, and what the backward pass needs.
    pub fn forward(&self, x: Buffer) -> Result<(Buffer, Activations)> {
        let (on, config, layer, eps) = (self.on, self.config, self.layer, self.config.norm_eps);
        let attn_norm = norm::forward(on, &x, &layer.attn_norm, eps);
        let (q, q_raw) = self.heads(Projection::AttnQ, &attn_norm, layer.attn_q_norm.as_deref())?;
        let (k, k_raw) = self.heads(Projection::AttnK, &attn_norm, layer.attn_k_norm.as_deref())?;
        let v = self.project(Projection::AttnV, &attn_norm)?;
        let attn = Attention::new(on, config, self.forest, self.index).forward(&q, &k, &v)?;
        let mut middle = x.clone();
        let attn_output = self.add(Projection::AttnOutput, &attn, layer.post_attention_norm.as_deref(), &mut middle)?;
        let ffn_norm = norm::forward(on, &middle, &layer.ffn_norm, eps);
        let gate = self.project(Projection::FfnGate, &ffn_norm)?;
        let up = self.project(Projection::FfnUp, &ffn_norm)?;
        let ffn = gate::forward(on, config.activation, &gate, &up);
        let mut y = middle.clone();
        let ffn_down = self.add(Projection::FfnDown, &ffn, layer.post_ffw_norm.as_deref(), &mut y)?;
        let activations = Activations {
            x,
            attn_norm,
            q_raw,
            k_raw,
            q,
            k,
            v,
            attn,
            attn_output,
            middle,
            ffn_norm,
            gate,
            up,
            ffn,
            ffn_down,
        };
        Ok((y, activations))
    }

    /// Turns the gradient at the output into that at the input, and adds those at the adapter's factors to `grads`.
    ///
    /// Without `below`, the gradient at the input is left unfinished: nothing underneath needs it.
    pub fn backward(&self, a: Activations, mut dy: Buffer, grads: &mut Adapter, below: bool) -> Result<Buffer> {
        let (on, config, layer, eps) = (self.on, self.config, self.layer, self.config.norm_eps);
        let n = self.forest.n_rows();
        let zeros = |width: usize| on.buffers.zeros(n * width);

        let d_down = normed_back(on, a.ffn_down.as_deref(), layer.post_ffw_norm.as_deref(), eps, &dy);
        let mut d_ffn = zeros(config.n_ff);
        self.project_back(Projection::FfnDown, &a.ffn, d_down.as_deref().unwrap_or(&dy), grads, Some(&mut d_ffn))?;
        let (mut d_gate, mut d_up) = (a.gate, a.up);
        gate::backward(on, config.activation, &mut d_gate, &mut d_up, &d_ffn);
        let mut d_norm = zeros(config.n_embd);
        self.project_back(Projection::FfnGate, &a.ffn_norm, &d_gate, grads, Some(&mut d_norm))?;
        self.project_back(Projection::FfnUp, &a.ffn_norm, &d_up, grads, Some(&mut d_norm))?;
        norm::backward(on, &a.middle, &layer.ffn_norm, eps, &d_norm, &mut dy);

        let d_output = normed_back(on, a.attn_output.as_deref(), layer.post_attention_norm.as_deref(), eps, &dy);
        let mut d_attn = zeros(config.n_embd_q());
        self.project_back(
            Projection::AttnOutput,
            &a.attn,
            d_output.as_deref().unwrap_or(&dy),
            grads,
            Some(&mut d_attn),
        )?;
        let attention = Attention::new(on, config, self.forest, self.index);
        let mut d_heads = attention.backward(&a.q, &a.k, &a.v, &d_attn)?;
        self.rotation.backward(on, config, &mut d_heads.q);
        self.rotation.backward(on, config, &mut d_heads.k);
        let d_q =
            normed_back(on, a.q_raw.as_deref(), layer.attn_q_norm.as_deref(), eps, &d_heads.q).unwrap_or(d_heads.q);
        let d_k =
            normed_back(on, a.k_raw.as_deref(), layer.attn_k_norm.as_deref(), eps, &d_heads.k).unwrap_or(d_heads.k);
        let mut d_norm = below.then(|| zeros(config.n_embd));
        for (projection, d) in [(Projection::AttnQ, d_q), (Projection::AttnK, d_k), (Projection::AttnV, d_heads.v)] {
            self.project_back(projection, &a.attn_norm, &d, grads, d_norm.as_deref_mut())?;
        }
        if let Some(d_norm) = d_norm {
            norm::backward(on, &a.x, &layer.attn_norm, eps, &d_norm, &mut dy);
        }
        Ok(dy)
    }

    fn projected(&self, projection: Projection) -> Projected<'a> {
        Projected::new(self.layer, self.index, projection, self.adapter)
    }

    fn project(&self, projection: Projection, x: &[f32]) -> Result<Buffer> {
        self.projected(projection).forward(self.on, x, self.forest.n_rows())
    }

    fn project_back(
        &self,
        projection: Projection,
        x: &[f32],
        dy: &[f32],
        grads: &mut Adapter,
        dx: Option<&mut [f32]>,
    ) -> Result<()> {
        let grads = grads.get_mut(self.index, projection);
        self.projected(projection).backward(self.on, x, dy, self.forest.n_rows(), grads, dx)
    }

    /// Rotated heads, and what they were before a norm of their own.
    fn heads(&self, projection: Projection, x: &[f32], weight: Option<&[f32]>) -> Result<(Buffer, Option<Buffer>)> {
        let mut heads = self.project(projection, x)?;
        let raw = weight.map(|weight| {
            let normed = norm::forward(self.on, &heads, weight, self.config.norm_eps);
            std::mem::replace(&mut heads, normed)
        });
        self.rotation.forward(self.on, self.config, &mut heads);
        Ok((heads, raw))
    }

    /// Adds a projection, normed where the architecture says so, to the residual stream; what it was before that norm.
    fn add(&self, projection: Projection, x: &[f32], weight: Option<&[f32]>, to: &mut [f32]) -> Result<Option<Buffer>> {
        let y = self.project(projection, x)?;
        let normed = weight.map(|weight| norm::forward(self.on, &y, weight, self.config.norm_eps));
        kernels::add(self.on.isa, to, normed.as_deref().unwrap_or(&y));
        Ok(weight.map(|_| y))
    }
}

/// The gradient before a norm; `None` where there is no norm.
fn normed_back(on: Compute<'_>, x: Option<&[f32]>, weight: Option<&[f32]>, eps: f32, dy: &[f32]) -> Option<Buffer> {
    let (x, weight) = (x?, weight?);
    let mut dx = on.buffers.zeros(x.len());
    norm::backward(on, x, weight, eps, dy, &mut dx);
    Some(dx)
}
