//! A head as a GGUF file: everything in it is checked before it becomes a [`Head`].

use std::path::Path;

use super::{Activation, Dense, Extra, Head, MAX_LAYERS, MAX_NAME, Pool, Purpose, Transform};
use crate::engine::Tap;
use crate::error::{Error, Result};
use crate::gguf::{Array, Gguf, GgufWriter, Metadata, StrArray, Value};
use crate::limits::Limits;
use crate::quant::QuantType;
use crate::reward::Aggregation;
use crate::storage::LoadMode;

const VERSION: u32 = 1;

const PURPOSES: [(&str, Purpose); 3] = [("prm", Purpose::Prm), ("orm", Purpose::Orm), ("probe", Purpose::Probe)];
const POOLS: [(&str, Pool); 2] = [("last", Pool::Last), ("mean", Pool::Mean)];
const EXTRAS: [(&str, Extra); 2] = [("entropy", Extra::Entropy), ("logprob", Extra::Logprob)];
const ACTIVATIONS: [(&str, Activation); 5] = [
    ("relu", Activation::Relu),
    ("tanh", Activation::Tanh),
    ("gelu", Activation::Gelu),
    ("silu", Activation::Silu),
    ("none", Activation::None),
];
const TRANSFORMS: [(&str, Transform); 4] = [
    ("softmax", Transform::Softmax),
    ("sigmoid", Transform::Sigmoid),
    ("clamp01", Transform::Clamp01),
    ("identity", Transform::Identity),
];

impl Head {
    /// The head in the file `path`. Errors: [`Io`](crate::ErrorKind::Io), [`Format`](crate::ErrorKind::Format) for a file
    /// that is no reward head or a damaged one, [`Unsupported`](crate::ErrorKind::Unsupported) for one of a later version.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let gguf = Gguf::open(path, LoadMode::Read, limits)?;
        Self::from_gguf(&gguf, limits).map_err(|e| e.context(format_args!("reading {path:?}")))
    }

    /// The head in a parsed file; errors as [`open`](Self::open).
    pub fn from_gguf(gguf: &Gguf, limits: &Limits) -> Result<Self> {
        let meta = gguf.metadata();
        let is = |key: &str, text: &str| Ok::<_, Error>(meta.str(key)? == Some(text));
        if !is("general.type", "adapter")? || !is("adapter.type", "prm_head")? {
            return Err(Error::format("this is no reward head: its general.type and adapter.type are other ones"));
        }
        match meta.require_u32("prm.version")? {
            VERSION => (),
            version => return Err(Error::unsupported(format!("reward heads of version {version} are not known here"))),
        }
        let n_embd = sized(meta, "prm.base.n_embd", limits.width)?;
        let n_layer = sized(meta, "prm.base.n_layer", limits.layers)?;
        let layers = layers(gguf)?;
        check_kind(meta, layers.len())?;
        let head = Self {
            purpose: named(meta, "prm.purpose", &PURPOSES)?,
            architecture: short(meta, "general.architecture")?.to_owned(),
            fingerprint: short(meta, "prm.base.fingerprint")?.to_owned(),
            n_embd,
            n_layer,
            taps: taps(meta, n_layer)?,
            pool: or_default(meta, "prm.hidden.pool", &POOLS)?,
            extra: extras(meta)?,
            read_offset: meta.i32("prm.step.read_offset")?.unwrap_or(-1),
            mean: vector(gguf, "prm.in.mean")?,
            std: vector(gguf, "prm.in.std")?,
            activation: if layers.len() > 1 { named(meta, "prm.act", &ACTIVATIONS)? } else { Activation::None },
            layers,
            transform: named(meta, "prm.out.transform", &TRANSFORMS)?,
            positive_index: meta.u32("prm.out.positive_index")?.unwrap_or(0) as usize,
            temperature: meta.f32("prm.calib.temperature")?.unwrap_or(1.0),
            bias: meta.f32("prm.calib.bias")?.unwrap_or(0.0),
            aggregation: match meta.get("prm.agg.default") {
                Some(_) => Aggregation::by_name(short(meta, "prm.agg.default")?).map_err(damaged)?,
                None => Aggregation::default(),
            },
            provenance: meta.iter().filter(|(key, _)| is_provenance(key)).map(|(k, v)| (k.into(), v.clone())).collect(),
        };
        let n_out = meta.require_u32("prm.n_out")? as usize;
        if n_out != head.n_out() {
            let found = head.n_out();
            return Err(Error::format(format!("prm.n_out is {n_out}, but the last layer has {found} outputs")));
        }
        head.validate().map_err(damaged)?;
        Ok(head)
    }

    /// Writes the head to the file `path`, completely or not at all. Errors as [`validate`](Self::validate) and
    /// [`Io`](crate::ErrorKind::Io).
    pub fn save(&self, path: &Path) -> Result<()> {
        self.writer()?.save(path)
    }

    /// The head as a file's content.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.writer()?.write(&mut out)?;
        Ok(out)
    }

    fn writer(&self) -> Result<GgufWriter<'static>> {
        self.validate()?;
        let mut file = GgufWriter::new();
        let text = |s: &str| Value::Str(s.to_owned());
        file.set("general.type", text("adapter"))?;
        file.set("general.architecture", text(&self.architecture))?;
        file.set("adapter.type", text("prm_head"))?;
        file.set("prm.version", Value::U32(VERSION))?;
        file.set("prm.kind", text(kind(self.layers.len())))?;
        file.set("prm.purpose", text(name_of(self.purpose, &PURPOSES)))?;
        file.set("prm.base.fingerprint", text(&self.fingerprint))?;
        file.set("prm.base.n_embd", number(self.n_embd)?)?;
        file.set("prm.base.n_layer", number(self.n_layer)?)?;
        let tap = |tap: &Tap| match tap {
            Tap::Layer(i) => i32::try_from(*i).map_err(|_| Error::invalid(format!("a tap of layer {i}"))),
            Tap::Final => Ok(-1),
        };
        let taps = self.taps.iter().map(tap).collect::<Result<Vec<_>>>()?;
        file.set("prm.hidden.layers", Value::Array(Array::I32(taps)))?;
        file.set("prm.hidden.pool", text(name_of(self.pool, &POOLS)))?;
        let extra = StrArray::from_strs(self.extra.iter().map(|&extra| name_of(extra, &EXTRAS)))?;
        file.set("prm.hidden.extra", Value::Array(Array::Str(extra)))?;
        file.set("prm.step.read_offset", Value::I32(self.read_offset))?;
        file.set("prm.act", text(name_of(self.activation, &ACTIVATIONS)))?;
        file.set("prm.n_out", number(self.n_out())?)?;
        file.set("prm.out.transform", text(name_of(self.transform, &TRANSFORMS)))?;
        file.set("prm.out.positive_index", number(self.positive_index)?)?;
        file.set("prm.calib.temperature", Value::F32(self.temperature))?;
        file.set("prm.calib.bias", Value::F32(self.bias))?;
        file.set("prm.agg.default", text(&self.aggregation.name()))?;
        for (key, value) in &self.provenance {
            if !is_provenance(key) {
                return Err(Error::invalid(format!("{key:?} is no key about a head's making")));
            }
            file.set(key, value.clone())?;
        }
        for (name, data) in [("prm.in.mean", &self.mean), ("prm.in.std", &self.std)] {
            if !data.is_empty() {
                file.tensor(name, &[data.len() as u64], QuantType::F32, le_bytes(data))?;
            }
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let shape = [layer.n_in() as u64, layer.n_out() as u64];
            file.tensor(&format!("prm.fc.{i}.weight"), &shape, QuantType::F32, le_bytes(layer.weight()))?;
            if !layer.bias().is_empty() {
                let shape = [layer.n_out() as u64];
                file.tensor(&format!("prm.fc.{i}.bias"), &shape, QuantType::F32, le_bytes(layer.bias()))?;
            }
        }
        Ok(file)
    }
}

fn is_provenance(key: &str) -> bool {
    ["prm.train.", "prm.eval."].iter().any(|prefix| key.starts_with(prefix))
        || matches!(key, "general.license" | "general.name")
}

/// What the parts of a file say wrongly together is a fault of the file.
fn damaged(error: Error) -> Error {
    Error::format(error.to_string()).with_source(error)
}

fn sized(meta: &Metadata, key: &str, cap: u32) -> Result<usize> {
    match meta.require_u32(key)? {
        n if n >= 1 && n <= cap => Ok(n as usize),
        n => Err(Error::format(format!("{key} is {n}; 1 to {cap} are possible"))),
    }
}

fn kind(layers: usize) -> &'static str {
    if layers == 1 { "linear" } else { "mlp" }
}

fn check_kind(meta: &Metadata, layers: usize) -> Result<()> {
    match short(meta, "prm.kind")? {
        found if found == kind(layers) => Ok(()),
        found @ ("linear" | "mlp") => {
            Err(Error::format(format!("a reward head of kind {found:?} does not have {layers} layers")))
        }
        found => Err(Error::unsupported(format!("reward heads of kind {found:?} are not known here"))),
    }
}

fn taps(meta: &Metadata, n_layer: usize) -> Result<Vec<Tap>> {
    let layers = meta.i32_array("prm.hidden.layers")?;
    let layers = layers.ok_or_else(|| Error::format("metadata key prm.hidden.layers is missing"))?;
    if layers.len() > n_layer + 1 {
        let n = layers.len();
        return Err(Error::format(format!("the reward head reads {n} layers of a model that has {n_layer}")));
    }
    let tap = |&layer: &i32| match usize::try_from(layer) {
        Ok(i) if i < n_layer => Ok(Tap::Layer(i)),
        _ if layer == -1 => Ok(Tap::Final),
        _ => Err(Error::format(format!("the reward head reads layer {layer} of a model that has {n_layer}"))),
    };
    layers.iter().map(tap).collect()
}

fn extras(meta: &Metadata) -> Result<Vec<Extra>> {
    let Some(names) = meta.str_array("prm.hidden.extra")? else { return Ok(Vec::new()) };
    if names.len() > EXTRAS.len() || names.iter().any(|name| name.len() > MAX_NAME) {
        return Err(Error::format(format!("prm.hidden.extra has {} entries, or one that is no name", names.len())));
    }
    names.iter().map(|name| find("prm.hidden.extra", name, &EXTRAS)).collect()
}

fn named<T: Copy>(meta: &Metadata, key: &str, names: &[(&str, T)]) -> Result<T> {
    find(key, short(meta, key)?, names)
}

fn or_default<T: Copy + Default>(meta: &Metadata, key: &str, names: &[(&str, T)]) -> Result<T> {
    if meta.get(key).is_some() { named(meta, key, names) } else { Ok(T::default()) }
}

/// A name, which is short.
fn short<'a>(meta: &'a Metadata, key: &str) -> Result<&'a str> {
    match meta.require_str(key)? {
        name if name.len() <= MAX_NAME => Ok(name),
        name => Err(Error::format(format!("{key} has {} bytes; names have at most {MAX_NAME}", name.len()))),
    }
}

fn find<T: Copy>(key: &str, name: &str, names: &[(&str, T)]) -> Result<T> {
    let found = names.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    found.ok_or_else(|| Error::unsupported(format!("{key} is {name:?}, which is not known here")))
}

fn name_of<T: Copy + PartialEq>(value: T, names: &[(&'static str, T)]) -> &'static str {
    names.iter().find(|(_, v)| *v == value).map_or("", |(name, _)| name)
}

fn number(n: usize) -> Result<Value> {
    u32::try_from(n).map(Value::U32).map_err(|_| Error::invalid(format!("{n} is more than a reward head may have")))
}

/// Every `prm.fc.{i}`, from 0 on; a tensor that none of them is would be ignored, so it is an error.
fn layers(gguf: &Gguf) -> Result<Vec<Dense>> {
    let mut layers = Vec::new();
    let mut read = 0;
    while let Some(weight) = gguf.tensor(&format!("prm.fc.{}.weight", layers.len())) {
        let i = layers.len();
        if i == MAX_LAYERS {
            return Err(Error::format(format!("the reward head has more than {MAX_LAYERS} layers")));
        }
        let &[_, n_out] = weight.shape() else {
            return Err(Error::format(format!("{} has the shape {:?}, no matrix", weight.name, weight.shape())));
        };
        let n_out = usize::try_from(n_out).map_err(|_| Error::format(format!("{} is too large", weight.name)))?;
        let bias = format!("prm.fc.{i}.bias");
        let layer = Dense::new(numbers(gguf, &weight.name)?, vector(gguf, &bias)?, n_out);
        layers.push(layer.map_err(|e| damaged(e.context(&weight.name)))?);
        read += 1 + usize::from(gguf.tensor(&bias).is_some());
    }
    read += ["prm.in.mean", "prm.in.std"].iter().filter(|name| gguf.tensor(name).is_some()).count();
    if read != gguf.tensors().len() {
        let (all, more) = (gguf.tensors().len(), gguf.tensors().len() - read);
        return Err(Error::format(format!("{more} of the {all} tensors are none of a reward head's")));
    }
    Ok(layers)
}

/// A tensor of one dimension; empty when the file has none of that name.
fn vector(gguf: &Gguf, name: &str) -> Result<Vec<f32>> {
    match gguf.tensor(name) {
        None => Ok(Vec::new()),
        Some(tensor) if tensor.shape().len() == 1 => numbers(gguf, name),
        Some(tensor) => Err(Error::format(format!("{name} has the shape {:?}, no vector", tensor.shape()))),
    }
}

fn numbers(gguf: &Gguf, name: &str) -> Result<Vec<f32>> {
    let missing = || Error::format(format!("tensor {name} is missing"));
    let tensor = gguf.tensor(name).ok_or_else(missing)?;
    let n = usize::try_from(tensor.elements()).map_err(|_| Error::format(format!("{name} is too large")))?;
    // The directory has proven that the file holds them; a block format takes at least a quarter of a byte for each.
    let mut out = vec![0.0; n];
    tensor.ty.dequantize(gguf.data(tensor), &mut out)?;
    Ok(out)
}

fn le_bytes(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|x| x.to_le_bytes()).collect()
}
