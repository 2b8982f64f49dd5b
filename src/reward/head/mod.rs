//! Reward heads on a model's own hidden states: a small network in a GGUF file of its own.
//!
//! The file has `general.type = "adapter"`, `general.architecture` = the base's, `adapter.type = "prm_head"`, and these keys
//! (required ones marked `*`):
//!
//! | key | type | meaning |
//! |---|---|---|
//! | `prm.version`* | u32 | 1 |
//! | `prm.kind`* | str | `linear` (one layer) or `mlp` (more) |
//! | `prm.purpose`* | str | `prm`, `orm` or `probe`: see [`Purpose`] |
//! | `prm.base.fingerprint`* | str | [`ModelInfo::fingerprint`] of the base file: the head fits this quantization only |
//! | `prm.base.n_embd`*, `prm.base.n_layer`* | u32 | sizes of the base |
//! | `prm.hidden.layers`* | i32 array | the taps: a layer counted from 0, or -1 for the state after the final norm |
//! | `prm.hidden.pool` | str | `last` (default) or `mean` over the step's rows |
//! | `prm.hidden.extra` | str array | `entropy`, `logprob`: appended to the hidden states, pooled as they are |
//! | `prm.step.read_offset` | i32 | -1 (default): the row before a token, which drew it; 0: the row at the token itself |
//! | `prm.act` | str | `relu`, `tanh`, `gelu` (tanh form), `silu`, `none`; between layers; required for `mlp` |
//! | `prm.n_out`* | u32 | outputs of the last layer |
//! | `prm.out.transform`* | str | `softmax`, `sigmoid`, `clamp01`, `identity`: see [`Transform`] |
//! | `prm.out.positive_index` | u32 | the output that counts, default 0 |
//! | `prm.calib.temperature`, `prm.calib.bias` | f32 | see [`Transform`]; default 1 and 0 |
//! | `prm.agg.default` | str | a name of [`Aggregation`]; default `last` |
//! | `prm.train.*`, `prm.eval.*`, `general.license`, `general.name` | any | where it comes from; kept as they are |
//!
//! Tensors (F32, F16 or any block format): `prm.fc.{i}.weight` of shape `[n_in, n_out]`, inputs first, with an optional
//! `prm.fc.{i}.bias`, for `i` from 0; `prm.in.mean` and `prm.in.std`, both or neither, by which the input is normalized.
//! The input is the taps' states one after the other, then the extras.

mod file;
mod judge;
mod net;
#[cfg(test)]
mod tests;

pub use self::judge::{HeadJudge, NEUTRAL};
pub use self::net::{Activation, Dense};

use crate::engine::{ModelInfo, Tap};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Value;
use crate::limits::Limits;
use crate::reward::Aggregation;

/// Layers of one head, at most; published ones have up to four.
const MAX_LAYERS: usize = 16;
/// Bytes of a name, at most; a longer one is a lie that no message should repeat.
const MAX_NAME: usize = 128;
/// Outputs of one head, at most.
const MAX_OUTPUTS: usize = 4096;

/// What a head's value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The probability that the solution is right so far: one value for every step.
    Prm,
    /// The probability that a finished solution is right. A step that does not finish one has no value of its own: its
    /// judge gives it [`NEUTRAL`].
    Orm,
    /// The model's own confidence that it would answer rightly if it ended here: one value for every step.
    Probe,
}

/// How the rows of a step become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pool {
    /// The row of the step's last token.
    #[default]
    Last,
    /// The mean of all its rows.
    Mean,
}

/// A number about a draw that goes into the head beside the hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Entropy of the distribution, in nats.
    Entropy,
    /// Natural logarithm of the drawn token's probability.
    Logprob,
}

/// How the outputs `z` become a value, with temperature `t` and bias `b` (Platt's scaling) and `p` the positive index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Output `p` of `softmax(z / t + b·e_p)`.
    Softmax,
    /// `1 / (1 + exp(-(z_p / t + b)))`.
    Sigmoid,
    /// `z_p / t + b`, at least 0 and at most 1.
    Clamp01,
    /// `z_p / t + b`; a [`HeadJudge`] holds it within 0 and 1.
    Identity,
}

/// A reward head: what it reads, its layers, and how its outputs become a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// What its value says.
    pub purpose: Purpose,
    /// `general.architecture` of the base.
    pub architecture: String,
    /// [`ModelInfo::fingerprint`] of the base.
    pub fingerprint: String,
    /// Width of the base's residual stream.
    pub n_embd: usize,
    /// The base's layers.
    pub n_layer: usize,
    /// The hidden states it reads, in the order of its input; no tap twice.
    pub taps: Vec<Tap>,
    /// How a step's rows become one.
    pub pool: Pool,
    /// What stands behind the hidden states in its input.
    pub extra: Vec<Extra>,
    /// Which row stands for a token: -1, the one that drew it, or 0, its own.
    pub read_offset: i32,
    /// Subtracted from the input, one number for each entry; empty for none.
    pub mean: Vec<f32>,
    /// The input is divided by it after that, one number above 0 for each entry; empty exactly when `mean` is.
    pub std: Vec<f32>,
    /// Its layers; the first takes [`n_in`](Self::n_in) numbers.
    pub layers: Vec<Dense>,
    /// Between layers.
    pub activation: Activation,
    /// From outputs to the value.
    pub transform: Transform,
    /// The output that counts.
    pub positive_index: usize,
    /// Outputs are divided by it; above 0.
    pub temperature: f32,
    /// Added after that.
    pub bias: f32,
    /// How the values of a path's steps are best taken together.
    pub aggregation: Aggregation,
    /// Metadata about its making: keys `prm.train.*`, `prm.eval.*`, `general.license`, `general.name`.
    pub provenance: Vec<(String, Value)>,
}

impl Head {
    /// Numbers in its input: `taps.len() * n_embd + extra.len()`.
    pub fn n_in(&self) -> usize {
        self.n_hidden() + self.extra.len()
    }

    /// Outputs of its last layer.
    pub fn n_out(&self) -> usize {
        self.layers.last().map_or(0, Dense::n_out)
    }

    /// An error of kind [`InvalidArgument`](ErrorKind::InvalidArgument) naming the first thing that is wrong: widths that do
    /// not fit each other, numbers that are not finite, a tap that the base does not have.
    pub fn validate(&self) -> Result<()> {
        self.check_input()?;
        if self.architecture.len().max(self.fingerprint.len()) > MAX_NAME {
            return Err(Error::invalid(format!("an architecture or fingerprint of more than {MAX_NAME} bytes")));
        }
        if self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            let (n, cap) = (self.layers.len(), MAX_LAYERS);
            return Err(Error::invalid(format!("a reward head has 1 to {cap} layers, not {n}")));
        }
        let mut width = self.n_in();
        for (i, layer) in self.layers.iter().enumerate() {
            layer.check(width).map_err(|e| e.context(format_args!("layer {i} of the reward head")))?;
            width = layer.n_out();
        }
        if width > MAX_OUTPUTS || self.positive_index >= width {
            let p = self.positive_index;
            return Err(Error::invalid(format!(
                "the reward head has {width} outputs (at most {MAX_OUTPUTS}) and number {p} of them is to count"
            )));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0 && self.bias.is_finite()) {
            let (t, b) = (self.temperature, self.bias);
            return Err(Error::invalid(format!("a calibration temperature of {t} and bias of {b}")));
        }
        Ok(())
    }

    /// An error of kind [`InvalidArgument`](ErrorKind::InvalidArgument) unless the head was fitted on exactly this model:
    /// on other weights, or another quantization of the same ones, its values would mean nothing.
    pub fn check_base(&self, base: &ModelInfo) -> Result<()> {
        if (self.n_embd, self.n_layer) != (base.n_embd, base.n_layer) {
            return Err(Error::invalid(format!(
                "the reward head belongs to a {} model of {} layers, {} wide; this {} model has {} layers, {} wide",
                self.architecture, self.n_layer, self.n_embd, base.architecture, base.n_layer, base.n_embd
            )));
        }
        if self.fingerprint != base.fingerprint {
            return Err(Error::invalid(format!(
                "the reward head was fitted on a model file of fingerprint {}, this one has {}: fit a head on this file, \
                 or load the file it was fitted on",
                self.fingerprint, base.fingerprint
            )));
        }
        Ok(())
    }

    /// The outputs for the states `hidden` (`taps.len() * n_embd` numbers) and the extras.
    ///
    /// Errors: [`InvalidArgument`](ErrorKind::InvalidArgument) for other lengths, [`NonFinite`](ErrorKind::NonFinite) for
    /// an input or output that is not finite.
    pub fn logits(&self, hidden: &[f32], extra: &[f32]) -> Result<Vec<f64>> {
        if hidden.len() != self.n_hidden() || extra.len() != self.extra.len() {
            let (found, more) = (hidden.len(), extra.len());
            let (wanted, extras) = (self.n_hidden(), self.extra.len());
            return Err(Error::invalid(format!(
                "the reward head reads {wanted} numbers of hidden states and {extras} more, {found} and {more} were given"
            )));
        }
        let mut x: Vec<f64> = hidden.iter().chain(extra).map(|&x| f64::from(x)).collect();
        for ((x, &mean), &std) in x.iter_mut().zip(&self.mean).zip(&self.std) {
            *x = (*x - f64::from(mean)) / f64::from(std);
        }
        // An activation may make a finite number of infinity.
        let non_finite =
            |what| Err(Error::new(ErrorKind::NonFinite, format!("the reward head's {what} is NaN or infinite")));
        if !x.iter().all(|x| x.is_finite()) {
            return non_finite("input");
        }
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x.iter_mut().for_each(|x| *x = self.activation.of(*x));
            }
            x = layer.apply(&x);
        }
        if x.iter().all(|x| x.is_finite()) { Ok(x) } else { non_finite("output") }
    }

    /// The value of these states: its outputs calibrated and transformed.
    pub fn value(&self, hidden: &[f32], extra: &[f32]) -> Result<f32> {
        let mut z = self.logits(hidden, extra)?;
        z.iter_mut().for_each(|z| *z /= f64::from(self.temperature));
        let p = self.positive_index;
        if let Some(z) = z.get_mut(p) {
            *z += f64::from(self.bias);
        }
        let positive = z.get(p).copied().ok_or_else(|| Error::invalid(format!("the reward head has no output {p}")))?;
        let value = match self.transform {
            Transform::Softmax => 1.0 / z.iter().map(|z| (z - positive).exp()).sum::<f64>(),
            Transform::Sigmoid => 1.0 / (1.0 + (-positive).exp()),
            Transform::Clamp01 => positive.clamp(0.0, 1.0),
            Transform::Identity => positive,
        };
        Ok(value as f32)
    }

    fn n_hidden(&self) -> usize {
        self.taps.len().saturating_mul(self.n_embd)
    }

    fn check_input(&self) -> Result<()> {
        let cap = Limits::default();
        let (n_embd, n_layer) = (self.n_embd, self.n_layer);
        if n_embd == 0 || n_embd > cap.width as usize || n_layer == 0 || n_layer > cap.layers as usize {
            return Err(Error::invalid(format!("a reward head for {n_layer} layers, {n_embd} wide")));
        }
        let past = |tap: &Tap| matches!(tap, Tap::Layer(i) if *i >= n_layer);
        if self.taps.is_empty() || self.taps.iter().any(past) {
            let taps = &self.taps;
            return Err(Error::invalid(format!("the reward head reads {taps:?} of a model of {n_layer} layers")));
        }
        let twice = self.taps.iter().enumerate().any(|(i, tap)| self.taps.iter().take(i).any(|t| t == tap));
        let extra_twice = self.extra.iter().enumerate().any(|(i, x)| self.extra.iter().take(i).any(|t| t == x));
        if twice || extra_twice {
            return Err(Error::invalid("the reward head reads the same thing twice"));
        }
        if !matches!(self.read_offset, -1 | 0) {
            let offset = self.read_offset;
            return Err(Error::invalid(format!("a read offset of {offset}; -1 (the row before) or 0 are possible")));
        }
        let (n_in, mean, std) = (self.n_in(), &self.mean, &self.std);
        let lengths = (mean.is_empty() && std.is_empty()) || (mean.len() == n_in && std.len() == n_in);
        let numbers = mean.iter().all(|x| x.is_finite()) && std.iter().all(|x| x.is_finite() && *x > 0.0);
        if !lengths || !numbers {
            let (m, s) = (mean.len(), std.len());
            return Err(Error::invalid(format!(
                "the reward head's input is {n_in} numbers; their mean ({m}) and deviation ({s}) have to be as many, \
                 finite, and the deviation above 0"
            )));
        }
        Ok(())
    }
}
