//! A network's weights by role, each shape checked against the configuration.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::gguf::{Gguf, TensorInfo};
use crate::model::{Config, Tensor};

/// All weights. Matrices stay in the file; norms and biases are small and kept as f32.
pub struct Weights {
    /// Token embeddings, `n_vocab` × `n_embd`.
    pub token_embd: Tensor,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// Scale of the final norm, length `n_embd`.
    pub output_norm: Vec<f32>,
    /// The output matrix, `n_vocab` × `n_embd`; the embeddings again where they are tied.
    pub output: Tensor,
    /// Bias of the logits, length `n_vocab`.
    pub output_bias: Option<Vec<f32>>,
}

/// The weights of one layer. Optional parts exist in some architectures only.
pub struct Layer {
    /// Norm before attention, length `n_embd`.
    pub attn_norm: Vec<f32>,
    /// Queries.
    pub attn_q: Linear,
    /// Keys.
    pub attn_k: Linear,
    /// Values.
    pub attn_v: Linear,
    /// Norm of each query head, length `head_dim`.
    pub attn_q_norm: Option<Vec<f32>>,
    /// Norm of each key head, length `head_dim`.
    pub attn_k_norm: Option<Vec<f32>>,
    /// Heads back to the residual stream.
    pub attn_output: Linear,
    /// Norm of the attention's result, length `n_embd`.
    pub post_attention_norm: Option<Vec<f32>>,
    /// Norm before the feed-forward layer, length `n_embd`.
    pub ffn_norm: Vec<f32>,
    /// Gate.
    pub ffn_gate: Linear,
    /// Values that the gate scales.
    pub ffn_up: Linear,
    /// Back to the residual stream.
    pub ffn_down: Linear,
    /// Norm of the feed-forward layer's result, length `n_embd`.
    pub post_ffw_norm: Option<Vec<f32>>,
}

/// A matrix with an optional bias.
pub struct Linear {
    /// The matrix, outputs × inputs.
    pub weight: Tensor,
    /// One value per output.
    pub bias: Option<Vec<f32>>,
}

impl Weights {
    /// Finds and checks every tensor. A tensor that nothing uses is an error: ignoring it would change the answers.
    pub(crate) fn from_gguf(gguf: &Gguf, config: &Config) -> Result<Self> {
        let mut find = Finder { gguf, used: HashSet::new() };
        // Read with the configuration, as the divisors of the rotation's frequencies.
        find.used
            .extend(["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"].map(String::from));
        let token_embd = find.matrix("token_embd.weight", config.n_vocab, config.n_embd)?;
        let layers = (0..config.n_layer).map(|i| Layer::from_gguf(&mut find, config, i)).collect::<Result<_>>()?;
        let weights = Self {
            layers,
            output_norm: find.vector("output_norm.weight", config.n_embd)?,
            output: match find.optional_matrix("output.weight", config.n_vocab, config.n_embd)? {
                Some(output) => output,
                None => token_embd.clone(),
            },
            output_bias: find.optional_vector("output.bias", config.n_vocab)?,
            token_embd,
        };
        match gguf.tensors().iter().find(|t| !find.used.contains(&t.name)) {
            None => Ok(weights),
            Some(t) => Err(Error::unsupported(format!(
                "nothing in architecture {} uses the tensor {:?}",
                config.architecture, t.name
            ))),
        }
    }
}

impl Weights {
    /// All matrices that are multiplied: every layer's and the output.
    pub(crate) fn multiplied(&self) -> impl Iterator<Item = &Tensor> {
        let layers = self.layers.iter().flat_map(|layer| {
            let Layer { attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down, .. } = layer;
            [attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down].map(|linear| &linear.weight)
        });
        layers.chain([&self.output])
    }

    /// Bytes that all matrices take in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let embeddings = if self.token_embd.same(&self.output) { 0 } else { self.token_embd.bytes() };
        embeddings + self.multiplied().map(Tensor::bytes).sum::<u64>()
    }
}

impl Layer {
    fn from_gguf(find: &mut Finder<'_>, config: &Config, i: usize) -> Result<Self> {
        let name = |part: &str| format!("blk.{i}.{part}");
        let (n_embd, n_ff) = (config.n_embd, config.n_ff);
        let (n_q, n_kv) = (config.n_embd_q(), config.n_embd_kv());
        let [attn_q, attn_k, attn_v] = match find.optional_linear(&name("attn_qkv"), n_q + 2 * n_kv, n_embd)? {
            Some(fused) => fused.split([n_q, n_kv, n_kv])?,
            None => [
                find.linear(&name("attn_q"), n_q, n_embd)?,
                find.linear(&name("attn_k"), n_kv, n_embd)?,
                find.linear(&name("attn_v"), n_kv, n_embd)?,
            ],
        };
        let [ffn_gate, ffn_up] = match find.optional_linear(&name("ffn_gate"), n_ff, n_embd)? {
            Some(gate) => [gate, find.linear(&name("ffn_up"), n_ff, n_embd)?],
            None => find.linear(&name("ffn_up"), 2 * n_ff, n_embd)?.split([n_ff, n_ff])?,
        };
        Ok(Self {
            attn_norm: find.vector(&name("attn_norm.weight"), n_embd)?,
            attn_q,
            attn_k,
            attn_v,
            attn_q_norm: find.optional_vector(&name("attn_q_norm.weight"), config.head_dim)?,
            attn_k_norm: find.optional_vector(&name("attn_k_norm.weight"), config.head_dim)?,
            attn_output: find.linear(&name("attn_output"), n_embd, n_q)?,
            post_attention_norm: find.optional_vector(&name("post_attention_norm.weight"), n_embd)?,
            ffn_norm: find.vector(&name("ffn_norm.weight"), n_embd)?,
            ffn_gate,
            ffn_up,
            ffn_down: find.linear(&name("ffn_down"), n_embd, n_ff)?,
            post_ffw_norm: find.optional_vector(&name("post_ffw_norm.weight"), n_embd)?,
        })
    }
}

impl Linear {
    /// The outputs of a fused projection as separate ones, in order.
    fn split<const N: usize>(self, rows: [usize; N]) -> Result<[Self; N]> {
        let mut first = 0;
        let mut parts = Vec::with_capacity(N);
        for n in rows {
            let bias = self.bias.as_ref().and_then(|b| b.get(first..first + n)).map(<[f32]>::to_vec);
            parts.push(Self { weight: self.weight.split_rows(first, n)?, bias });
            first += n;
        }
        parts.try_into().map_err(|_| Error::format("a fused projection has the wrong number of parts"))
    }
}

/// Looks tensors up by name and remembers which were used.
struct Finder<'a> {
    gguf: &'a Gguf,
    used: HashSet<String>,
}

impl<'a> Finder<'a> {
    fn linear(&mut self, name: &str, rows: usize, cols: usize) -> Result<Linear> {
        self.optional_linear(name, rows, cols)?.ok_or_else(|| missing(&format!("{name}.weight")))
    }

    fn optional_linear(&mut self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>> {
        let Some(weight) = self.optional_matrix(&format!("{name}.weight"), rows, cols)? else { return Ok(None) };
        Ok(Some(Linear { weight, bias: self.optional_vector(&format!("{name}.bias"), rows)? }))
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Tensor> {
        self.optional_matrix(name, rows, cols)?.ok_or_else(|| missing(name))
    }

    fn optional_matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Option<Tensor>> {
        let Some(info) = self.take(name, &[cols, rows])? else { return Ok(None) };
        let (bytes, range) = self.gguf.bytes_of(info);
        Tensor::new(bytes, range, info.ty, rows, cols).map(Some).map_err(|e| e.context(name))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        self.optional_vector(name, len)?.ok_or_else(|| missing(name))
    }

    fn optional_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>> {
        let Some(info) = self.take(name, &[len])? else { return Ok(None) };
        dequantize(self.gguf, info, len).map(Some)
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Option<&'a TensorInfo>> {
        let Some(info) = self.gguf.tensor(name) else { return Ok(None) };
        if !info.shape().iter().map(|&d| usize::try_from(d).ok()).eq(shape.iter().map(|&d| Some(d))) {
            let found = info.shape();
            return Err(Error::format(format!("tensor {name} has shape {found:?}; the configuration needs {shape:?}")));
        }
        self.used.insert(name.to_owned());
        Ok(Some(info))
    }
}

/// A one-dimensional tensor as f32.
pub(crate) fn dequantize(gguf: &Gguf, info: &TensorInfo, len: usize) -> Result<Vec<f32>> {
    let mut values = vec![0.0; len];
    info.ty.dequantize(gguf.data(info), &mut values).map_err(|e| e.context(&info.name))?;
    Ok(values)
}

fn missing(name: &str) -> Error {
    Error::format(format!("the tensor {name} is missing"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::gguf::GgufWriter;
    use crate::limits::Limits;
    use crate::quant::QuantType;
    use crate::storage::{Bytes, LoadMode};

    #[test]
    fn a_tensor_that_nothing_uses_is_named_without_its_control_characters() {
        let limits = Limits::default();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/llama.gguf");
        let tiny = Gguf::open(&path, LoadMode::Read, &limits).unwrap();
        let mut file = GgufWriter::new();
        tiny.metadata().iter().for_each(|(key, value)| file.set(key, value.clone()).unwrap());
        for tensor in tiny.tensors() {
            file.tensor(&tensor.name, tensor.shape(), tensor.ty, tiny.data(tensor)).unwrap();
        }
        file.tensor("spare\u{1b}[31m", &[1], QuantType::F32, &[0; 4][..]).unwrap();
        let mut bytes = Vec::new();
        file.write(&mut bytes).unwrap();
        let gguf = Gguf::parse(Bytes::from_vec(bytes), &limits).unwrap();
        let error = Weights::from_gguf(&gguf, &Config::from_gguf(&gguf, &limits).unwrap()).err().unwrap();
        assert!(error.to_string().ends_with(r#""spare\u{1b}[31m""#), "{error}");
    }
}
