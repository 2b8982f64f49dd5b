//! [`Gguf`]: a model's files, parsed and proven.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::Path;

use super::cursor::Cursor;
use super::directory::{self, TensorInfo};
use super::fingerprint::Fingerprint;
use super::metadata::Metadata;
use super::quote::Quoted;
use super::split::Split;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::observe::{Interrupt, Observer, Silent};
use crate::storage::{Bytes, LoadMode};

/// The alignment of tensor data where the file does not say it.
pub(super) const DEFAULT_ALIGNMENT: u32 = 32;
/// The metadata key that says it.
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";
/// The first four bytes of every GGUF file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// A GGUF model: metadata, tensors and the bytes that hold them, from one file or from all files of a split model.
#[derive(Debug)]
pub struct Gguf {
    parts: Vec<Bytes>,
    version: u32,
    alignment: u32,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    index: HashMap<String, usize>,
    fingerprint: String,
}

impl Gguf {
    /// Opens the file at `path` and, where it is the first of a split model, the others beside it.
    pub fn open(path: &Path, mode: LoadMode, limits: &Limits) -> Result<Self> {
        Self::open_watched(path, mode, limits, &mut Silent, &Interrupt::default())
    }

    /// As [`open`](Self::open), watched and ended as [`Bytes::open_watched`] is, file by file.
    pub fn open_watched(
        path: &Path,
        mode: LoadMode,
        limits: &Limits,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut open = |path: &Path| Bytes::open_watched(path, mode, observer, interrupt);
        let bytes = open(path)?;
        let opened = Self::open_parts(bytes, path, limits, &mut open);
        opened.map_err(|e| e.context(format_args!("reading {path:?}")))
    }

    /// Parses one complete file in memory. Bytes that do not start at a multiple of 64 are copied first.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self> {
        let mut all = Assembly::new();
        all.add(bytes, limits)?;
        if let Some(split) = Split::of(&all.metadata, limits)? {
            let (no, count) = (split.no + 1, split.count);
            return Err(Error::invalid(format!("this is part {no} of {count} of a split model; open it by its path")));
        }
        Ok(all.finish())
    }

    /// The metadata; of a split model, that of its first file.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every tensor, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index.get(name).and_then(|i| self.tensors.get(*i))
    }

    /// The data of `tensor`: exactly its bytes, in memory at a multiple of [`alignment`](Self::alignment), of 64 where
    /// that is larger. Empty for a tensor of another model that does not fit into this one.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        self.parts.get(tensor.part).and_then(|bytes| bytes.as_slice().get(tensor.range())).unwrap_or_default()
    }

    /// The bytes that hold the data of `tensor`, and where in them, for whoever outlives this value.
    pub fn bytes_of(&self, tensor: &TensorInfo) -> (Bytes, Range<usize>) {
        match self.parts.get(tensor.part) {
            Some(bytes) if tensor.range().end <= bytes.len() => (bytes.clone(), tensor.range()),
            _ => (Bytes::from_static(&[]), 0..0),
        }
    }

    /// The content of each file.
    pub fn bytes(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.parts.iter()
    }

    /// Bytes of all files together.
    pub fn file_len(&self) -> u64 {
        self.parts.iter().map(|bytes| bytes.len() as u64).sum()
    }

    /// An error of kind [`FileChanged`](crate::ErrorKind::FileChanged) when a mapped file changed since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        self.parts.iter().try_for_each(Bytes::check_unchanged)
    }

    /// 32 hex digits that depend on all metadata and on every tensor's name, shape, type and place, but not on weights.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Every tensor's data starts at a multiple of this many bytes in the file.
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    fn open_parts(
        bytes: Bytes,
        path: &Path,
        limits: &Limits,
        open: &mut dyn FnMut(&Path) -> Result<Bytes>,
    ) -> Result<Self> {
        let mut all = Assembly::new();
        all.add(bytes, limits)?;
        let Some(first) = Split::of(&all.metadata, limits)? else {
            return Ok(all.finish());
        };
        for (i, sibling) in first.siblings(path)?.iter().enumerate() {
            let opened = open(sibling).and_then(|bytes| {
                let metadata = all.add(bytes, limits)?;
                check_sibling(&first, i + 1, Split::of(&metadata, limits)?)
            });
            opened.map_err(|e| e.context(format_args!("part {} of {}, {sibling:?}", i + 2, first.count)))?;
        }
        let (stated, found) = (first.tensors, all.tensors.len());
        match stated {
            Some(stated) if stated != found as u64 => Err(Error::format(format!(
                "the files of the split model hold {found} tensors together, but split.tensors.count says {stated}"
            ))),
            _ => Ok(all.finish()),
        }
    }
}

fn check_sibling(first: &Split, no: usize, this: Option<Split>) -> Result<()> {
    match this {
        Some(this) if this.no as usize == no && this.count == first.count && this.tensors == first.tensors => Ok(()),
        Some(this) => Err(Error::format(format!("it says that it is part {} of {}", this.no + 1, this.count))),
        None => Err(Error::format("it is not part of a split model")),
    }
}

/// A model while its files are added one by one.
struct Assembly {
    parts: Vec<Bytes>,
    version: u32,
    alignment: u32,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    index: HashMap<String, usize>,
    fingerprint: Fingerprint,
}

impl Assembly {
    fn new() -> Self {
        Self {
            parts: Vec::new(),
            version: 0,
            alignment: DEFAULT_ALIGNMENT,
            metadata: Metadata::default(),
            tensors: Vec::new(),
            index: HashMap::new(),
            fingerprint: Fingerprint::new(),
        }
    }

    /// Adds a file. The first one gives the model's metadata; that of the others is given back.
    fn add(&mut self, bytes: Bytes, limits: &Limits) -> Result<Metadata> {
        let bytes = bytes.aligned()?;
        let file = bytes.as_slice();
        let mut cursor = Cursor::new(file);
        let version = read_version(&mut cursor)?;
        let n_tensors = cursor.u64("the number of tensors")?;
        let n_entries = cursor.u64("the number of metadata entries")?;
        let metadata = Metadata::read(&mut cursor, n_entries, limits)?;
        let alignment = read_alignment(&metadata, limits)?;

        let part = self.parts.len();
        let mut left = limits.clone();
        left.gguf_tensors = limits.gguf_tensors.saturating_sub(self.tensors.len() as u64);
        let tensors = directory::read(&mut cursor, n_tensors, part, alignment, file.len(), &left)?;
        for tensor in tensors {
            match self.index.entry(tensor.name.clone()) {
                Entry::Occupied(_) => {
                    return Err(Error::format(format!("tensor {} appears twice", Quoted(&tensor.name))));
                }
                Entry::Vacant(free) => free.insert(self.tensors.len()),
            };
            self.tensors.push(tensor);
        }
        self.fingerprint.add(file.get(..cursor.position()).unwrap_or_default());
        self.parts.push(bytes);
        if part > 0 {
            return Ok(metadata);
        }
        (self.version, self.alignment) = (version, alignment);
        self.metadata = metadata;
        Ok(Metadata::default())
    }

    fn finish(self) -> Gguf {
        let Self { parts, version, alignment, metadata, tensors, index, fingerprint } = self;
        Gguf { parts, version, alignment, metadata, tensors, index, fingerprint: fingerprint.hex() }
    }
}

fn read_version(cursor: &mut Cursor) -> Result<u32> {
    let magic: [u8; 4] = cursor.array("the magic bytes")?;
    if magic != *MAGIC {
        let magic = magic.escape_ascii();
        return Err(Error::format(format!("this is not a GGUF file: it starts with \"{magic}\" instead of \"GGUF\"")));
    }
    match cursor.u32("the version")? {
        version @ 2..=3 => Ok(version),
        1 => Err(Error::unsupported("GGUF version 1 is not supported; convert the model again with current tools")),
        0 => Err(Error::format("the version of the GGUF file is 0")),
        version if (1..=3).contains(&version.swap_bytes()) => {
            Err(Error::unsupported("this GGUF file is big-endian, which is not supported; use the little-endian one"))
        }
        version => Err(Error::unsupported(format!("GGUF version {version} is not supported, only 2 and 3 are"))),
    }
}

fn read_alignment(metadata: &Metadata, limits: &Limits) -> Result<u32> {
    let Some(alignment) = metadata.u32(ALIGNMENT_KEY)? else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let cap = limits.gguf_alignment;
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(8) || alignment > cap {
        return Err(Error::format(format!(
            "{ALIGNMENT_KEY} is {alignment}; it has to be a power of two, at least 8 and at most {cap}"
        )));
    }
    Ok(alignment)
}
