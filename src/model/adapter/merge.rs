//! A base and its adapters as one model: `W + Σ s B A` in the place of every `W` that an adapter stands beside.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::stored::{self, Stored};
use super::{Adapter, Lora, Projection};
use crate::error::{Error, Result};
use crate::gguf::{Array, Gguf, GgufWriter, StrArray, TensorInfo, Value};
use crate::limits::Limits;
use crate::model::Model;
use crate::quant::QuantType;
use crate::storage::save_atomic;

/// Names what was merged, so that the result has another fingerprint than its base even where every shape is the same.
const MERGED_KEY: &str = "ruminate.merged";
/// Metadata of the base that would be wrong in the result: it is one file, aligned by the writer.
const DROPPED: [&str; 4] = ["general.alignment", "split.no", "split.count", "split.tensors.count"];

/// What the matrices that change are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeFormat {
    /// All as F16.
    F16,
    /// Each in its own format; as F16 where that one is only read ([`QuantType::is_written`]).
    Same,
}

/// A matrix that a merge changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The tensor.
    pub name: String,
    /// Its format in the base.
    pub from: QuantType,
    /// Its format in the new file.
    pub to: QuantType,
}

/// Writes `base` with `adapters`, each counted as often as the number beside it says, to the file `path`, completely or not
/// at all. Everything that no adapter stands beside is copied bit by bit.
///
/// Errors: those of [`Model::load`] and [`Adapter::check_base`]; [`InvalidArgument`](crate::ErrorKind::InvalidArgument)
/// without adapters or for a scale that is not finite; [`NonFinite`](crate::ErrorKind::NonFinite) for a sum that the
/// format cannot hold; [`FileChanged`](crate::ErrorKind::FileChanged) for a mapped base that changed meanwhile;
/// [`Io`](crate::ErrorKind::Io).
pub fn merge(
    base: &Gguf,
    adapters: &[(Arc<Adapter>, f32)],
    format: MergeFormat,
    limits: &Limits,
    path: &Path,
) -> Result<Vec<Merged>> {
    let model = Model::load(base, limits)?;
    if adapters.is_empty() {
        return Err(Error::invalid("there is nothing to merge: no adapter was given"));
    }
    for (adapter, scale) in adapters {
        adapter.check_base(&model)?;
        if !scale.is_finite() {
            return Err(Error::invalid(format!("an adapter cannot be scaled by {scale}")));
        }
    }
    let (mut merged, mut covered) = (Vec::new(), HashSet::new());
    let mut file = GgufWriter::new();
    for tensor in base.tensors() {
        let Some(rows) = Rows::of(tensor, &model, adapters) else {
            file.tensor(&tensor.name, tensor.shape(), tensor.ty, base.data(tensor))?;
            continue;
        };
        let to = match format {
            MergeFormat::Same if tensor.ty.is_written() => tensor.ty,
            _ => QuantType::F16,
        };
        covered.extend(rows.parts.iter().map(|part| (rows.layer, part.projection)));
        merged.push(Merged { name: tensor.name.clone(), from: tensor.ty, to });
        file.tensor_stream(&tensor.name, tensor.shape(), to, move |out| {
            rows.write(base.data(tensor), tensor.ty, to, out).map_err(|e| e.context(&tensor.name))
        })?;
    }
    for (layer, projection, _) in adapters.iter().flat_map(|(adapter, _)| adapter.iter()) {
        if !covered.contains(&(layer, projection)) {
            let name = projection.name();
            return Err(Error::unsupported(format!(
                "the base keeps blk.{layer}.{name} in a matrix of an unusual name"
            )));
        }
    }
    set_metadata(&mut file, base, adapters, &merged)?;
    // A base that changed meanwhile must not become the new file.
    save_atomic(path, |out| {
        file.write(out)?;
        base.check_unchanged()
    })?;
    Ok(merged)
}

fn set_metadata(
    file: &mut GgufWriter<'_>,
    base: &Gguf,
    adapters: &[(Arc<Adapter>, f32)],
    merged: &[Merged],
) -> Result<()> {
    let changed = merged.iter().any(|m| m.from != m.to);
    for (key, value) in base.metadata().iter() {
        // Without a file type a reader counts formats itself.
        let dropped = DROPPED.contains(&key) || key == MERGED_KEY || (changed && key == "general.file_type");
        if !dropped {
            file.set(key, value.clone())?;
        }
    }
    let before = base.metadata().str_array(MERGED_KEY)?;
    let mut names: Vec<String> = before.iter().flat_map(|names| names.iter()).map(str::to_owned).collect();
    names.extend(adapters.iter().map(|(adapter, scale)| format!("{} {scale}", adapter.digest())));
    file.set(MERGED_KEY, Value::Array(Array::Str(StrArray::from_strs(names.iter().map(String::as_str))?)))
}

/// The rows of a matrix and what stands beside each run of them.
struct Rows<'a> {
    layer: usize,
    n_in: usize,
    parts: Vec<Part<'a>>,
}

/// Rows of one projection.
struct Part<'a> {
    projection: Projection,
    n_out: usize,
    beside: Vec<(&'a Lora, f32)>,
}

impl<'a> Rows<'a> {
    /// `None` for a tensor that no adapter stands beside.
    fn of(tensor: &TensorInfo, model: &Model, adapters: &'a [(Arc<Adapter>, f32)]) -> Option<Self> {
        let config = model.config();
        let (layer, Stored { parts, .. }) = stored::find(&config.architecture, &tensor.name)?;
        let part = |&projection: &Projection| {
            let beside = adapters.iter().filter_map(|(adapter, scale)| {
                let lora = adapter.get(layer, projection)?;
                Some((lora, scale * adapter.scale(lora)))
            });
            Part { projection, n_out: projection.shape(config).1, beside: beside.collect() }
        };
        let n_in = parts.first()?.shape(config).0;
        let parts: Vec<Part<'a>> = parts.iter().map(part).collect();
        parts.iter().any(|part| !part.beside.is_empty()).then_some(Self { layer, n_in, parts })
    }

    /// A row at a time: dequantized, added to, quantized.
    fn write(&self, data: &[u8], from: QuantType, to: QuantType, out: &mut dyn Write) -> Result<()> {
        let row_bytes = from.row_bytes(self.n_in).filter(|n| *n > 0);
        let row_bytes = row_bytes.ok_or_else(|| Error::format("rows that are no whole number of blocks"))?;
        let mut rows = data.chunks_exact(row_bytes);
        let mut sum = vec![0.0; self.n_in];
        let mut beside = vec![0.0; self.n_in];
        for part in &self.parts {
            for (i, row) in rows.by_ref().take(part.n_out).enumerate() {
                from.dequantize(row, &mut sum)?;
                beside.fill(0.0);
                for (lora, scale) in &part.beside {
                    let b = lora.b.chunks_exact(lora.rank).nth(i).unwrap_or_default();
                    for (b, a) in b.iter().zip(lora.a.chunks_exact(self.n_in)) {
                        let by = scale * b;
                        beside.iter_mut().zip(a).for_each(|(x, a)| *x += by * a);
                    }
                }
                sum.iter_mut().zip(&beside).for_each(|(x, y)| *x += y);
                out.write_all(&to.quantize(&sum)?).map_err(|e| Error::io("writing the model", e))?;
            }
        }
        Ok(())
    }
}
