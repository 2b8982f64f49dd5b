//! New keys and values into their pages.

use super::page::{HeadMut, KvLayout, KvPage, KvType, PAGE_TOKENS};
use crate::exec::{Shards, Team};
use crate::simd::{Isa, LANES, Simd, dispatch, load_or};
use half::f16;

/// Elements below which waking the team costs more than it saves.
const SERIAL_ELEMENTS: usize = 1 << 14;

/// A token's place in the KV: its page and its place there, below [`PAGE_TOKENS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSlot {
    /// The page's index.
    pub page: u32,
    /// The token's place in it.
    pub place: usize,
}

/// Writes one layer's keys and values, each `[token][head][head_dim]`, to the tokens' slots.
pub fn store_keys_values(
    team: &Team,
    isa: Isa,
    layout: KvLayout,
    layer: usize,
    pages: &mut [KvPage],
    slots: &[KvSlot],
    [k, v]: [&[f32]; 2],
) {
    let (heads, dim) = (layout.n_head_kv, layout.head_dim);
    let write = |bytes: &mut [u8], token: usize, head: usize| {
        let at = (token * heads + head) * dim;
        let (k, v, place) = (&k[at..at + dim], &v[at..at + dim], slots[token].place);
        match layout.ty {
            KvType::F16 => store_halves(isa, &mut HeadMut::new(layout, bytes), place, k, v),
            KvType::Q8 => store_bytes(isa, &mut HeadMut::new(layout, bytes), place, k, v),
        }
    };
    let parts = if k.len() < SERIAL_ELEMENTS { 1 } else { team.threads().min(heads) };
    if parts == 1 {
        for (token, slot) in slots.iter().enumerate() {
            let bytes = pages[slot.page as usize].bytes_mut();
            (0..heads).for_each(|head| write(&mut bytes[layout.head_range(layer, head)], token, head));
        }
        return;
    }
    let pages: Vec<Shards<'_, u8>> = pages.iter_mut().map(|page| Shards::new(page.bytes_mut())).collect();
    team.run(parts, &|part| {
        for head in heads * part / parts..heads * (part + 1) / parts {
            for (token, slot) in slots.iter().enumerate() {
                // SAFETY: parts have disjoint heads, whose bytes are disjoint in every page.
                let bytes = unsafe { pages[slot.page as usize].range(layout.head_range(layer, head)) };
                write(bytes, token, head);
            }
        }
    });
}

dispatch! {
    fn store_halves(head: &mut HeadMut<'_, f16>, place: usize, k: &[f32], v: &[f32]) = store_halves_with
}
dispatch! {
    fn store_bytes(head: &mut HeadMut<'_, i8>, place: usize, k: &[f32], v: &[f32]) = store_bytes_with
}

#[inline(always)]
fn store_halves_with<S: Simd>(s: S, head: &mut HeadMut<'_, f16>, place: usize, k: &[f32], v: &[f32]) {
    let mut halves = [f16::ZERO; LANES];
    for (k, rows) in k.chunks(LANES).zip(head.keys.chunks_mut(LANES * PAGE_TOKENS)) {
        s.store_f16(load_or(s, k, 0.0), &mut halves);
        rows.chunks_exact_mut(PAGE_TOKENS).zip(halves).take(k.len()).for_each(|(row, half)| row[place] = half);
    }
    let width = head.values.len() / PAGE_TOKENS;
    for (v, out) in v.chunks(LANES).zip(head.values[place * width..][..width].chunks_mut(LANES)) {
        s.store_f16(load_or(s, v, 0.0), &mut halves);
        out.iter_mut().zip(halves).take(v.len()).for_each(|(out, half)| *out = half);
    }
}

#[inline(always)]
fn store_bytes_with<S: Simd>(_: S, head: &mut HeadMut<'_, i8>, place: usize, k: &[f32], v: &[f32]) {
    let (scale, factor) = scale_of(k);
    head.key_scales[place] = scale;
    for (row, k) in head.keys.chunks_exact_mut(PAGE_TOKENS).zip(k) {
        row[place] = (k * factor).round_ties_even() as i8;
    }
    let (scale, factor) = scale_of(v);
    head.value_scales[place] = scale;
    let width = head.values.len() / PAGE_TOKENS;
    for (out, v) in head.values[place * width..][..width].iter_mut().zip(v) {
        *out = (v * factor).round_ties_even() as i8;
    }
}

/// The value of one step when the largest of `x` takes 127 of them, and its inverse. NaN and infinity make the scale NaN,
/// so that they show.
#[inline(always)]
fn scale_of(x: &[f32]) -> (f32, f32) {
    let largest = x.iter().fold(0.0f32, |max, x| if x.abs() > max { x.abs() } else { max });
    let poison = x.iter().fold(0.0f32, |sum, x| sum + x * 0.0);
    (largest / 127.0 + poison, if largest > 0.0 { 127.0 / largest } else { 0.0 })
}
