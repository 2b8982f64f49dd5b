//! A deterministic engine for tests: logits are a hash of the last tokens and the position, KV is a counted tree.
//!
//! Its texts reason a little and end: words and numbers, then `#### n`, then a line end or the end of text, so that every
//! rule of a search is met. It keeps the trait's promises exactly, and can be told to fail at a given pass.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::Duration;

use crate::engine::{Batch, Branch, Engine, MemoryReport, ModelInfo, Rows, Tap};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::row_logit_blocks;
use crate::observe::CancelToken;
use crate::simd::Isa;
use crate::storage::wire::{get_u64, put_u64};
use crate::text::TokenId;

/// Token texts; the last is the end of text.
pub(crate) const WORDS: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", " so", " eggs", " +", "\n", "#### ", "</s>"];
pub(crate) const NEWLINE: TokenId = 13;
pub(crate) const MARK: TokenId = 14;
pub(crate) const EOG: TokenId = 15;
/// KV bytes of one token.
pub(crate) const TOKEN_BYTES: u64 = 10;
/// Bytes of a pass's buffers for each of its tokens, which stay until the engine is trimmed.
pub(crate) const SCRATCH_BYTES: u64 = 20;
/// Width of a hidden state.
pub(crate) const N_EMBD: usize = 4;
pub(crate) const N_LAYER: usize = 2;

/// What goes wrong, counted in forward passes from 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Cancels this token during that pass, which then gives up.
    pub cancel_at: Option<(usize, CancelToken)>,
    /// All logits of that pass are NaN.
    pub nan_at: Option<usize>,
    /// Every pass takes this long.
    pub pace: Duration,
    /// Never ends a text.
    pub endless: bool,
}

/// One token's KV; shared by every branch that runs through it.
struct Cell {
    parent: usize,
    token: TokenId,
    depth: usize,
    refs: usize,
}

/// The logits behind a path of tokens.
pub(crate) type Rule = Box<dyn Fn(&[TokenId]) -> Vec<f32> + Send>;

pub(crate) struct ToyEngine {
    info: ModelInfo,
    pub faults: Faults,
    /// Logits by the whole path, in place of the hash.
    pub rule: Option<Rule>,
    pub passes: usize,
    /// The most branches in one pass.
    pub widest: usize,
    /// Tokens computed in all.
    pub computed: u64,
    cells: HashMap<usize, Cell>,
    next_cell: usize,
    /// The last cell of each branch, 0 for none, by serial number.
    tips: HashMap<u64, usize>,
    next_serial: u64,
    kv_peak: u64,
    kv_limit: u64,
    scratch: u64,
}

impl ToyEngine {
    pub fn new(n_ctx: usize, free_width: usize) -> Self {
        let info = ModelInfo {
            architecture: "toy".into(),
            name: "toy".into(),
            fingerprint: String::new(),
            n_vocab: WORDS.len(),
            n_embd: N_EMBD,
            n_layer: N_LAYER,
            n_ctx,
            n_ctx_train: n_ctx,
            free_width,
        };
        Self {
            info,
            faults: Faults::default(),
            rule: None,
            passes: 0,
            widest: 0,
            computed: 0,
            cells: HashMap::new(),
            next_cell: 1,
            tips: HashMap::new(),
            next_serial: 1,
            kv_peak: 0,
            kv_limit: u64::MAX,
            scratch: 0,
        }
    }

    /// One of a vocabulary of `n_vocab` tokens with logits by `rule`.
    pub fn ruled(n_ctx: usize, free_width: usize, n_vocab: usize, rule: Rule) -> Self {
        let plain = Self::new(n_ctx, free_width);
        Self { info: ModelInfo { n_vocab, ..plain.info.clone() }, rule: Some(rule), ..plain }
    }

    /// Branches that were not given back.
    pub fn alive(&self) -> usize {
        self.tips.len()
    }

    fn kv(&self) -> u64 {
        self.cells.len() as u64 * TOKEN_BYTES
    }

    fn tip(&self, branch: &Branch) -> Result<usize> {
        self.tips.get(&branch.serial).copied().ok_or_else(|| Error::invalid("no such branch"))
    }

    fn open(&mut self, tip: usize) -> Branch {
        if let Some(cell) = self.cells.get_mut(&tip) {
            cell.refs += 1;
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        self.tips.insert(serial, tip);
        Branch { slot: 0, serial }
    }

    /// One hold less on `tip`; cells that nobody holds are freed.
    fn let_go(&mut self, mut tip: usize) {
        while let Some(cell) = self.cells.get_mut(&tip) {
            cell.refs -= 1;
            if cell.refs > 0 {
                return;
            }
            let parent = cell.parent;
            self.cells.remove(&tip);
            tip = parent;
        }
    }

    fn depth(&self, tip: usize) -> usize {
        self.cells.get(&tip).map_or(0, |cell| cell.depth)
    }

    fn append(&mut self, branch: &Branch, token: TokenId) -> Result<usize> {
        let tip = self.tip(branch)?;
        let cell = self.next_cell;
        self.next_cell += 1;
        // The branch's hold on its old tip becomes the new cell's hold on its parent.
        self.cells.insert(cell, Cell { parent: tip, token, depth: self.depth(tip) + 1, refs: 1 });
        self.tips.insert(branch.serial, cell);
        Ok(cell)
    }

    /// The last three tokens of a path, the last first; 99 where there are none.
    fn trigram(&self, tip: usize) -> [TokenId; 3] {
        let mut at = tip;
        [(); 3].map(|()| {
            let (token, parent) = self.cells.get(&at).map_or((99, 0), |cell| (cell.token, cell.parent));
            at = parent;
            token
        })
    }

    /// Numbers from -1 to 1 that depend on the tap, the last three tokens and the position.
    fn hidden(&self, tip: usize, tap: Tap) -> [f32; N_EMBD] {
        let layer = match tap {
            Tap::Layer(i) => i as u64 + 1,
            Tap::Final => 0,
        };
        let seed = gram(self.trigram(tip)) * 4096 + self.depth(tip) as u64;
        let mut entry = 0;
        [(); N_EMBD].map(|()| {
            entry += 1;
            (hash(seed * 64 + layer * 8 + entry) % 2001) as f32 / 1000.0 - 1.0
        })
    }

    /// The tokens from the root to `tip`.
    fn path(&self, tip: usize) -> Vec<TokenId> {
        let cells = std::iter::successors(self.cells.get(&tip), |cell| self.cells.get(&cell.parent));
        let mut path: Vec<TokenId> = cells.map(|cell| cell.token).collect();
        path.reverse();
        path
    }

    fn logits(&self, tip: usize) -> Vec<f32> {
        if let Some(rule) = &self.rule {
            return rule(&self.path(tip));
        }
        let path @ [last, before, third] = self.trigram(tip);
        let depth = self.depth(tip) as u64;
        let mut logits: Vec<f32> =
            (0..WORDS.len() as u64).map(|next| (hash(gram(path) * 64 + next) % 1000) as f32 / 250.0).collect();
        let digit = |t: TokenId| t < 10;
        if last == MARK {
            // Answers lean towards one number.
            logits[..10].iter_mut().for_each(|x| *x += 8.0);
            logits[7] += 2.5;
        } else if digit(last) && (before == MARK || (digit(before) && third == MARK)) {
            logits[NEWLINE as usize] += 6.0;
            logits[EOG as usize] += 6.0;
        } else {
            logits[EOG as usize] -= 1.0;
            logits[MARK as usize] += if depth > 12 { 2.5 } else { -2.0 };
        }
        if self.faults.endless {
            logits[EOG as usize] = f32::NEG_INFINITY;
            logits[MARK as usize] = f32::NEG_INFINITY;
        }
        logits
    }
}

fn gram([last, before, third]: [TokenId; 3]) -> u64 {
    u64::from(last) * 31 + u64::from(before) * 977 + u64::from(third) * 7919
}

fn hash(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Engine for ToyEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn root(&mut self) -> Result<Branch> {
        Ok(self.open(0))
    }

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        let tip = self.tip(at)?;
        Ok(self.open(tip))
    }

    fn len(&self, branch: &Branch) -> usize {
        self.tip(branch).map_or(0, |tip| self.depth(tip))
    }

    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()> {
        let mut tip = self.tip(branch)?;
        while self.depth(tip) > len {
            tip = self.cells.get(&tip).map_or(0, |cell| cell.parent);
        }
        if let Some(cell) = self.cells.get_mut(&tip) {
            cell.refs += 1;
        }
        if let Some(old) = self.tips.insert(branch.serial, tip) {
            self.let_go(old);
        }
        Ok(())
    }

    fn release(&mut self, branch: Branch) {
        if let Some(tip) = self.tips.remove(&branch.serial) {
            self.let_go(tip);
        }
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        let pass = self.passes;
        self.passes += 1;
        std::thread::sleep(self.faults.pace);
        if let Some((_, token)) = self.faults.cancel_at.as_ref().filter(|(at, _)| *at == pass) {
            token.cancel();
        }
        batch.interrupt.check()?;
        let hidden_width = batch.hidden_width(N_EMBD, N_LAYER)?;
        if self.kv() + batch.len() as u64 * TOKEN_BYTES > self.kv_limit {
            return Err(Error::new(ErrorKind::Memory, "the toy's KV is full"));
        }
        let mut extra: HashMap<u64, usize> = HashMap::new();
        for item in &batch.items {
            *extra.entry(item.branch.serial).or_default() += 1;
            if self.len(item.branch) + extra[&item.branch.serial] > self.info.n_ctx {
                return Err(Error::new(ErrorKind::ContextLength, "the toy's context is full"));
            }
        }
        self.scratch = self.scratch_of(batch);
        self.widest = self.widest.max(extra.len());
        self.computed += batch.len() as u64;
        rows.clear(self.info.n_vocab, hidden_width);
        for item in &batch.items {
            let cell = self.append(item.branch, item.token)?;
            if item.want.logits() {
                let (logits, blocks) = rows.add_logits(1);
                if self.faults.nan_at == Some(pass) {
                    logits.fill(f32::NAN);
                } else {
                    logits.copy_from_slice(&self.logits(cell));
                }
                row_logit_blocks(Isa::detect(), logits, blocks);
            }
            if item.want.hidden() {
                for &tap in batch.taps {
                    let state = self.hidden(cell, tap);
                    rows.hidden.extend_from_slice(&state);
                }
            }
        }
        self.kv_peak = self.kv_peak.max(self.kv());
        Ok(())
    }

    fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        put_u64(out, branches.len() as u64)?;
        for branch in branches {
            let mut path = Vec::new();
            let mut tip = self.tip(branch)?;
            while let Some(cell) = self.cells.get(&tip) {
                path.push((tip, cell.token));
                tip = cell.parent;
            }
            put_u64(out, path.len() as u64)?;
            for (cell, token) in path.into_iter().rev() {
                put_u64(out, cell as u64)?;
                put_u64(out, u64::from(token))?;
            }
        }
        Ok(())
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        let mut here: HashMap<u64, usize> = HashMap::new();
        let mut branches: Vec<Branch> = Vec::new();
        let mut load = |branches: &mut Vec<Branch>| -> Result<()> {
            for _ in 0..get_u64(input)? {
                let branch = self.root()?;
                branches.push(Branch { slot: 0, serial: branch.serial });
                for _ in 0..get_u64(input)? {
                    let (cell, token) = (get_u64(input)?, get_u64(input)? as TokenId);
                    // A cell that another branch brought along is shared with it.
                    match here.get(&cell).copied() {
                        Some(known) => {
                            let old = self.tip(&branch)?;
                            let shared = self.open(known);
                            self.tips.remove(&shared.serial);
                            self.tips.insert(branch.serial, known);
                            self.let_go(old);
                        }
                        None => {
                            here.insert(cell, self.append(&branch, token)?);
                        }
                    }
                }
            }
            Ok(())
        };
        match load(&mut branches) {
            Ok(()) => Ok(branches),
            Err(error) => {
                branches.into_iter().for_each(|branch| self.release(branch));
                Err(error)
            }
        }
    }

    fn memory(&self) -> MemoryReport {
        let (kv, kv_peak, kv_limit, scratch) = (self.kv(), self.kv_peak, self.kv_limit, self.scratch);
        MemoryReport { kv, kv_peak, kv_limit, scratch, ..MemoryReport::default() }
    }

    fn scratch_of(&self, batch: &Batch<'_>) -> u64 {
        self.scratch.max(batch.len() as u64 * SCRATCH_BYTES)
    }

    fn trim(&mut self) {
        self.scratch = 0;
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        self.kv_limit = bytes;
    }

    fn set_free_width(&mut self, width: usize) {
        self.info.free_width = width.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Want;
    use crate::observe::Interrupt;

    #[test]
    fn hidden_states_depend_on_the_path_and_the_tap() {
        let mut toy = ToyEngine::new(64, 4);
        let mut rows = Rows::new();
        let (a, b) = (toy.root().unwrap(), toy.root().unwrap());
        let taps = [Tap::Final, Tap::Layer(1), Tap::Final];
        let mut batch = Batch::default().with_taps(&taps);
        batch.extend(&a, &[1, 2], Want::Hidden);
        batch.extend(&b, &[1, 2], Want::Hidden);
        batch.push(&b, 2, Want::Both);
        toy.forward(&batch, &mut rows).unwrap();
        let row = rows.hidden(0).unwrap().to_vec();
        assert_eq!((row.len(), rows.hidden(1)), (3 * N_EMBD, Some(row.as_slice())));
        assert_eq!(row[..N_EMBD], row[2 * N_EMBD..]);
        assert!(row[..N_EMBD] != row[N_EMBD..2 * N_EMBD] && rows.hidden(2) != Some(row.as_slice()));
        assert!(rows.hidden(3).is_none());
        let mut batch = Batch::default().with_taps(&[Tap::Layer(N_LAYER)]);
        batch.push(&a, 1, Want::Hidden);
        assert_eq!(toy.forward(&batch, &mut rows).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(toy.len(&a), 2);
    }

    #[test]
    fn forks_share_their_prefix_and_release_frees_it() {
        let mut toy = ToyEngine::new(64, 4);
        let mut rows = Rows::new();
        let root = toy.root().unwrap();
        let interrupt = Interrupt::default();
        let mut batch = Batch::new(&interrupt);
        batch.extend(&root, &[1, 2, 3], Want::None);
        toy.forward(&batch, &mut rows).unwrap();
        let (a, mut b) = (toy.fork(&root).unwrap(), toy.fork(&root).unwrap());
        let mut batch = Batch::new(&interrupt);
        batch.push(&a, 4, Want::Logits);
        batch.push(&b, 4, Want::Logits);
        toy.forward(&batch, &mut rows).unwrap();
        assert_eq!(rows.logits(0), rows.logits(1), "equal paths, equal logits");
        assert_eq!((toy.len(&a), toy.len(&root)), (4, 3));
        assert_eq!(toy.memory().kv, 5 * TOKEN_BYTES);
        toy.truncate(&mut b, 2).unwrap();
        assert_eq!((toy.len(&b), toy.memory().kv), (2, 4 * TOKEN_BYTES));
        for branch in [root, a, b] {
            toy.release(branch);
        }
        assert_eq!((toy.memory().kv, toy.alive()), (0, 0));
    }
}
