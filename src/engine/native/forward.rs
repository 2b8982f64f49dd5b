//! One forward pass: the decoder that all supported architectures share, read top-down.

use crate::engine::kv_tree::KvTree;
use crate::engine::native::lora::{Beside, LoraSet, Site};
use crate::engine::native::pages::PagePool;
use crate::engine::native::scratch::{CHUNK_TOKENS, Scratch, resize_exact};
use crate::engine::plan::{Lane, Step};
use crate::engine::{Rows, Tap};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::kernels::{self, Input, Product};
use crate::model::{Config, Layer, Linear, Model, Projection, RopeTable};
use crate::observe::Interrupt;
use crate::quant::QuantType;
use crate::simd::Isa;

/// Everything that a pass reads and writes.
pub(super) struct Pass<'a> {
    pub model: &'a Model,
    pub team: &'a Team,
    pub isa: Isa,
    pub kv: &'a mut KvTree<PagePool>,
    pub loras: Option<&'a LoraSet>,
    pub scratch: &'a mut Scratch,
    pub lanes: &'a [Lane],
    /// Where hidden states are read.
    pub taps: &'a [Tap],
    pub interrupt: &'a Interrupt,
}

impl Pass<'_> {
    /// Computes the KV of all steps, and the rows that they want, in the order of the steps.
    ///
    /// A token's numbers depend on its path alone: neither chunks nor other branches change a bit of them.
    pub fn run(mut self, steps: &[Step], rows: &mut Rows) -> Result<()> {
        for chunk in steps.chunks(CHUNK_TOKENS) {
            self.run_chunk(chunk, rows)?;
        }
        Ok(())
    }

    fn run_chunk(&mut self, steps: &[Step], rows: &mut Rows) -> Result<()> {
        let (model, config) = (self.model, self.model.config());
        self.scratch.resize(config, steps.len());
        self.scratch.rotate_to(steps.iter().map(|s| s.position));
        self.plan_attention(steps);
        self.embed(steps)?;
        // Past the last layer's keys and values only the wanted tokens matter.
        let wanted: Vec<usize> =
            (0..steps.len()).filter(|&i| steps[i].want.logits() || steps[i].want.hidden()).collect();
        let (last, lower) = match model.weights().layers.split_last() {
            Some(layers) => layers,
            None => return Err(Error::new(ErrorKind::Internal, "a model without layers")),
        };
        let first = self.add_hidden(steps, rows);
        for (i, layer) in lower.iter().enumerate() {
            self.interrupt.check()?;
            self.keys_values(i, layer)?;
            self.attend(i, layer)?;
            self.feed_forward(i, layer)?;
            self.check_finite(i)?;
            self.read_hidden(Tap::Layer(i), &self.scratch.x, steps, rows, first);
        }
        self.interrupt.check()?;
        self.keys_values(lower.len(), last)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let steps = self.keep(&wanted, steps);
        self.attend(lower.len(), last)?;
        self.feed_forward(lower.len(), last)?;
        self.check_finite(lower.len())?;
        self.read_hidden(Tap::Layer(lower.len()), &self.scratch.x, &steps, rows, first);
        self.output(&steps, rows, first)
    }

    /// Token embeddings into the residual stream.
    fn embed(&mut self, steps: &[Step]) -> Result<()> {
        let config = self.model.config();
        let table = &self.model.weights().token_embd;
        for (step, x) in steps.iter().zip(self.scratch.x.chunks_exact_mut(config.n_embd)) {
            table.get_row(step.token as usize, x)?;
        }
        if config.embedding_scale != 1.0 {
            kernels::scale(self.isa, &mut self.scratch.x, config.embedding_scale);
        }
        Ok(())
    }

    /// Norm, queries, keys and values; keys and values go to their pages.
    fn keys_values(&mut self, i: usize, layer: &Layer) -> Result<()> {
        let config = self.model.config();
        let (team, isa, s) = (self.team, self.isa, &mut *self.scratch);
        let (q, k, v) = (&layer.attn_q, &layer.attn_k, &layer.attn_v);
        let formats = [q.weight.ty(), k.weight.ty(), v.weight.ty(), QuantType::F32];
        let beside = self.loras.and_then(|loras| loras.get(i, Site::BeforeAttention));
        let input = Input::RmsNorm { x: &s.x, weight: &layer.attn_norm, eps: config.norm_eps };
        s.acts.set(team, isa, input, config.n_embd, &formats)?;
        let mut products = vec![
            product(team, self.interrupt, q, &mut s.q, false)?,
            product(team, self.interrupt, k, &mut s.k, false)?,
            product(team, self.interrupt, v, &mut s.v, false)?,
        ];
        products.extend(s.low.product(beside, s.acts.n()));
        kernels::matmul(team, isa, &s.acts, products)?;
        s.low.add(team, isa, beside, Projection::AttnQ, &mut s.q)?;
        s.low.add(team, isa, beside, Projection::AttnK, &mut s.k)?;
        s.low.add(team, isa, beside, Projection::AttnV, &mut s.v)?;
        if let Some(weight) = &layer.attn_q_norm {
            kernels::rms_norm_inplace(team, isa, &mut s.q, weight, config.norm_eps);
        }
        if let Some(weight) = &layer.attn_k_norm {
            kernels::rms_norm_inplace(team, isa, &mut s.k, weight, config.norm_eps);
        }
        let table = match config.window_of(i) {
            Some(_) => s.rope_local.as_ref().unwrap_or(&s.rope),
            None => &s.rope,
        };
        rotate(team, isa, config, table, &mut s.q);
        rotate(team, isa, config, table, &mut s.k);
        self.store(i);
        Ok(())
    }

    /// Attention of every step over its own path, and its projection back, added to the residual stream.
    fn attend(&mut self, i: usize, layer: &Layer) -> Result<()> {
        self.weigh_values(i);
        let (config, s) = (self.model.config(), &mut *self.scratch);
        let beside = self.loras.and_then(|loras| loras.get(i, Site::AfterAttention));
        let formats = [layer.attn_output.weight.ty(), QuantType::F32];
        s.acts.set(self.team, self.isa, Input::Plain(&s.attn), config.n_embd_q(), &formats)?;
        let (norm, projection) = (layer.post_attention_norm.as_deref(), Projection::AttnOutput);
        self.add_to_residual(projection, &layer.attn_output, beside, norm)
    }

    /// The gated feed-forward layer, added to the residual stream.
    fn feed_forward(&mut self, i: usize, layer: &Layer) -> Result<()> {
        let config = self.model.config();
        let (team, isa, s) = (self.team, self.isa, &mut *self.scratch);
        let (gate, up) = (&layer.ffn_gate, &layer.ffn_up);
        let input = Input::RmsNorm { x: &s.x, weight: &layer.ffn_norm, eps: config.norm_eps };
        s.acts.set(team, isa, input, config.n_embd, &[gate.weight.ty(), up.weight.ty(), QuantType::F32])?;
        let beside = self.loras.and_then(|loras| loras.get(i, Site::BeforeFfn));
        if beside.is_none() {
            let gate = (gate.weight.packed(team, self.interrupt)?, gate.bias.as_deref());
            let up = product(team, self.interrupt, up, &mut s.ffn, false)?;
            kernels::matmul_gated(team, isa, &s.acts, config.activation, gate, up)?;
        } else {
            resize_exact(&mut s.gate, s.ffn.len());
            let mut products = vec![
                product(team, self.interrupt, gate, &mut s.gate, false)?,
                product(team, self.interrupt, up, &mut s.ffn, false)?,
            ];
            products.extend(s.low.product(beside, s.acts.n()));
            kernels::matmul(team, isa, &s.acts, products)?;
            s.low.add(team, isa, beside, Projection::FfnGate, &mut s.gate)?;
            s.low.add(team, isa, beside, Projection::FfnUp, &mut s.ffn)?;
            kernels::gate(team, isa, config.activation, &mut s.gate, &s.ffn);
            std::mem::swap(&mut s.gate, &mut s.ffn);
        }
        let formats = [layer.ffn_down.weight.ty(), QuantType::F32];
        s.acts.set(team, isa, Input::Plain(&s.ffn), config.n_ff, &formats)?;
        let beside = self.loras.and_then(|loras| loras.get(i, Site::AfterGate));
        self.add_to_residual(Projection::FfnDown, &layer.ffn_down, beside, layer.post_ffw_norm.as_deref())
    }

    /// Adds the product of `linear` with the activations, and of what stands beside it, normed first where the architecture
    /// says so, to the residual stream.
    fn add_to_residual(
        &mut self,
        projection: Projection,
        linear: &Linear,
        beside: Option<&Beside>,
        norm: Option<&[f32]>,
    ) -> Result<()> {
        let (team, isa, s) = (self.team, self.isa, &mut *self.scratch);
        let out = if norm.is_some() { &mut s.h } else { &mut s.x };
        let mut products = vec![product(team, self.interrupt, linear, out, norm.is_none())?];
        products.extend(s.low.product(beside, s.acts.n()));
        kernels::matmul(team, isa, &s.acts, products)?;
        s.low.add(team, isa, beside, projection, out)?;
        if let Some(weight) = norm {
            kernels::rms_norm_inplace(team, isa, &mut s.h, weight, self.model.config().norm_eps);
            kernels::add(isa, &mut s.x, &s.h);
        }
        Ok(())
    }

    /// Drops the activations of all but the wanted steps.
    fn keep(&mut self, wanted: &[usize], steps: &[Step]) -> Vec<Step> {
        let config = self.model.config();
        let s = &mut *self.scratch;
        for (buffer, width) in [(&mut s.x, config.n_embd), (&mut s.q, config.n_embd_q())] {
            for (to, &from) in wanted.iter().enumerate() {
                buffer.copy_within(from * width..(from + 1) * width, to * width);
            }
        }
        s.resize(config, wanted.len());
        let kept: Vec<Step> = wanted.iter().map(|&i| steps[i]).collect();
        if kept.len() < steps.len() {
            self.plan_attention(&kept);
        }
        kept
    }

    /// Room for the hidden rows of these steps, and where it starts.
    fn add_hidden(&self, steps: &[Step], rows: &mut Rows) -> usize {
        let (first, n) = (rows.hidden.len(), steps.iter().filter(|step| step.want.hidden()).count());
        let len = first + n * self.taps.len() * self.model.config().n_embd;
        resize_exact(&mut rows.hidden, len);
        first
    }

    /// Copies the states `x` of the steps that want them, `[step][n_embd]`, to their places for `tap` in the hidden rows
    /// from `first` on.
    fn read_hidden(&self, tap: Tap, x: &[f32], steps: &[Step], rows: &mut Rows, first: usize) {
        let n_embd = self.model.config().n_embd;
        let width = self.taps.len() * n_embd;
        for (place, _) in self.taps.iter().enumerate().filter(|(_, t)| **t == tap) {
            let wanted = steps.iter().zip(x.chunks_exact(n_embd)).filter(|(step, _)| step.want.hidden());
            for (row, (_, x)) in rows.hidden[first..].chunks_exact_mut(width).zip(wanted) {
                row[place * n_embd..(place + 1) * n_embd].copy_from_slice(x);
            }
        }
    }

    /// Final norm, its hidden rows, and logits of those that want them.
    fn output(&mut self, steps: &[Step], rows: &mut Rows, first: usize) -> Result<()> {
        let (config, weights) = (self.model.config(), self.model.weights());
        let formats = [weights.output.ty()];
        let (weight, eps) = (&weights.output_norm, config.norm_eps);
        let s = &mut *self.scratch;
        s.acts.set(self.team, self.isa, Input::RmsNorm { x: &s.x, weight, eps }, config.n_embd, &formats)?;
        self.read_hidden(Tap::Final, self.scratch.acts.input(), steps, rows, first);
        let (team, isa, s) = (self.team, self.isa, &mut *self.scratch);
        let for_logits = steps.iter().filter(|step| step.want.logits()).count();
        if for_logits == 0 {
            return Ok(());
        }
        if for_logits < steps.len() {
            for (to, (from, _)) in steps.iter().enumerate().filter(|(_, step)| step.want.logits()).enumerate() {
                s.x.copy_within(from * config.n_embd..(from + 1) * config.n_embd, to * config.n_embd);
            }
            let x = &s.x[..for_logits * config.n_embd];
            s.acts.set(team, isa, Input::RmsNorm { x, weight, eps }, config.n_embd, &formats)?;
        }
        let (logits, blocks) = rows.add_logits(for_logits);
        let w = weights.output.packed(team, self.interrupt)?;
        let bias = weights.output_bias.as_deref();
        kernels::matmul(team, isa, &s.acts, vec![Product { w, bias, out: logits, add: false }])?;
        if let Some(cap) = config.logit_softcap {
            kernels::soft_cap(team, isa, logits, cap);
        }
        if kernels::logit_blocks(team, isa, logits, config.n_vocab, blocks) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NonFinite, "the logits hold NaN or infinity; the output matrix may be damaged"))
    }

    fn check_finite(&self, layer: usize) -> Result<()> {
        if kernels::all_finite(self.isa, &self.scratch.x) {
            return Ok(());
        }
        let message = format!("layer {layer} produced NaN or infinity; its weights may be damaged");
        Err(Error::new(ErrorKind::NonFinite, message))
    }
}

/// `out = acts · weightᵀ + bias`, or added to `out`; each `[token][width]`.
fn product<'a>(
    team: &Team,
    interrupt: &Interrupt,
    linear: &'a Linear,
    out: &'a mut [f32],
    add: bool,
) -> Result<Product<'a>> {
    Ok(Product { w: linear.weight.packed(team, interrupt)?, bias: linear.bias.as_deref(), out, add })
}

/// Rotates every head of every token in place.
fn rotate(team: &Team, isa: Isa, config: &Config, table: &RopeTable, heads: &mut [f32]) {
    kernels::rope(team, isa, config.rope.style, config.head_dim, config.rope.n_rot, &table.cos, &table.sin, heads);
}
