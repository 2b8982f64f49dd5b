//! Sequences of a context: forked, cut back, and kept whole.
//!
//! llama.cpp gives away a cell that one sequence alone holds once no layer with a sliding window looks back to it (`find_slot` of its KV
//! cache), and with it all earlier ones of that sequence, which then could neither be cut back nor saved. Cells of two sequences it
//! keeps. So, on networks with such layers, every sequence has a twin, which holds its tokens before any of them leaves the window.

use llama_cpp_sys_2 as sys;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// Sequences that llama.cpp can tell apart (LLAMA_MAX_SEQ), for which its unified caches have room whatever a context asks for.
const ALL: usize = 256;
/// Sequences of one context: one of all is kept for saving and loading. On networks with sliding windows see
/// [`Model::max_sequences`].
pub const MAX_SEQUENCES: usize = ALL - 1;

/// The twins of a context's sequences.
#[derive(Debug)]
pub(crate) struct Twins {
    window: usize,
    /// For each sequence, how many of its tokens its twin holds.
    held: Vec<usize>,
}

impl Twins {
    /// Those of a context with so many sequences; `None` where llama.cpp gives no cells away.
    pub(crate) fn new(model: &Model, n_sequences: usize) -> Option<Self> {
        model.window().map(|window| Self { window, held: vec![0; n_sequences] })
    }
}

impl Model {
    /// Sequences of one context, at most: half as many where layers have a sliding window, since each then takes two of llama.cpp's.
    pub fn max_sequences(&self) -> usize {
        if self.window().is_some() { MAX_SEQUENCES / 2 } else { MAX_SEQUENCES }
    }
}

impl Context {
    /// Makes all tokens of sequence `from` also tokens of `to`, which must be empty. No KV is copied.
    pub fn fork(&mut self, from: usize, to: usize) -> Result<()> {
        self.check_sequence(from)?;
        self.check_sequence(to)?;
        // SAFETY: both sequences are in range.
        unsafe { sys::llama_memory_seq_cp(self.memory(), from as i32, to as i32, -1, -1) };
        self.keep(to);
        Ok(())
    }

    /// Cuts a sequence back to its first `len` tokens. [`ErrorKind::Unsupported`] for a recurrent state, which cannot be cut there.
    pub fn cut(&mut self, sequence: usize, len: usize) -> Result<()> {
        self.check_sequence(sequence)?;
        let first = i32::try_from(len).map_err(|_| Error::invalid("too long"))?;
        let (memory, twin) = (self.memory(), self.twin(sequence));
        // SAFETY: the sequence is in range.
        if !unsafe { sys::llama_memory_seq_rm(memory, sequence as i32, first, -1) } {
            let message = "this model's recurrent state cannot be cut back to an earlier token";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if let Some(held) = self.twins.as_mut().and_then(|twins| twins.held.get_mut(sequence)) {
            // SAFETY: below LLAMA_MAX_SEQ.
            unsafe { sys::llama_memory_seq_rm(memory, twin, first, -1) };
            *held = len.min(*held);
        }
        Ok(())
    }

    /// Has the twin of `sequence` hold its tokens before llama.cpp gives one away. To be called after whatever added some.
    pub(crate) fn keep(&mut self, sequence: usize) {
        let (memory, twin) = (self.memory(), self.twin(sequence));
        let Some(twins) = &mut self.twins else { return };
        let Some(held) = twins.held.get_mut(sequence) else { return };
        // SAFETY: the sequence is in range; -1 for an empty one.
        let end = usize::try_from(unsafe { sys::llama_memory_seq_pos_max(memory, sequence as i32) } + 1).unwrap_or(0);
        // While both lie between the same multiples of the window, the next token still sees all that the twin does not hold, also
        // where windows are chunks.
        if end / twins.window > *held / twins.window {
            // SAFETY: both sequences are below LLAMA_MAX_SEQ; the twin holds none of these positions.
            unsafe { sys::llama_memory_seq_cp(memory, sequence as i32, twin, *held as i32, end as i32) };
            *held = end;
        }
    }

    /// The sequence that stands behind those of the caller.
    pub(crate) fn scratch_sequence(&self) -> i32 {
        self.n_outputs() as i32
    }

    /// Behind that one, in the order of the caller's.
    fn twin(&self, sequence: usize) -> i32 {
        (self.n_outputs() + 1 + sequence) as i32
    }

    pub(crate) fn check_sequence(&self, sequence: usize) -> Result<()> {
        self.check()?;
        let n = self.n_outputs();
        if sequence < n {
            return Ok(());
        }
        Err(Error::invalid(format!("sequence {sequence} of {n}")))
    }
}
