//! [`GgufWriter`]: reward heads, adapters and merged models as GGUF files, version 3.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use super::directory;
use super::encode;
use super::extent::Extent;
use super::file::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC};
use super::metadata::Metadata;
use super::quote::Quoted;
use super::value::Value;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::quant::QuantType;
use crate::storage::save_atomic;

/// Bytes of a tensor's name that every reader accepts: ggml counts a closing zero byte among its 64.
const NAME_BYTES: usize = 63;

/// Collects metadata and tensors and writes them as one GGUF file, in the order in which they were added.
///
/// Everything is checked when it is added, by the rules by which [`Gguf`](super::Gguf) reads, so that what was written
/// can be read.
#[derive(Default)]
pub struct GgufWriter<'a> {
    metadata: Metadata,
    tensors: Vec<Tensor<'a>>,
    names: HashSet<String>,
    alignment: Option<u32>,
}

/// Writes the data of one tensor.
type Stream<'a> = Box<dyn Fn(&mut dyn Write) -> Result<()> + 'a>;

struct Tensor<'a> {
    name: String,
    shape: Vec<u64>,
    ty: QuantType,
    len: u64,
    data: Data<'a>,
}

enum Data<'a> {
    Bytes(Cow<'a, [u8]>),
    Stream(Stream<'a>),
}

impl<'a> GgufWriter<'a> {
    /// A file with nothing in it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Aligns the data of every tensor to `bytes` (a power of two, at least 8) instead of 32.
    pub fn set_alignment(&mut self, bytes: u32) -> Result<()> {
        let cap = Limits::default().gguf_alignment;
        if !bytes.is_power_of_two() || bytes < 8 || bytes > cap {
            let rule = format!("it has to be a power of two, at least 8 and at most {cap}");
            return Err(Error::invalid(format!("an alignment of {bytes} bytes is not possible; {rule}")));
        }
        self.insert(ALIGNMENT_KEY, Value::U32(bytes))?;
        self.alignment = Some(bytes);
        Ok(())
    }

    /// Adds the metadata `key`, which has to be new.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        let cap = Limits::default().gguf_key_bytes;
        if key.is_empty() || key.len() as u64 > cap {
            return Err(Error::invalid(format!("a metadata key has 1 to {cap} bytes, not {}", key.len())));
        }
        if key == ALIGNMENT_KEY {
            return Err(Error::invalid(format!("{ALIGNMENT_KEY} has its own call, which also aligns the data")));
        }
        self.insert(key, value.into())
    }

    /// Adds a tensor with its data: `shape` fastest dimension first, `data` exactly the bytes of that many elements.
    pub fn tensor(&mut self, name: &str, shape: &[u64], ty: QuantType, data: impl Into<Cow<'a, [u8]>>) -> Result<()> {
        let data = data.into();
        let (found, tensor) = (data.len(), self.check(name, shape, ty, Data::Bytes(data))?);
        if found as u64 != tensor.len {
            let (name, expected) = (Quoted(name), tensor.len);
            return Err(Error::invalid(format!("tensor {name} takes {expected} bytes of data, {found} were given")));
        }
        self.add(tensor)
    }

    /// Adds a tensor whose data `stream` writes when the file is written, so that a large model is never held whole.
    pub fn tensor_stream(
        &mut self,
        name: &str,
        shape: &[u64],
        ty: QuantType,
        stream: impl Fn(&mut dyn Write) -> Result<()> + 'a,
    ) -> Result<()> {
        let tensor = self.check(name, shape, ty, Data::Stream(Box::new(stream)))?;
        self.add(tensor)
    }

    /// Writes the whole file to `out`.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let alignment = self.alignment.unwrap_or(DEFAULT_ALIGNMENT);
        let header = self.header(alignment)?;
        put(out, &header)?;
        pad(out, header.len() as u64, alignment)?;
        for tensor in &self.tensors {
            let mut counted = Counted { out, n: 0 };
            match &tensor.data {
                Data::Bytes(bytes) => put(&mut counted, bytes)?,
                Data::Stream(stream) => stream(&mut counted)?,
            }
            if counted.n != tensor.len {
                let (name, expected, found) = (Quoted(&tensor.name), tensor.len, counted.n);
                return Err(Error::invalid(format!("the data of tensor {name} has {found} bytes, not {expected}")));
            }
            // The data before it ended at a multiple of the alignment too.
            pad(out, tensor.len, alignment)?;
        }
        out.flush().map_err(|e| Error::io("writing the model", e))
    }

    /// Writes the file `path`, completely or not at all ([`save_atomic`]).
    pub fn save(&self, path: &Path) -> Result<()> {
        save_atomic(path, |out| self.write(out))
    }

    fn insert(&mut self, key: &str, value: Value) -> Result<()> {
        self.metadata.insert(key, value).map_err(|e| Error::invalid(e.to_string()))
    }

    fn check(&self, name: &str, shape: &[u64], ty: QuantType, data: Data<'a>) -> Result<Tensor<'a>> {
        if name.is_empty() || name.len() > NAME_BYTES {
            let name = Quoted(name);
            return Err(Error::invalid(format!("a tensor's name has 1 to {NAME_BYTES} bytes, unlike {name}")));
        }
        let len = directory::byte_len(shape, ty, &format!("tensor {}", Quoted(name)));
        let len = len.map_err(|e| Error::invalid(e.to_string()))?;
        Ok(Tensor { name: name.to_owned(), shape: shape.to_vec(), ty, len, data })
    }

    fn add(&mut self, tensor: Tensor<'a>) -> Result<()> {
        if !self.names.insert(tensor.name.clone()) {
            return Err(Error::invalid(format!("tensor {} was added before", Quoted(&tensor.name))));
        }
        self.tensors.push(tensor);
        Ok(())
    }

    fn header(&self, alignment: u32) -> Result<Vec<u8>> {
        let mut out = MAGIC.to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            encode::str(&mut out, key);
            encode::value(&mut out, value);
        }
        let mut offset = Extent::new(0);
        for tensor in &self.tensors {
            encode::str(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
            out.extend((tensor.ty as u32).to_le_bytes());
            out.extend(offset.get().to_le_bytes());
            let end = offset.add(tensor.len).and_then(|end| end.align_to(alignment));
            offset = end.ok_or_else(|| Error::invalid("the tensors together pass 64 bits"))?;
        }
        Ok(out)
    }
}

/// Counts what passes through.
struct Counted<'a> {
    out: &'a mut dyn Write,
    n: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.n += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|e| Error::io("writing the model", e))
}

/// Zeros up to the next multiple of `alignment` behind `n` bytes.
fn pad(out: &mut dyn Write, n: u64, alignment: u32) -> Result<()> {
    let over = n % u64::from(alignment);
    if over > 0 {
        (over..alignment.into()).try_for_each(|_| put(out, &[0]))?;
    }
    Ok(())
}
