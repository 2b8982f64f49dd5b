//! A run on disk, so that it goes on after the process is gone: the adapter, AdamW's means, and what the run was begun with.
//!
//! Little-endian: `RUMTRAN1`; the parameters as JSON, the base's fingerprint, the digest of the examples and that of the first adapter,
//! each a text behind its length; the steps done; then for the adapter and the two means every factor, A before B, as f32 behind its length.

use std::io::{Read, Write};
use std::path::Path;

use super::trainer::Trainer;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Adapter;
use crate::storage::save_atomic;
use crate::storage::wire::{get_raw, get_text, get_u64, get_within, put_raw, put_text, put_u64};

const MAGIC: &[u8; 8] = b"RUMTRAN1";
const MOST_TEXT: u64 = 1 << 16;

impl Trainer<'_> {
    /// Saves the run; the old file stays until the new one is whole. `data` names the examples, such as by a digest.
    pub fn save(&self, path: &Path, data: &str) -> Result<()> {
        let params = self.params_text()?;
        save_atomic(path, |out| {
            put_raw(out, MAGIC)?;
            for text in [&params, self.model.fingerprint(), data, &self.first_digest] {
                put_text(out, text)?;
            }
            put_u64(out, self.adamw.steps)?;
            [&self.adamw.adapter, &self.adamw.mean, &self.adamw.square]
                .into_iter()
                .try_for_each(|part| put_factors(out, part))
        })
    }

    /// Goes on where [`save`](Self::save) left off.
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a run of another model, of other examples or with other parameters,
    /// [`Format`](crate::ErrorKind::Format) for a damaged file; nothing has changed then.
    pub fn resume(&mut self, path: &Path, data: &str) -> Result<()> {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path.display(), e))?;
        let input: &mut dyn Read = &mut std::io::BufReader::new(file);
        self.read(input, data).map_err(|e| e.context(path.display()))
    }

    fn read(&mut self, input: &mut dyn Read, data: &str) -> Result<()> {
        let mut magic = [0; 8];
        get_raw(input, &mut magic)?;
        if &magic != MAGIC {
            return Err(Error::format("this is no state of a training run"));
        }
        let params = self.params_text()?;
        for (what, mine) in [
            ("parameters", params.as_str()),
            ("model", self.model.fingerprint()),
            ("examples", data),
            ("first adapter", &self.first_digest),
        ] {
            let theirs = get_text(input, MOST_TEXT, what)?;
            if theirs != mine {
                let message =
                    format!("a run with other {what}: {theirs}, not {mine}; give another file or the same {what}");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        }
        let mut new = self.adamw.clone();
        new.steps = get_within(input, self.steps(), "the steps")?;
        for part in [&mut new.adapter, &mut new.mean, &mut new.square] {
            get_factors(input, part)?;
        }
        if input.read(&mut [0; 1]).map_err(|e| Error::io("reading", e))? != 0 {
            return Err(Error::format("the file goes on where it should end"));
        }
        self.adamw = new;
        Ok(())
    }

    fn params_text(&self) -> Result<String> {
        serde_json::to_string(&self.params).map_err(|e| Error::new(ErrorKind::Internal, format!("the parameters: {e}")))
    }
}

fn put_factors(out: &mut dyn Write, adapter: &Adapter) -> Result<()> {
    for (_, _, lora) in adapter.iter() {
        for factor in [&lora.a, &lora.b] {
            put_u64(out, factor.len() as u64)?;
            put_raw(out, bytemuck::cast_slice(factor))?;
        }
    }
    Ok(())
}

fn get_factors(input: &mut dyn Read, adapter: &mut Adapter) -> Result<()> {
    for lora in adapter.iter_mut() {
        for factor in [&mut lora.a, &mut lora.b] {
            if get_u64(input)? != factor.len() as u64 {
                return Err(Error::format("a factor of another size"));
            }
            get_raw(input, bytemuck::cast_slice_mut(factor))?;
            if factor.iter().any(|x| !x.is_finite()) {
                return Err(Error::format("a factor holds NaN or infinity"));
            }
        }
    }
    Ok(())
}
