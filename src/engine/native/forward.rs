//! One forward pass: the decoder that all supported architectures share, read top-down.

use crate::engine::Rows;
use crate::engine::native::kv::KvTree;
use crate::engine::native::plan::{Lane, Step};
use crate::engine::native::scratch::{CHUNK_TOKENS, RopeTable, Scratch};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::kernels;
use crate::model::{Activation, Config, Layer, Linear, Model};
use crate::observe::Interrupt;
use crate::simd::Isa;

/// Everything that a pass reads and writes.
pub(super) struct Pass<'a> {
    pub model: &'a Model,
    pub team: &'a Team,
    pub isa: Isa,
    pub kv: &'a mut KvTree,
    pub scratch: &'a mut Scratch,
    pub lanes: &'a [Lane],
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
        for (i, layer) in lower.iter().enumerate() {
            self.interrupt.check()?;
            self.keys_values(i, layer)?;
            self.attend(i, layer)?;
            self.feed_forward(layer)?;
            self.check_finite(i)?;
        }
        self.interrupt.check()?;
        self.keys_values(lower.len(), last)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let steps = self.keep(&wanted, steps);
        self.attend(lower.len(), last)?;
        self.feed_forward(last)?;
        self.check_finite(lower.len())?;
        self.output(&steps, rows)
    }

    /// Token embeddings into the residual stream.
    fn embed(&mut self, steps: &[Step]) -> Result<()> {
        let config = self.model.config();
        let table = self.model.weights().token_embd.view()?;
        for (step, x) in steps.iter().zip(self.scratch.x.chunks_exact_mut(config.n_embd)) {
            kernels::get_row(&table, step.token as usize, x)?;
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
        kernels::rms_norm(team, isa, &s.x, &layer.attn_norm, config.norm_eps, &mut s.h);
        s.acts.set(&s.h, config.n_embd)?;
        for (linear, out) in [(&layer.attn_q, &mut s.q), (&layer.attn_k, &mut s.k), (&layer.attn_v, &mut s.v)] {
            linear_into(team, isa, linear, &mut s.acts, out)?;
        }
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
        s.acts.set(&s.attn, config.n_embd_q())?;
        linear_into(self.team, self.isa, &layer.attn_output, &mut s.acts, &mut s.h)?;
        self.add_to_residual(layer.post_attention_norm.as_deref());
        Ok(())
    }

    /// The gated feed-forward layer, added to the residual stream.
    fn feed_forward(&mut self, layer: &Layer) -> Result<()> {
        let config = self.model.config();
        let (team, isa, s) = (self.team, self.isa, &mut *self.scratch);
        kernels::rms_norm(team, isa, &s.x, &layer.ffn_norm, config.norm_eps, &mut s.h);
        s.acts.set(&s.h, config.n_embd)?;
        linear_into(team, isa, &layer.ffn_gate, &mut s.acts, &mut s.gate)?;
        linear_into(team, isa, &layer.ffn_up, &mut s.acts, &mut s.up)?;
        match config.activation {
            Activation::Silu => kernels::silu_mul(team, isa, &mut s.gate, &s.up),
            Activation::Gelu => kernels::gelu_mul(team, isa, &mut s.gate, &s.up),
        }
        s.acts.set(&s.gate, config.n_ff)?;
        linear_into(team, isa, &layer.ffn_down, &mut s.acts, &mut s.h)?;
        self.add_to_residual(layer.post_ffw_norm.as_deref());
        Ok(())
    }

    /// Adds `h`, normed first where the architecture says so, to the residual stream.
    fn add_to_residual(&mut self, norm: Option<&[f32]>) {
        let s = &mut *self.scratch;
        if let Some(weight) = norm {
            kernels::rms_norm_inplace(self.team, self.isa, &mut s.h, weight, self.model.config().norm_eps);
        }
        kernels::add(self.isa, &mut s.x, &s.h);
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

    /// Final norm, hidden rows, and logits of those that want them.
    fn output(&mut self, steps: &[Step], rows: &mut Rows) -> Result<()> {
        let (config, weights) = (self.model.config(), self.model.weights());
        let (team, isa, s) = (self.team, self.isa, &mut *self.scratch);
        kernels::rms_norm(team, isa, &s.x, &weights.output_norm, config.norm_eps, &mut s.h);
        let mut for_logits = Vec::new();
        for (step, h) in steps.iter().zip(s.h.chunks_exact(config.n_embd)) {
            if step.want.hidden() {
                rows.hidden.extend_from_slice(h);
            }
            if step.want.logits() {
                for_logits.extend_from_slice(h);
            }
        }
        if for_logits.is_empty() {
            return Ok(());
        }
        let first = rows.logits.len();
        rows.logits.resize(first + for_logits.len() / config.n_embd * config.n_vocab, 0.0);
        let logits = &mut rows.logits[first..];
        s.acts.set(&for_logits, config.n_embd)?;
        let view = weights.output.view()?;
        s.acts.prepare(team, isa, view.ty());
        kernels::matmul(team, isa, &view, &s.acts, logits)?;
        if let Some(bias) = &weights.output_bias {
            kernels::add_bias(isa, logits, bias);
        }
        if let Some(cap) = config.logit_softcap {
            kernels::soft_cap(team, isa, logits, cap);
        }
        if kernels::all_finite(isa, logits) {
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

/// `out = acts · weightᵀ + bias`, each `[token][width]`.
fn linear_into(team: &Team, isa: Isa, linear: &Linear, acts: &mut kernels::Activations, out: &mut [f32]) -> Result<()> {
    let view = linear.weight.view()?;
    acts.prepare(team, isa, view.ty());
    kernels::matmul(team, isa, &view, acts, out)?;
    if let Some(bias) = &linear.bias {
        kernels::add_bias(isa, out, bias);
    }
    Ok(())
}

/// Rotates every head of every token in place.
fn rotate(team: &Team, isa: Isa, config: &Config, table: &RopeTable, heads: &mut [f32]) {
    kernels::rope(team, isa, config.rope.style, config.head_dim, config.rope.n_rot, &table.cos, &table.sin, heads);
}
