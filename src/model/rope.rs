//! Rotary position embedding: frequencies, their scalings, and the table of one position.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::kernels::RopeStyle;
use crate::model::key;

/// Divisors of the frequencies, one per pair.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RopeFactors {
    /// None.
    #[default]
    None,
    /// One set (Llama 3.1).
    Fixed(Vec<f32>),
    /// LongRoPE (<https://arxiv.org/abs/2402.13753>): `short` up to the original context, `long` for longer ones.
    Long {
        /// For contexts of at most `n_ctx_orig` tokens.
        short: Vec<f32>,
        /// For longer contexts.
        long: Vec<f32>,
    },
}

/// YaRN (<https://arxiv.org/abs/2309.00071>): interpolates low frequencies, keeps high ones, ramps between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yarn {
    /// Rotations over the original context above which a frequency is kept.
    pub beta_fast: f32,
    /// Rotations below which a frequency is interpolated.
    pub beta_slow: f32,
}

/// The rotation of one kind of layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Which elements form a pair.
    pub style: RopeStyle,
    /// Elements of a head that are rotated; even, at most the head's width.
    pub n_rot: usize,
    /// Base of the geometric series of frequencies.
    pub base: f32,
    /// Factor on positions: 1 / the linear or YaRN scaling factor.
    pub scale: f32,
    /// YaRN's ramp, where the model was extended by it.
    pub yarn: Option<Yarn>,
    /// Factor on the rotated values.
    pub magnitude: f32,
    /// Divisors of the frequencies.
    pub factors: RopeFactors,
    /// Tokens of context before any extension.
    pub n_ctx_orig: usize,
}

impl Rope {
    /// Reads `<architecture>.rope.*`.
    pub(crate) fn from_gguf(gguf: &Gguf, architecture: &str, head_dim: usize, n_ctx_train: usize) -> Result<Self> {
        let meta = gguf.metadata();
        let f32_or = |name: &str, default: f32| -> Result<f32> {
            let key = key(architecture, name);
            let value = meta.f32(&key)?.unwrap_or(default);
            if value.is_finite() { Ok(value) } else { Err(Error::format(format!("{key} is {value}"))) }
        };
        let n_rot = meta.u32(&key(architecture, "rope.dimension_count"))?.map_or(head_dim, |n| n as usize);
        if n_rot == 0 || n_rot % 2 != 0 || n_rot > head_dim {
            return Err(Error::format(format!("{n_rot} rotated elements do not fit a head {head_dim} wide")));
        }
        let base = f32_or("rope.freq_base", 10_000.0)?;
        if base <= 0.0 {
            return Err(Error::format(format!("rope.freq_base is {base}")));
        }
        let scaling = meta.str(&key(architecture, "rope.scaling.type"))?.unwrap_or("linear");
        let factor = match f32_or("rope.scaling.factor", 0.0)? {
            // Old files name the linear factor so.
            0.0 => f32_or("rope.scale_linear", 0.0)?,
            factor => factor,
        };
        let factor = if factor == 0.0 || scaling == "none" { 1.0 } else { factor };
        if factor < 0.0 {
            return Err(Error::format(format!("rope.scaling.factor is {factor}")));
        }
        let n_ctx_orig =
            meta.u32(&key(architecture, "rope.scaling.original_context_length"))?.map_or(n_ctx_train, |n| n as usize);
        let yarn = match scaling {
            "none" | "linear" | "longrope" => None,
            "yarn" => Some(Yarn {
                beta_fast: f32_or("rope.scaling.yarn_beta_fast", 32.0)?,
                beta_slow: f32_or("rope.scaling.yarn_beta_slow", 1.0)?,
            }),
            other => return Err(Error::unsupported(format!("rope scaling {other:?} is not supported"))),
        };
        // YaRN section 3.4: attention temperature as a factor on the rotated queries and keys.
        let temperature = if yarn.is_some() && factor > 1.0 { 1.0 + 0.1 * factor.ln() } else { 1.0 };
        Ok(Self {
            style: RopeStyle::Neox,
            n_rot,
            base,
            scale: 1.0 / factor,
            yarn,
            magnitude: temperature * f32_or("rope.scaling.attn_factor", 1.0)?,
            factors: RopeFactors::None,
            n_ctx_orig,
        })
    }

    /// Angle per position of each pair for a context of `n_ctx` tokens, length `n_rot / 2`.
    pub fn frequencies(&self, n_ctx: usize) -> Vec<f64> {
        let divisors = match &self.factors {
            RopeFactors::None => None,
            RopeFactors::Fixed(factors) => Some(factors),
            RopeFactors::Long { short, long } => Some(if n_ctx > self.n_ctx_orig { long } else { short }),
        };
        let ramp = self.yarn.map(|y| self.ramp(y));
        (0..self.n_rot / 2)
            .map(|i| {
                let plain = f64::from(self.base).powf(-2.0 * i as f64 / self.n_rot as f64);
                let plain = plain / divisors.and_then(|d| d.get(i)).map_or(1.0, |&d| f64::from(d));
                let scaled = plain * f64::from(self.scale);
                match ramp {
                    None => scaled,
                    Some((low, high)) => {
                        let kept = 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                        scaled * (1.0 - kept) + plain * kept
                    }
                }
            })
            .collect()
    }

    /// The pairs between which YaRN's ramp runs, as the paper's authors round them.
    fn ramp(&self, yarn: Yarn) -> (f64, f64) {
        let pair_with = |rotations: f32| {
            let n = self.n_ctx_orig as f64 / (f64::from(rotations) * 2.0 * std::f64::consts::PI);
            self.n_rot as f64 * n.ln() / (2.0 * f64::from(self.base).ln())
        };
        let low = pair_with(yarn.beta_fast).floor().max(0.0);
        let high = pair_with(yarn.beta_slow).ceil().min(self.n_rot as f64 - 1.0);
        (low, high)
    }
}

/// Cosines and sines of the positions of a pass's rows, `[row][n_rot / 2]`.
pub(crate) struct RopeTable {
    frequencies: Vec<f64>,
    magnitude: f32,
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
}

impl RopeTable {
    /// An empty table of a rotation in a context of `n_ctx` tokens.
    pub fn new(rope: &Rope, n_ctx: usize) -> Self {
        Self { frequencies: rope.frequencies(n_ctx), magnitude: rope.magnitude, cos: Vec::new(), sin: Vec::new() }
    }

    /// The table of these positions, one a row, in place of the old ones.
    pub fn fill(&mut self, positions: impl Iterator<Item = usize> + Clone) {
        let n = positions.clone().count();
        for table in [&mut self.cos, &mut self.sin] {
            table.clear();
            table.reserve_exact(n * self.frequencies.len());
        }
        for position in positions {
            for frequency in &self.frequencies {
                let (s, c) = (position as f64 * frequency).sin_cos();
                self.cos.push(c as f32 * self.magnitude);
                self.sin.push(s as f32 * self.magnitude);
            }
        }
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        (self.cos.capacity() + self.sin.capacity()) * size_of::<f32>()
    }

    /// Gives the table's memory back.
    pub fn trim(&mut self) {
        (self.cos, self.sin) = (Vec::new(), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Rope {
        Rope {
            style: RopeStyle::Neox,
            n_rot: 8,
            base: 10_000.0,
            scale: 1.0,
            yarn: None,
            magnitude: 1.0,
            factors: RopeFactors::None,
            n_ctx_orig: 4096,
        }
    }

    #[test]
    fn frequencies_fall_geometrically() {
        let f = plain().frequencies(4096);
        let expected = [1.0, 0.1, 0.01, 0.001];
        assert!(f.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{f:?}");
    }

    #[test]
    fn linear_scaling_divides_every_frequency() {
        let scaled = Rope { scale: 0.25, ..plain() }.frequencies(4096);
        assert!(scaled.iter().zip(plain().frequencies(4096)).all(|(a, b)| (a - b / 4.0).abs() < 1e-15));
    }

    #[test]
    fn yarn_keeps_high_and_interpolates_low_frequencies() {
        let yarn = Rope { scale: 0.25, yarn: Some(Yarn { beta_fast: 32.0, beta_slow: 1.0 }), n_rot: 64, ..plain() };
        let base = Rope { n_rot: 64, ..plain() }.frequencies(4096);
        let f = yarn.frequencies(16_384);
        assert_eq!(f[0], base[0]);
        assert!((f[31] / base[31] - 0.25).abs() < 1e-12);
    }

    #[test]
    fn longrope_picks_its_factors_by_context() {
        let factors = RopeFactors::Long { short: vec![1.0; 4], long: vec![2.0; 4] };
        let rope = Rope { factors, ..plain() };
        assert_eq!(rope.frequencies(4096)[0], 1.0);
        assert_eq!(rope.frequencies(4097)[0], 0.5);
    }
}
