//! The whole network: up through the layers, and down again.

use std::ops::Range;

use super::layer::{Activations, Block};
use super::logprob::{self, Logprobs};
use super::rotation::Rotation;
use super::{Buffer, Buffers, Compute, Forest};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::kernels;
use crate::model::{Adapter, Model};
use crate::observe::Interrupt;
use crate::simd::Isa;

/// A frozen network to be differentiated.
pub struct Trunk<'a> {
    model: &'a Model,
    team: &'a Team,
    isa: Isa,
    /// The context that rotations are made for: some architectures rotate otherwise in a long one.
    n_ctx: usize,
    /// Bytes of activations that may be kept on the way up beyond the layers' inputs.
    keep_bytes: usize,
    buffers: Buffers,
}

/// A pass up from some layer to the last.
pub struct Tape {
    /// The residual stream after the last layer, `[row][n_embd]`.
    x: Buffer,
    /// Layers passed through, and what was kept of each.
    layers: Range<usize>,
    kept: Vec<Kept>,
    logprobs: Logprobs,
}

impl Tape {
    /// Log-probabilities of the forest's targets.
    pub fn logprobs(&self) -> &Logprobs {
        &self.logprobs
    }
}

enum Kept {
    Input(Buffer),
    All(Box<Activations>),
}

impl<'a> Trunk<'a> {
    /// A network in a context of `n_ctx` tokens. What `keep_bytes` does not hold of the activations is computed twice.
    pub fn new(model: &'a Model, team: &'a Team, isa: Isa, n_ctx: usize, keep_bytes: usize) -> Self {
        Self { model, team, isa, n_ctx, keep_bytes, buffers: Buffers::default() }
    }

    /// The memory that passes work in.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// The same, when the network has no more use of it.
    pub fn into_buffers(self) -> Buffers {
        self.buffers
    }

    /// The model's token embeddings, `[row][n_embd]`; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a token outside the
    /// vocabulary and [`ContextLength`](crate::ErrorKind::ContextLength) past the context.
    pub fn embed(&self, forest: &Forest) -> Result<Buffer> {
        let config = self.model.config();
        let targets = forest.targets().iter().map(|target| target.token);
        if let Some(token) = forest.tokens().iter().copied().chain(targets).find(|&t| t as usize >= config.n_vocab) {
            return Err(Error::invalid(format!("token {token} of a vocabulary of {}", config.n_vocab)));
        }
        if let Some(position) = forest.positions().find(|&position| position >= self.n_ctx) {
            let message = format!("a sequence of more than {position} tokens in a context of {}", self.n_ctx);
            return Err(Error::new(ErrorKind::ContextLength, message));
        }
        let mut x = self.buffers.zeros(forest.n_rows() * config.n_embd);
        for (&token, x) in forest.tokens().iter().zip(x.chunks_exact_mut(config.n_embd)) {
            self.model.weights().token_embd.get_row(token as usize, x)?;
        }
        if config.embedding_scale != 1.0 {
            kernels::scale(self.isa, &mut x, config.embedding_scale);
        }
        Ok(x)
    }

    /// The residual stream `x` before layer `layers.start` as it is after layer `layers.end - 1`.
    pub fn forward(
        &self,
        forest: &Forest,
        mut x: Buffer,
        layers: Range<usize>,
        adapter: Option<&Adapter>,
        interrupt: &Interrupt,
    ) -> Result<Buffer> {
        let rotation = self.rotation(forest);
        for i in layers {
            interrupt.check()?;
            x = self.block(forest, &rotation, i, adapter, interrupt)?.forward(x)?.0;
        }
        self.check_finite(&x)?;
        Ok(x)
    }

    /// As [`forward`](Self::forward) up to the last layer and the log-probabilities, with all that [`backward`](Self::backward) needs.
    pub fn forward_taped(
        &self,
        forest: &Forest,
        mut x: Buffer,
        from: usize,
        adapter: &Adapter,
        interrupt: &Interrupt,
    ) -> Result<Tape> {
        let config = self.model.config();
        let rotation = self.rotation(forest);
        let layer_bytes = forest.n_rows() * Activations::width(config) * size_of::<f32>();
        let layers = from..config.n_layer;
        // The upper layers' come first on the way down, so that theirs are given back while the others are computed again.
        let whole = layers.end.saturating_sub(self.keep_bytes / layer_bytes.max(1)).max(from);
        let mut kept = Vec::new();
        for i in layers.clone() {
            interrupt.check()?;
            let (y, activations) = self.block(forest, &rotation, i, Some(adapter), interrupt)?.forward(x)?;
            kept.push(match i < whole {
                true => Kept::Input(activations.into_input()),
                false => Kept::All(Box::new(activations)),
            });
            x = y;
        }
        self.check_finite(&x)?;
        let logprobs = logprob::forward(self.on(interrupt), self.model, forest, &x, true)?;
        Ok(Tape { x, layers, kept, logprobs })
    }

    /// Log-probabilities of the forest's targets, given the residual stream after the last layer.
    pub fn logprobs(&self, forest: &Forest, x: &[f32], interrupt: &Interrupt) -> Result<Logprobs> {
        logprob::forward(self.on(interrupt), self.model, forest, x, false)
    }

    /// Adds the gradient of `sum(weights[sequence] * logprob)` at the adapter's factors to `grads`, an adapter of the same shape.
    pub fn backward(
        &self,
        forest: &Forest,
        tape: Tape,
        weights: &[f64],
        adapter: &Adapter,
        grads: &mut Adapter,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let rotation = self.rotation(forest);
        let mut dx = logprob::backward(self.on(interrupt), self.model, forest, &tape.x, &tape.logprobs, weights);
        let lowest = tape.layers.start;
        for (i, kept) in tape.layers.zip(tape.kept).rev() {
            interrupt.check()?;
            let block = self.block(forest, &rotation, i, Some(adapter), interrupt)?;
            let activations = match kept {
                Kept::All(activations) => *activations,
                Kept::Input(x) => block.forward(x)?.1,
            };
            dx = block.backward(activations, dx, grads, i > lowest)?;
        }
        Ok(())
    }

    fn on<'b>(&'b self, interrupt: &'b Interrupt) -> Compute<'b> {
        Compute { team: self.team, isa: self.isa, buffers: &self.buffers, interrupt }
    }

    fn rotation(&self, forest: &Forest) -> [Rotation; 2] {
        let config = self.model.config();
        let local = config.window.as_ref().map_or(&config.rope, |window| &window.rope);
        [&config.rope, local].map(|rope| Rotation::new(rope, self.n_ctx, forest))
    }

    fn block<'b>(
        &'b self,
        forest: &'b Forest,
        rotation: &'b [Rotation; 2],
        index: usize,
        adapter: Option<&'b Adapter>,
        interrupt: &'b Interrupt,
    ) -> Result<Block<'b>> {
        let config = self.model.config();
        let layer = self.model.weights().layers.get(index);
        let layer = layer.ok_or_else(|| Error::new(ErrorKind::Internal, format!("no layer {index}")))?;
        let rotation = &rotation[usize::from(config.window_of(index).is_some())];
        Ok(Block { on: self.on(interrupt), config, layer, index, adapter, forest, rotation })
    }

    fn check_finite(&self, x: &[f32]) -> Result<()> {
        if kernels::all_finite(self.isa, x) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NonFinite,
            "the network's state is NaN or infinite; the adapter or the weights may be damaged",
        ))
    }
}
