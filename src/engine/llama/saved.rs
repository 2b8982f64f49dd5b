//! Branches with their KV as bytes: as our own engine writes them, with llama.cpp's bytes for the content of a page.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use ruminate_llama as llama;

use super::LlamaEngine;
use crate::engine::Branch;
use crate::engine::saved::{check_owner, put_owner, rotations};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{KvType, PAGE_TOKENS};
use crate::model::Config;
use crate::storage::wire::{get_raw, get_within, put_raw, put_u64};

/// Stands where our own engine writes the format of its pages.
const MARK: u64 = u64::from_le_bytes(*b"llamakv2");
/// Bytes of a page's content beside keys and values: a few numbers for each token and each layer.
const OVERHEAD: u64 = 1 << 20;

impl LlamaEngine {
    pub(super) fn save_branches(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        put_owner(out, &self.info.fingerprint, &self.shape(self.plain()?))?;
        self.kv.save(branches, out, &mut |piece, out| {
            let whole = piece.holders.iter().find(|(_, end)| *end >= piece.end);
            let (slot, _) = whole.ok_or_else(|| Error::new(ErrorKind::Internal, "KV that no branch holds"))?;
            parts(self.context.model(), piece.start..piece.end).try_for_each(|part| {
                let bytes = self.context.save(*slot, part.start, part.end)?;
                put_u64(out, bytes.len() as u64)?;
                put_raw(out, &bytes)
            })
        })
    }

    pub(super) fn load_branches(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        check_owner(input, &self.info.fingerprint, &self.shape(self.plain()?))?;
        let most = self.cell_bytes.saturating_mul(PAGE_TOKENS as u64).saturating_add(OVERHEAD);
        let Self { kv, context, info, .. } = self;
        let model = Arc::clone(context.model());
        let mut used: Vec<usize> = Vec::new();
        let loaded = kv.load(input, info.n_ctx, &mut |_, piece, input| {
            for (slot, _) in piece.holders.iter().filter(|(slot, _)| !used.contains(slot)).collect::<Vec<_>>() {
                // Whatever an earlier branch left there.
                context.cut(*slot, 0)?;
                used.push(*slot);
            }
            parts(&model, piece.start..piece.end).try_for_each(|part| {
                let mut bytes = vec![0; get_within(input, most, "the saved KV's page")? as usize];
                get_raw(input, &mut bytes)?;
                context.load(&bytes, part.start, part.end, piece.holders).map_err(|e| match e.kind() {
                    llama::ErrorKind::InvalidArgument => Error::format(e.to_string()),
                    _ => e.into(),
                })
            })
        });
        if loaded.is_err() {
            // A context that failed is refused by every later call too.
            used.iter().for_each(|&slot| drop(context.cut(slot, 0)));
        }
        loaded
    }

    /// What of llama.cpp's cells has to be alike.
    fn shape(&self, config: &Config) -> [u64; 5] {
        let kv = match self.kv_type {
            KvType::F16 => 0,
            KvType::Q8 => 1,
        };
        [MARK, kv, self.info.n_layer as u64, self.cell_bytes, rotations(&config.rope, self.info.n_ctx)]
    }

    /// llama.cpp keeps other things than keys and values in the cells of some architectures, all of which this library does not know.
    fn plain(&self) -> Result<&Config> {
        let unknown = "the KV of an architecture that this library does not know cannot be saved";
        self.model.config().map_err(|_| Error::unsupported(unknown))
    }
}

/// Runs that llama.cpp saves whole: it leaves out what lies behind a sliding window, seen from the run's end.
fn parts(model: &llama::Model, piece: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let len = model.window().unwrap_or(PAGE_TOKENS).min(PAGE_TOKENS);
    piece.clone().step_by(len).map(move |start| start..piece.end.min(start + len))
}
