//! Branches with their KV as bytes: whole pages, as they lie in memory.

use std::io::{Read, Write};

use super::NativeEngine;
use crate::engine::Branch;
use crate::engine::saved::{check_owner, put_owner, rotations};
use crate::error::Result;
use crate::kernels::KvType;
use crate::storage::wire::{get_raw, put_raw};

/// The order of a file's parts, told from others that were or will be, and from llama.cpp's.
const MARK: u64 = u64::from_le_bytes(*b"ownkv\0\0\x03");

impl NativeEngine {
    pub(super) fn save_branches(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        put_owner(out, &self.info.fingerprint, &self.shape())?;
        let pages = self.kv.pages();
        self.kv.save(branches, out, &mut |piece, out| put_raw(out, pages.bytes(piece.page)))
    }

    pub(super) fn load_branches(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        check_owner(input, &self.info.fingerprint, &self.shape())?;
        self.kv.load(input, self.info.n_ctx, &mut |pages, piece, input| get_raw(input, pages.bytes_mut(piece.page)))
    }

    /// What of our pages has to be alike.
    fn shape(&self) -> [u64; 6] {
        let layout = self.kv.pages().layout();
        let ty = match layout.ty {
            KvType::F16 => 0,
            KvType::Q8 => 1,
        };
        let sizes = [layout.n_layer, layout.n_head_kv, layout.head_dim].map(|n| n as u64);
        [MARK, ty, sizes[0], sizes[1], sizes[2], rotations(&self.model.config().rope, self.info.n_ctx)]
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::engine::native::NativeOptions;
    use crate::engine::{Batch, Engine, Rows, Want};
    use crate::error::ErrorKind;
    use crate::gguf::Gguf;
    use crate::limits::Limits;
    use crate::model::Model;
    use crate::observe::Interrupt;
    use crate::storage::LoadMode;

    #[test]
    fn keys_of_other_rotations_are_refused() {
        // Short factors up to 256 tokens of context, long ones beyond.
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/phi3_longrope.gguf");
        let gguf = Gguf::open(&path, LoadMode::Read, &Limits::default()).unwrap();
        let model = Arc::new(Model::load(&gguf, &Limits::default()).unwrap());
        let engine = |n_ctx| {
            let options = NativeOptions { threads: 1, n_ctx: Some(n_ctx), ..NativeOptions::default() };
            NativeEngine::new(Arc::clone(&model), &options).unwrap()
        };
        let mut short = engine(256);
        let branch = short.root().unwrap();
        let mut batch = Batch::new(&Interrupt::default());
        batch.extend(&branch, &[1, 2, 3], Want::None);
        short.forward(&batch, &mut Rows::new()).unwrap();
        let mut bytes = Vec::new();
        short.save(&[&branch], &mut bytes).unwrap();
        let mut shorter = engine(128);
        let loaded = shorter.load(&mut bytes.as_slice()).unwrap();
        assert_eq!(shorter.len(&loaded[0]), 3);
        assert_eq!(engine(257).load(&mut bytes.as_slice()).unwrap_err().kind(), ErrorKind::Format);
    }
}
