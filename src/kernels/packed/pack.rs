//! From the file's rows of blocks to groups: words of quants are transposed as they are, factors gathered.

use super::{GROUP_ROWS, GroupLayout, quant_words};
use crate::error::Result;
use crate::exec::Team;
use crate::kernels::MatrixView;
use crate::quant::QuantType::{self, *};
use crate::quant::{BlockIQ4_XS, BlockQ3_K, q4_k};
use std::ops::Range;

/// Bytes of the file that are packed between two calls of `go_on`: enough to keep all threads busy, and milliseconds of work.
const STEP_BYTES: usize = 4 << 20;

/// Fills `out`, zeros so far, with the groups of `w`, and tells `go_on` which of its bytes are not needed any more; its error
/// ends the work.
pub(super) fn groups(
    team: &Team,
    w: &MatrixView<'_>,
    layout: &GroupLayout,
    out: &mut [u8],
    go_on: &mut dyn FnMut(Range<usize>) -> Result<()>,
) -> Result<()> {
    let row_bytes = w.row(0).len().max(1);
    let step = (STEP_BYTES / (GROUP_ROWS * row_bytes)).max(1);
    for (i, out) in out.chunks_mut(step * layout.group.max(1)).enumerate() {
        let start = i * step * GROUP_ROWS;
        team.for_each_chunk_mut(out, layout.group, |group, out| {
            let first = start + group * GROUP_ROWS;
            for r in 0..GROUP_ROWS.min(w.rows().saturating_sub(first)) {
                row(w.ty(), w.row(first + r), r, layout, out);
            }
        });
        go_on(start * row_bytes..(start + step * GROUP_ROWS).min(w.rows()) * row_bytes)?;
    }
    Ok(())
}

/// One row of blocks into place `r` of its group.
fn row(ty: QuantType, blocks: &[u8], r: usize, layout: &GroupLayout, out: &mut [u8]) {
    let (factors, quants) = out.split_at_mut(layout.quants);
    if ty.block_len() == 1 {
        let size = ty.block_bytes();
        for (x, column) in blocks.chunks_exact(size).zip(quants.chunks_exact_mut(layout.block)) {
            column[r * size..][..size].copy_from_slice(x);
        }
        return;
    }
    let (first, words) = quant_words(ty);
    let places = quants.chunks_exact_mut(layout.block);
    for (b, (block, quants)) in blocks.chunks_exact(ty.block_bytes()).zip(places).enumerate() {
        let source = &block[first..first + 4 * words];
        for (word, vector) in source.as_chunks::<4>().0.iter().zip(quants.as_chunks_mut::<{ 4 * GROUP_ROWS }>().0) {
            vector[4 * r..4 * r + 4].copy_from_slice(word);
        }
        if matches!(ty, Q5_0 | Q5_1) {
            let fifth = u32::from_le_bytes([source[0], source[1], source[2], source[3]]);
            quants[4 * r..4 * r + 4].copy_from_slice(&columns_to_bits(fifth).to_le_bytes());
        }
        if ty.block_len() == 32 {
            half(&mut factors[b * layout.head..], 0, r, &block[0..2]);
            if matches!(ty, Q4_1 | Q5_1) {
                half(&mut factors[layout.mins + b * layout.head..], 0, r, &block[2..4]);
            }
        } else {
            head256(ty, block, r, &mut factors[b * layout.head..][..layout.head]);
        }
    }
}

/// Bit `4 s + i` becomes bit `8 i + s`: byte `i` then holds the bits of column `i` of every word `s`, in order.
fn columns_to_bits(x: u32) -> u32 {
    // A rotation of the five bits of the index by two, as swaps of neighbours (Hacker's Delight, section 7-3).
    let swap = |x: u32, mask: u32, shift: u32| {
        let t = (x ^ (x >> shift)) & mask;
        x ^ t ^ (t << shift)
    };
    let x = swap(x, 0x2222_2222, 1);
    let x = swap(x, 0x0A0A_0A0A, 3);
    let x = swap(x, 0x00CC_00CC, 6);
    swap(x, 0x0000_F0F0, 12)
}

/// The half-precision number at `source` to place `r` of the sixteen that begin at `at`.
fn half(out: &mut [u8], at: usize, r: usize, source: &[u8]) {
    out[at + 2 * r..at + 2 * r + 2].copy_from_slice(source);
}

/// The factors of a block of 256: scale, scale of the minimums, pairs of integer scales and of minimums.
fn head256(ty: QuantType, block: &[u8], r: usize, head: &mut [u8]) {
    let halves = 2 * GROUP_ROWS;
    let mut pairs = |from: usize, values: &[u8]| {
        for (pair, values) in values.as_chunks::<2>().0.iter().enumerate() {
            head[from + pair * halves + 2 * r..][..2].copy_from_slice(values);
        }
    };
    match ty {
        Q2_K => pairs(2 * halves, &block[..16]),
        Q3_K => {
            let scales = bytemuck::pod_read_unaligned::<BlockQ3_K>(block);
            pairs(halves, &std::array::from_fn::<u8, 16, _>(|j| scales.scale(j) as u8));
        }
        Q4_K | Q5_K => {
            let mut packed = [0; 12];
            packed.copy_from_slice(&block[4..16]);
            pairs(2 * halves, &std::array::from_fn::<u8, 8, _>(|j| q4_k::scale_min(&packed, j).0));
            pairs(6 * halves, &std::array::from_fn::<u8, 8, _>(|j| q4_k::scale_min(&packed, j).1));
        }
        Q6_K => pairs(halves, &block[192..208]),
        _ => {
            let scales = bytemuck::pod_read_unaligned::<BlockIQ4_XS>(block);
            pairs(halves, &std::array::from_fn::<u8, 8, _>(|j| scales.scale(j) as u8));
        }
    }
    let (d, dmin) = match ty {
        Q2_K => (80, Some(82)),
        Q3_K => (108, None),
        Q4_K | Q5_K => (0, Some(2)),
        Q6_K => (208, None),
        _ => (0, None),
    };
    half(head, 0, r, &block[d..d + 2]);
    if let Some(dmin) = dmin {
        half(head, halves, r, &block[dmin..dmin + 2]);
    }
}
