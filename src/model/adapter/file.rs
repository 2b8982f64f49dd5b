//! An adapter as a GGUF file in llama.cpp's format (its `src/llama-adapter.cpp` and `convert_lora_to_gguf.py`): beside
//! the matrix `<name>` stand `<name>.lora_a`, `[rank][n_in]`, and `<name>.lora_b`, `[n_out][rank]`.
//!
//! Where the base keeps several projections in one matrix, so does the file. Reading gives each projection its rows of B and
//! the common A. Writing does the reverse where all share one A; else the A lie below each other and B is block-diagonal.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use super::stored::{self, Stored, stored};
use super::{Adapter, Lora, Projection};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Gguf, GgufWriter, TensorInfo, Value};
use crate::limits::Limits;
use crate::model::Config;
use crate::quant::QuantType;
use crate::storage::{LoadMode, save_atomic};

/// Metadata that llama.cpp does not read: which file the adapter was made for.
const BASE_KEY: &str = "adapter.base.fingerprint";
/// Bytes of what tells kinds, architectures and bases apart, at most.
const MAX_NAME: usize = 128;

impl Adapter {
    /// The adapter in the file `path`, for models of this configuration. Errors: [`Io`](ErrorKind::Io), and those of
    /// [`from_gguf`](Self::from_gguf).
    pub fn open(path: &Path, config: &Config, limits: &Limits) -> Result<Self> {
        let gguf = Gguf::open(path, LoadMode::Read, limits)?;
        Self::from_gguf(&gguf, config, limits).map_err(|e| e.context(format_args!("reading {path:?}")))
    }

    /// The adapter in a parsed file, its factors in any format that [`QuantType`] knows. Whether the base is the file that it
    /// was made for, [`check_base`](Self::check_base) tells.
    ///
    /// Errors: [`Format`](ErrorKind::Format) for a file that is no adapter, a damaged one, and one with a tensor that
    /// nothing in the base stands beside; [`InvalidArgument`](ErrorKind::InvalidArgument) for one of another architecture;
    /// [`NonFinite`](ErrorKind::NonFinite); [`Unsupported`](ErrorKind::Unsupported) for adapters of another kind.
    pub fn from_gguf(gguf: &Gguf, config: &Config, limits: &Limits) -> Result<Self> {
        let meta = gguf.metadata();
        if meta.str("general.type")? != Some("adapter") {
            return Err(Error::format("this file is no adapter: its general.type is another one"));
        }
        match short(meta.require_str("adapter.type")?, "adapter.type")? {
            "lora" => (),
            found => return Err(Error::unsupported(format!("adapter.type is {found:?}; only \"lora\" is known here"))),
        }
        if meta.get("adapter.alora.invocation_tokens").is_some() {
            return Err(Error::unsupported("adapters that begin to act at certain tokens (aLoRA) are not supported"));
        }
        let architecture = short(meta.require_str("general.architecture")?, "general.architecture")?;
        if architecture != config.architecture {
            return Err(super::other_architecture(architecture, &config.architecture));
        }
        let mut adapter = Self::new(config, meta.f32("adapter.lora.alpha")?.unwrap_or(0.0));
        adapter.name = meta.str("general.name")?.unwrap_or_default().to_owned();
        adapter.base_fingerprint = short(meta.str(BASE_KEY)?.unwrap_or_default(), BASE_KEY)?.to_owned();
        for tensor in gguf.tensors() {
            adapter.read(gguf, tensor, config, limits)?;
        }
        if adapter.iter().next().is_none() {
            return Err(Error::format("the adapter holds no factors"));
        }
        adapter.validate()?;
        Ok(adapter)
    }

    /// Writes the adapter to the file `path` with factors in F32, completely or not at all. Errors as
    /// [`write`](Self::write) and [`Io`](ErrorKind::Io).
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = self.writer()?;
        save_atomic(path, |out| file.write(out))
    }

    /// Writes the adapter's file to `out`. Errors as [`validate`](Self::validate), and
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for an adapter without factors.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        self.writer()?.write(out)
    }

    fn writer(&self) -> Result<GgufWriter<'_>> {
        self.validate()?;
        if self.iter().next().is_none() {
            return Err(Error::invalid("an adapter without factors cannot be written"));
        }
        let mut file = GgufWriter::new();
        let text = |s: &str| Value::Str(s.to_owned());
        file.set("general.type", text("adapter"))?;
        file.set("general.architecture", text(&self.architecture))?;
        if !self.name.is_empty() {
            file.set("general.name", text(&self.name))?;
        }
        file.set("adapter.type", text("lora"))?;
        file.set("adapter.lora.alpha", Value::F32(self.alpha))?;
        if !self.base_fingerprint.is_empty() {
            file.set(BASE_KEY, text(&self.base_fingerprint))?;
        }
        for layer in 0..self.n_layer() {
            for stored in stored(&self.architecture) {
                let Some(factors) = self.fused(layer, stored) else { continue };
                let name = format!("blk.{layer}.{}.weight", stored.name);
                if !factors.b.iter().all(|x| x.is_finite()) {
                    let message = format!("the adapter's factors leave the range of f32 as those of the fused {name}");
                    return Err(Error::new(ErrorKind::NonFinite, message));
                }
                let (n_in, n_out) = (factors.a.len() / factors.rank, factors.b.len() / factors.rank);
                for (factor, shape, data) in
                    [("lora_a", [n_in, factors.rank], factors.a), ("lora_b", [factors.rank, n_out], factors.b)]
                {
                    let bytes = match data {
                        Cow::Borrowed(data) => Cow::Borrowed(bytemuck::cast_slice(data)),
                        Cow::Owned(data) => Cow::Owned(bytemuck::cast_slice(&data).to_vec()),
                    };
                    file.tensor(&format!("{name}.{factor}"), &shape.map(|n| n as u64), QuantType::F32, bytes)?;
                }
            }
        }
        Ok(file)
    }

    /// Takes the pair whose A `tensor` is; checks what else it may be.
    fn read(&mut self, gguf: &Gguf, tensor: &TensorInfo, config: &Config, limits: &Limits) -> Result<()> {
        let name = &tensor.name;
        let other = |base: &str, factor: &str| {
            let missing = || Error::format(format!("the adapter holds {name:?} without its {factor}"));
            gguf.tensor(&format!("{base}.{factor}")).ok_or_else(missing)
        };
        if let Some(base) = name.strip_suffix(".lora_a") {
            return self.place(gguf, base, tensor, other(base, "lora_b")?, config, limits);
        }
        if let Some(base) = name.strip_suffix(".lora_b") {
            return other(base, "lora_a").map(drop);
        }
        // llama.cpp's converter may leave norms in the file, and its loader passes them over.
        if name.ends_with("_norm.weight") {
            return Ok(());
        }
        Err(Error::format(format!("the adapter's tensor {name:?} is no factor of a product")))
    }

    fn place(
        &mut self,
        gguf: &Gguf,
        base: &str,
        a: &TensorInfo,
        b: &TensorInfo,
        config: &Config,
        limits: &Limits,
    ) -> Result<()> {
        if matches!(base, "token_embd.weight" | "output.weight") {
            return Err(Error::unsupported(format!("adapters beside {base} are not supported, only beside layers")));
        }
        let found = stored::find(&self.architecture, base).filter(|(layer, _)| *layer < self.n_layer());
        let (layer, stored) = found.ok_or_else(|| {
            Error::format(format!("the adapter stands beside {base:?}, which its base does not have"))
        })?;
        let widths: Vec<usize> = stored.parts.iter().map(|part| part.shape(config).1).collect();
        let n_in = stored.parts.iter().map(|part| part.shape(config).0).max().unwrap_or_default();
        let rank = check(base, a, b, n_in, widths.iter().sum(), limits)?;
        let (a, b) = (numbers(gguf, a)?, numbers(gguf, b)?);
        let mut rows = b.chunks_exact(rank);
        for (&part, n_out) in stored.parts.iter().zip(widths) {
            let b = rows.by_ref().take(n_out).flatten().copied().collect();
            self.set(config, layer, part, Lora { rank, a: a.clone(), b })?;
        }
        Ok(())
    }

    /// The factors beside one matrix of the file; `None` when none of its parts has any.
    fn fused(&self, layer: usize, stored: &Stored) -> Option<Fused<'_>> {
        let parts: Vec<(Projection, Option<&Lora>)> =
            stored.parts.iter().map(|&part| (part, self.get(layer, part))).collect();
        let first = parts.iter().find_map(|(_, lora)| *lora)?;
        if let [_] = parts.as_slice() {
            return Some(Fused { rank: first.rank, a: Cow::Borrowed(&first.a), b: Cow::Borrowed(&first.b) });
        }
        let height = |part: Projection| self.shapes[part as usize].1;
        let mut b = Vec::new();
        if parts.iter().flat_map(|(_, lora)| *lora).all(|lora| lora.a == first.a) {
            for (part, lora) in &parts {
                match lora {
                    Some(lora) => b.extend_from_slice(&lora.b),
                    None => b.resize(b.len() + height(*part) * first.rank, 0.0),
                }
            }
            return Some(Fused { rank: first.rank, a: Cow::Borrowed(&first.a), b: Cow::Owned(b) });
        }
        let present = || parts.iter().filter_map(|(_, lora)| *lora);
        let rank: usize = present().map(|lora| lora.rank).sum();
        let a = present().flat_map(|lora| &lora.a).copied().collect();
        let mut before = 0;
        for (part, lora) in &parts {
            let Some(lora) = lora else {
                b.resize(b.len() + height(*part) * rank, 0.0);
                continue;
            };
            // A reader divides alpha by the common rank.
            let factor = if self.alpha == 0.0 { 1.0 } else { rank as f32 / lora.rank as f32 };
            for row in lora.b.chunks_exact(lora.rank) {
                let start = b.len();
                b.resize(start + before, 0.0);
                b.extend(row.iter().map(|x| x * factor));
                b.resize(start + rank, 0.0);
            }
            before += lora.rank;
        }
        Some(Fused { rank, a: Cow::Owned(a), b: Cow::Owned(b) })
    }
}

/// A name, which is short.
fn short<'a>(name: &'a str, key: &str) -> Result<&'a str> {
    if name.len() <= MAX_NAME {
        return Ok(name);
    }
    Err(Error::format(format!("{key} has {} bytes; names have at most {MAX_NAME}", name.len())))
}

/// Factors as a file holds them.
struct Fused<'a> {
    rank: usize,
    a: Cow<'a, [f32]>,
    b: Cow<'a, [f32]>,
}

/// The rank of a pair of the right shapes.
fn check(base: &str, a: &TensorInfo, b: &TensorInfo, n_in: usize, n_out: usize, limits: &Limits) -> Result<usize> {
    let (n_in, n_out, cap) = (n_in as u64, n_out as u64, u64::from(limits.lora_rank));
    match (a.shape(), b.shape()) {
        (&[cols, rank], &[inner, rows]) if (cols, rows, inner) == (n_in, n_out, rank) => match usize::try_from(rank) {
            Ok(rank) if rank as u64 <= cap => Ok(rank),
            _ => Err(Error::format(format!("the adapter has rank {rank} beside {base}; at most {cap} is allowed"))),
        },
        (a, b) => Err(Error::format(format!(
            "the adapter's factors beside {base} have the shapes {a:?} and {b:?}; a matrix of {n_in} inputs and {n_out} \
             outputs takes [{n_in}, rank] and [rank, {n_out}]"
        ))),
    }
}

fn numbers(gguf: &Gguf, tensor: &TensorInfo) -> Result<Vec<f32>> {
    let n = usize::try_from(tensor.elements()).map_err(|_| Error::format(format!("{} is too large", tensor.name)))?;
    // The directory has proven that the file holds them; a block format takes at least a quarter of a byte for each.
    let mut out = vec![0.0; n];
    tensor.ty.dequantize(gguf.data(tensor), &mut out).map_err(|e| e.context(&tensor.name))?;
    match out.iter().all(|x| x.is_finite()) {
        true => Ok(out),
        false => Err(Error::new(ErrorKind::NonFinite, format!("the adapter's {} holds NaN or infinity", tensor.name))),
    }
}
