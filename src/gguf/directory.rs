//! The tensors of one file: names, shapes, types and where their data lies, all proven before anyone sees them.

use std::ops::Range;

use super::cursor::Cursor;
use super::extent::Extent;
use super::quote::Quoted;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::quant::QuantType;

/// Dimensions of one tensor, at most (ggml's own cap).
const MAX_DIMS: u32 = 4;

/// One tensor of a [`Gguf`](super::Gguf): its data is in bounds, aligned and shared with no other tensor, and its rows
/// are whole numbers of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// The format of the data.
    pub ty: QuantType,
    dims: [u64; MAX_DIMS as usize],
    n_dims: usize,
    elements: u64,
    pub(super) part: usize,
    pub(super) start: usize,
    len: usize,
}

impl TensorInfo {
    /// The dimensions, fastest first as in ggml: a matrix of `rows` × `cols` has the shape `[cols, rows]`. One to four
    /// numbers, none of them zero.
    pub fn shape(&self) -> &[u64] {
        self.dims.get(..self.n_dims).unwrap_or_default()
    }

    /// How many elements.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// How many bytes of data.
    pub fn byte_len(&self) -> usize {
        self.len
    }

    /// Where the data lies in its file.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// Reads `n` tensor infos of file number `part` and proves their extents against the file's `len` bytes.
pub(super) fn read(
    cursor: &mut Cursor,
    n: u64,
    part: usize,
    alignment: u32,
    len: usize,
    limits: &Limits,
) -> Result<Vec<TensorInfo>> {
    // The smallest info: the length of a name, no dimensions, a type and an offset.
    let n = cursor.count(n, 8 + 4 + 4 + 8, limits.gguf_tensors, "tensors")?;
    let mut tensors = Vec::with_capacity(n);
    let mut offsets = Vec::with_capacity(n);
    for i in 0..n {
        let (tensor, offset) = read_info(cursor, i, part, limits)?;
        tensors.push(tensor);
        offsets.push(offset);
    }
    let data = Extent::of_len(cursor.position()).and_then(|at| at.align_to(alignment));
    let data = data.ok_or_else(|| Error::format("the tensor data starts past 64 bits"))?;
    for (tensor, offset) in tensors.iter_mut().zip(offsets) {
        tensor.start = place(tensor, offset, data, alignment, len)?;
    }
    check_overlap(&tensors)?;
    Ok(tensors)
}

fn read_info(cursor: &mut Cursor, i: usize, part: usize, limits: &Limits) -> Result<(TensorInfo, u64)> {
    let name = cursor.str(limits.gguf_tensor_name_bytes, &format!("the name of tensor number {i}"))?;
    if name.is_empty() {
        return Err(Error::format(format!("the name of tensor number {i} is empty")));
    }
    let what = format!("tensor {}", Quoted(name));
    let n_dims = cursor.u32(&what)?;
    if n_dims > MAX_DIMS {
        return Err(Error::format(format!("{what} has {n_dims} dimensions, at most {MAX_DIMS} are allowed")));
    }
    let mut dims = [1; MAX_DIMS as usize];
    for dim in dims.iter_mut().take(n_dims as usize) {
        *dim = cursor.u64(&what)?;
        if *dim == 0 {
            return Err(Error::format(format!("{what} has a dimension of zero")));
        }
    }
    let ty = QuantType::from_ggml(cursor.u32(&what)?)
        .map_err(|e| Error::unsupported(format!("{what} cannot be used: {e}")))?;
    let offset = cursor.u64(&what)?;
    // A tensor without dimensions is one number.
    let n_dims = (n_dims as usize).max(1);
    let (elements, len) = size(&dims, ty, &what)?;
    Ok((TensorInfo { name: name.to_owned(), ty, dims, n_dims, elements, part, start: 0, len }, offset))
}

/// Elements and bytes of a tensor.
fn size(dims: &[u64; MAX_DIMS as usize], ty: QuantType, what: &str) -> Result<(u64, usize)> {
    let [row, rest @ ..] = *dims;
    let rows = rest.iter().try_fold(Extent::new(1), |n, dim| n.mul(*dim));
    let elements = rows.and_then(|rows| rows.mul(row));
    // ggml counts in signed 64 bits; nothing above that is a tensor.
    let elements = elements.map(Extent::get).filter(|n| i64::try_from(*n).is_ok());
    let (rows, elements) = rows
        .zip(elements)
        .ok_or_else(|| Error::format(format!("{what} has the dimensions {dims:?}, whose product leaves 63 bits")))?;
    let blocks = Extent::new(row).exact_div(ty.block_len() as u64).ok_or_else(|| {
        let (block, ty) = (ty.block_len(), ty.name());
        Error::format(format!("{what} has rows of {row} elements, no whole number of {ty} blocks of {block}"))
    })?;
    let bytes = blocks.mul(rows.get()).and_then(|n| n.mul(ty.block_bytes() as u64)).and_then(Extent::to_usize);
    let bytes = bytes.ok_or_else(|| Error::format(format!("{what} has more bytes than this machine can address")))?;
    Ok((elements, bytes))
}

/// Where in the file the data of `tensor` starts.
fn place(tensor: &TensorInfo, offset: u64, data: Extent, alignment: u32, len: usize) -> Result<usize> {
    let what = Quoted(&tensor.name);
    if !Extent::new(offset).is_multiple_of(alignment) {
        return Err(Error::format(format!(
            "tensor {what} starts at {offset}, no multiple of the alignment {alignment}"
        )));
    }
    let start = data.add(offset);
    let end = start.and_then(|start| start.add(Extent::of_len(tensor.len)?.get())).and_then(Extent::to_usize);
    match (start.and_then(Extent::to_usize), end) {
        (Some(start), Some(end)) if end <= len => Ok(start),
        _ => Err(Error::format(format!(
            "tensor {what} lies outside the file: {} bytes at {offset} behind {}, but the file has {len} bytes; it is \
             damaged or not completely downloaded",
            tensor.len,
            data.get()
        ))),
    }
}

/// Bytes of a tensor to be written, by the rules for one that is read.
pub(super) fn byte_len(shape: &[u64], ty: QuantType, what: &str) -> Result<u64> {
    let mut dims = [1; MAX_DIMS as usize];
    if shape.is_empty() || shape.len() > dims.len() || shape.contains(&0) {
        return Err(Error::invalid(format!(
            "{what} has the shape {shape:?}; one to four numbers above zero are needed"
        )));
    }
    for (to, from) in dims.iter_mut().zip(shape) {
        *to = *from;
    }
    size(&dims, ty, what).map(|(_, len)| len as u64)
}

fn check_overlap(tensors: &[TensorInfo]) -> Result<()> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| t.start);
    for (a, b) in order.iter().zip(order.iter().skip(1)) {
        if b.start < a.range().end {
            let (a, b) = (Quoted(&a.name), Quoted(&b.name));
            return Err(Error::format(format!("the data of the tensors {a} and {b} overlaps")));
        }
    }
    Ok(())
}
