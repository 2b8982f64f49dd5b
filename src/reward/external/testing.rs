//! An engine whose rows are hashes of the path, so that another program can compute them too, and that notes every prefix it
//! computes.

use std::collections::HashMap;

use crate::engine::toy::{Faults, ToyEngine};
use crate::engine::{Batch, Branch, Engine, MemoryReport, ModelInfo, Rows, Tap, Want};
use crate::error::Result;
use crate::kernels::row_logit_blocks;
use crate::simd::Isa;
use crate::text::TokenId;

pub(crate) const N_EMBD: usize = 8;

pub(crate) struct HashedEngine {
    /// Keeps the branches, their KV and its cap.
    toy: ToyEngine,
    info: ModelInfo,
    salt: u64,
    /// The tokens of each branch, by serial number.
    paths: HashMap<u64, Vec<TokenId>>,
    /// How often each prefix was computed.
    pub computed: HashMap<Vec<TokenId>, usize>,
}

impl HashedEngine {
    /// `salt` tells models apart.
    pub fn new(n_vocab: usize, salt: u64) -> Self {
        let toy = ToyEngine::new(100_000, 8);
        let info = ModelInfo { n_vocab, n_embd: N_EMBD, fingerprint: "hashed".into(), ..toy.info().clone() };
        Self { toy, info, salt, paths: HashMap::new(), computed: HashMap::new() }
    }

    pub fn set_context(&mut self, n_ctx: usize) {
        let kv = self.toy.memory();
        assert_eq!(kv.kv, 0, "a new toy");
        self.toy = ToyEngine::new(n_ctx, 8);
        self.info.n_ctx = n_ctx;
    }

    pub fn faults(&mut self) -> &mut Faults {
        &mut self.toy.faults
    }

    /// Branches that were not given back.
    pub fn alive(&self) -> usize {
        self.toy.alive()
    }

    fn state(&self, path: &[TokenId]) -> u64 {
        let start = 0x9E37_79B9_7F4A_7C15 ^ self.salt;
        path.iter().fold(start, |h, &token| {
            let h = (h ^ u64::from(token)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            h ^ (h >> 29)
        })
    }
}

fn entry(state: u64, j: usize) -> f32 {
    let x = state.wrapping_add((j as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let x = x ^ (x >> 31);
    ((x >> 11) % 4001) as f32 - 2000.0
}

/// From -5 to 5; in one row of four from -300 to 300, where a softmax in single precision gives zero.
pub(crate) fn logit(state: u64, j: usize) -> f32 {
    entry(state, j) / 400.0 * if state.is_multiple_of(4) { 60.0 } else { 1.0 }
}

impl Engine for HashedEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn root(&mut self) -> Result<Branch> {
        let branch = self.toy.root()?;
        self.paths.insert(branch.serial, Vec::new());
        Ok(branch)
    }

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        let branch = self.toy.fork(at)?;
        self.paths.insert(branch.serial, self.paths[&at.serial].clone());
        Ok(branch)
    }

    fn len(&self, branch: &Branch) -> usize {
        self.toy.len(branch)
    }

    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()> {
        self.toy.truncate(branch, len)?;
        self.paths.get_mut(&branch.serial).unwrap().truncate(len);
        Ok(())
    }

    fn release(&mut self, branch: Branch) {
        self.paths.remove(&branch.serial);
        self.toy.release(branch);
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        let hidden_width = batch.hidden_width(N_EMBD, self.info.n_layer)?;
        let mut plain = Batch::new(&batch.interrupt);
        batch.items.iter().for_each(|item| plain.push(item.branch, item.token, Want::None));
        self.toy.forward(&plain, rows)?;
        rows.clear(self.info.n_vocab, hidden_width);
        for item in &batch.items {
            let path = self.paths.get_mut(&item.branch.serial).unwrap();
            path.push(item.token);
            let path = path.clone();
            let state = self.state(&path);
            *self.computed.entry(path).or_default() += 1;
            if item.want.logits() {
                let (logits, blocks) = rows.add_logits(1);
                logits.iter_mut().enumerate().for_each(|(j, x)| *x = logit(state, j));
                row_logit_blocks(Isa::detect(), logits, blocks);
            }
            if item.want.hidden() {
                for tap in batch.taps {
                    assert_eq!(*tap, Tap::Final);
                    rows.hidden.extend((0..N_EMBD).map(|j| entry(state, j) / 1000.0));
                }
            }
        }
        Ok(())
    }

    fn memory(&self) -> MemoryReport {
        self.toy.memory()
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        self.toy.set_kv_limit(bytes);
    }

    fn set_free_width(&mut self, width: usize) {
        self.toy.set_free_width(width);
    }
}
