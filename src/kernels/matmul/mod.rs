//! Products of quantized matrices with columns of inputs.
//!
//! An output is the same sequence of operations whatever the number of columns, of threads, or the split of rows, so a
//! branch decoded alone and among others gives the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod panel;
mod scalar;
mod unpack;

use super::{Activations, MatrixView};
use crate::error::{Error, Result};
use crate::exec::{Shards, Team};
use crate::simd::Isa;
use std::ops::Range;

/// Rows of one part begin at multiples of this, so that threads do not write to one cache line.
const ROW_STEP: usize = 16;
/// Products below which waking the team costs more than it saves.
const SERIAL_PRODUCTS: usize = 1 << 15;

/// `out[column][row] = w[row] . input[column]` for every column of `acts`.
///
/// `acts` must have been quantized for the format of `w`, with `w.cols()` inputs per column; `out` holds
/// `acts.n() * w.rows()` values.
pub fn matmul(team: &Team, isa: Isa, w: &MatrixView<'_>, acts: &Activations, out: &mut [f32]) -> Result<()> {
    let job = Job::new(w, acts, out)?;
    let steps = w.rows().div_ceil(ROW_STEP);
    let products = w.rows().saturating_mul(w.cols()).saturating_mul(acts.n());
    let parts = if products < SERIAL_PRODUCTS { 1 } else { team.threads().min(steps) };
    team.run(parts, &|part| {
        let edge = |part: usize| (steps * part / parts * ROW_STEP).min(w.rows());
        job.rows(isa, edge(part)..edge(part + 1));
    });
    Ok(())
}

/// One checked product. Disjoint ranges of rows may be computed at the same time.
struct Job<'a> {
    w: &'a MatrixView<'a>,
    acts: &'a Activations,
    out: Shards<'a, f32>,
}

impl<'a> Job<'a> {
    fn new(w: &'a MatrixView<'a>, acts: &'a Activations, out: &'a mut [f32]) -> Result<Self> {
        if acts.k() != w.cols() || !acts.is_ready(w.ty()) {
            let (k, cols, ty) = (acts.k(), w.cols(), w.ty());
            return Err(Error::invalid(format!("{k} inputs were not prepared for rows of {cols} in {ty:?}")));
        }
        if w.rows().checked_mul(acts.n()) != Some(out.len()) {
            let (len, n, rows) = (out.len(), acts.n(), w.rows());
            return Err(Error::invalid(format!("{len} outputs for {n} columns of {rows} rows")));
        }
        Ok(Self { w, acts, out: Shards::new(out) })
    }

    fn rows(&self, isa: Isa, rows: Range<usize>) {
        match isa {
            Isa::Scalar => scalar::rows(self, rows),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(token) => avx2::rows(token, self, rows),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(token) => avx2::rows(token.avx2(), self, rows),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(token) => avx2::rows(token.avx2(), self, rows),
        }
    }

    #[inline(always)]
    fn put(&self, row: usize, column: usize, value: f32) {
        let at = column * self.w.rows() + row;
        // SAFETY: `matmul` gives every part its own rows, so no other part writes this element.
        if let [out] = unsafe { self.out.range(at..at + 1) } {
            *out = value;
        }
    }
}

#[cfg(test)]
mod tests;
