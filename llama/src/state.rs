//! Keys and values of a run of tokens as bytes.

use llama_cpp_sys_2 as sys;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::check;
use crate::log;

impl Context {
    /// The keys and values of the tokens of `sequence` at the positions `start` to `end`, which it must hold, for [`load`](Self::load).
    /// [`ErrorKind::Unsupported`] for a network whose cells are not plain ones, and for a run longer than its sliding window.
    pub fn save(&self, sequence: usize, start: usize, end: usize) -> Result<Vec<u8>> {
        self.check_sequence(sequence)?;
        let (first, last) = (position(start)?, position(end)?);
        let scratch = self.scratch_sequence();
        // SAFETY: both sequences are in range; the run is taken away again below, so that nothing has changed after the call.
        unsafe { sys::llama_memory_seq_cp(self.memory(), sequence as i32, scratch, first, last) };
        // SAFETY: the sequence is in range, and the buffer as long as is said.
        let (bytes, errors) = log::with_errors(|| unsafe {
            let mut bytes = vec![0u8; sys::llama_state_seq_get_size(self.raw(), scratch)];
            let written = sys::llama_state_seq_get_data(self.raw(), bytes.as_mut_ptr(), bytes.len(), scratch);
            bytes.truncate(written);
            bytes
        });
        self.clear_scratch();
        if bytes.is_empty() {
            return Err(Error::new(ErrorKind::Failed, format!("llama.cpp cannot save KV: {errors}")));
        }
        check(&bytes, start, end).map_err(|fault| {
            Error::new(ErrorKind::Unsupported, format!("KV of this network cannot be saved: {fault}"))
        })?;
        Ok(bytes)
    }

    /// Takes what [`save`](Self::save) gave for `start` to `end` into cells, and makes them tokens of the sequences in `to`, of each up
    /// to the position beside it. Errors: [`ErrorKind::InvalidArgument`] for other bytes, [`ErrorKind::Memory`] when llama.cpp does not
    /// take them, for want of cells or because they are of another network or another way of keeping them.
    pub fn load(&mut self, bytes: &[u8], start: usize, end: usize, to: &[(usize, usize)]) -> Result<()> {
        to.iter().try_for_each(|(sequence, _)| self.check_sequence(*sequence))?;
        let first = position(start)?;
        check(bytes, start, end).map_err(|fault| Error::invalid(format!("the saved KV is damaged: {fault}")))?;
        let scratch = self.scratch_sequence();
        // SAFETY: the bytes live during the call and say of themselves what they are; the sequence is in range.
        let (read, errors) = log::with_errors(|| unsafe {
            sys::llama_state_seq_set_data(self.raw(), bytes.as_ptr(), bytes.len(), scratch)
        });
        if read == bytes.len() {
            for &(sequence, end_of) in to {
                let last = position(end_of.min(end))?;
                // SAFETY: both sequences are in range.
                unsafe { sys::llama_memory_seq_cp(self.memory(), scratch, sequence as i32, first, last) };
                self.keep(sequence);
            }
        }
        self.clear_scratch();
        if read != bytes.len() {
            return Err(Error::new(ErrorKind::Memory, format!("llama.cpp does not take the saved KV: {errors}")));
        }
        Ok(())
    }

    fn clear_scratch(&self) {
        // SAFETY: the sequence is in range; only `save` and `load` use it, and both leave it empty.
        unsafe { sys::llama_memory_seq_rm(self.memory(), self.scratch_sequence(), -1, -1) };
    }
}

fn position(at: usize) -> Result<i32> {
    i32::try_from(at).map_err(|_| Error::invalid("too long"))
}
