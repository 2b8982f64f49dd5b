//! Packed weights in a file beside the model: the next start maps them instead of packing again, and their pages belong to
//! the file, so that the system may drop them under pressure.
//!
//! `RUMPACK1`, the length of the key and the key (which names the model and its files), the number of matrices, and for each
//! its format, rows, columns, place in the model's file and place here, all numbers little-endian of 64 bits; then the
//! matrices, each at a multiple of 64 bytes.

use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result};
use crate::exec::Team;
use crate::gguf::Fingerprint;
use crate::kernels::PackedMatrix;
use crate::model::{Model, Tensor};
use crate::observe::{Event, Interrupt, Observer};
use crate::storage::{Bytes, LoadMode, save_atomic};

const MAGIC: &[u8; 8] = b"RUMPACK1";
/// Numbers that describe one matrix.
const FIELDS: usize = 5;
const LINE: u64 = 64;

impl Model {
    /// Takes the packed weights from the file at `path`; whether there is one and it was made from this model. What it
    /// says is checked, and a cache that does not fit is not used. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a
    /// file that is no cache at all: it is somebody's.
    pub fn load_packed(&self, path: &Path) -> Result<bool> {
        if !path.is_file() {
            return Ok(false);
        }
        let bytes = Bytes::open(path, LoadMode::Mmap)?;
        check_cache(path, bytes.as_slice())?;
        let Some(places) = self.read(bytes.as_slice()) else { return Ok(false) };
        let matrices = self.weights().multiplied().zip(places).map(|(tensor, start)| {
            PackedMatrix::from_bytes(bytes.clone(), start, tensor.ty(), tensor.rows(), tensor.cols())
        });
        let Ok(matrices) = matrices.collect::<Result<Vec<_>>>() else { return Ok(false) };
        self.weights().multiplied().zip(matrices).for_each(|(tensor, matrix)| tensor.set_packed(matrix));
        // The first one loaded is the one in use.
        let _ = self.packed.set(bytes);
        Ok(true)
    }

    /// Packs all weights that are not packed yet, with the team. The observer is told of every matrix, in bytes of the file, and the
    /// interrupt is looked at within them, too: an error of kind [`Cancelled`](crate::ErrorKind::Cancelled); what is packed stays so.
    pub fn pack(&self, team: &Team, observer: &mut dyn Observer, interrupt: &Interrupt) -> Result<()> {
        let bytes = |tensor: &Tensor| tensor.range().len() as u64;
        let (mut done, total) = (0, self.weights().multiplied().map(bytes).sum());
        for tensor in self.weights().multiplied() {
            interrupt.check()?;
            tensor.packed(team, interrupt)?;
            done += bytes(tensor);
            observer.event(&Event::Progress { what: "packing", done, total });
        }
        interrupt.check()
    }

    /// Packs all weights that are not packed yet, with the team, and writes them to `path`, in place of another cache but of no other
    /// file: [`InvalidArgument`](crate::ErrorKind::InvalidArgument).
    pub fn save_packed(&self, team: &Team, path: &Path) -> Result<()> {
        if path.is_file() {
            check_cache(path, Bytes::open(path, LoadMode::Mmap)?.as_slice())?;
        }
        let whole = Interrupt::default();
        let packed = self.weights().multiplied().map(|tensor| tensor.packed(team, &whole));
        let matrices = packed.collect::<Result<Vec<_>>>()?;
        let key = self.cache_key();
        let mut end = 8 + 8 + key.len() as u64 + 8 + matrices.len() as u64 * FIELDS as u64 * 8;
        save_atomic(path, |out| {
            let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(|e| Error::io("writing packed weights", e));
            write(MAGIC)?;
            write(&(key.len() as u64).to_le_bytes())?;
            write(key.as_bytes())?;
            write(&(matrices.len() as u64).to_le_bytes())?;
            let head = end;
            for (tensor, matrix) in self.weights().multiplied().zip(&matrices) {
                let start = end.next_multiple_of(LINE);
                end = start + matrix.data().len() as u64;
                for field in description(tensor).into_iter().chain([start]) {
                    write(&field.to_le_bytes())?;
                }
            }
            let mut at = head;
            for matrix in &matrices {
                let gap = at.next_multiple_of(LINE) - at;
                write(&[0; LINE as usize][..gap as usize])?;
                write(matrix.data())?;
                at += gap + matrix.data().len() as u64;
            }
            Ok(())
        })
    }

    /// Where each matrix that is multiplied begins in `file`; `None` when it is not a cache of this model.
    fn read(&self, file: &[u8]) -> Option<Vec<usize>> {
        let key = self.cache_key();
        let rest = file.strip_prefix(MAGIC)?;
        let rest = rest.strip_prefix(&(key.len() as u64).to_le_bytes())?.strip_prefix(key.as_bytes())?;
        let (count, mut rest) = rest.split_first_chunk::<8>()?;
        if u64::from_le_bytes(*count) != self.weights().multiplied().count() as u64 {
            return None;
        }
        let mut places = Vec::new();
        for tensor in self.weights().multiplied() {
            for field in description(tensor) {
                rest = rest.strip_prefix(&field.to_le_bytes())?;
            }
            let (start, after) = rest.split_first_chunk::<8>()?;
            places.push(usize::try_from(u64::from_le_bytes(*start)).ok()?);
            rest = after;
        }
        Some(places)
    }

    /// What tells a model from another: its metadata and tensors, and size and time of its files, which stand for the
    /// weights themselves. Bytes that are no mapped file have no time, and are read as a whole.
    fn cache_key(&self) -> String {
        let mut key = self.fingerprint().to_owned();
        for file in self.files() {
            let modified = file.modified().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            let content = modified.map_or_else(|| digest(file.as_slice()), |t| t.as_nanos().to_string());
            key.push_str(&format!(" {} {content}", file.len()));
        }
        key
    }
}

/// A cache, whole or broken off, may be replaced.
fn check_cache(path: &Path, bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(MAGIC) || MAGIC.starts_with(bytes) {
        return Ok(());
    }
    Err(Error::invalid(format!("{path:?} holds something else than packed weights: name another file for them")))
}

/// A digest of `bytes` in four lanes of short parts, which the processor works on together: each step of one waits for its last.
fn digest(bytes: &[u8]) -> String {
    const PART: usize = 64;
    let mut lanes = [Fingerprint::new(); 4];
    for parts in bytes.chunks(lanes.len() * PART) {
        lanes.iter_mut().zip(parts.chunks(PART)).for_each(|(lane, part)| lane.add(part));
    }
    lanes.map(Fingerprint::hex).concat()
}

fn description(tensor: &Tensor) -> [u64; FIELDS - 1] {
    [tensor.ty() as u64, tensor.rows() as u64, tensor.cols() as u64, tensor.range().start as u64]
}
