//! Where keys and values lie: pages of a few tokens, all layers and heads together.

use super::tile::Element;
use crate::simd::WIDE;
use bytemuck::{Pod, Zeroable};

/// Tokens in one page. A branch wastes less than one page; a page is the unit of the KV budget.
pub const PAGE_TOKENS: usize = 32;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// Half precision.
    #[default]
    F16,
    /// 8-bit integers with one f32 scale for a token's key and one for its value in every head: a little over half the
    /// bytes.
    Q8,
}

impl KvType {
    /// A short name: `f16`, `q8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8",
        }
    }
}

/// The sizes that fix where everything lies inside a page: `[layer][head][keys | values | scales of both]`.
///
/// Keys lie transposed, `[head_dim][PAGE_TOKENS]`, so that scores of neighbouring tokens are neighbouring lanes; values lie
/// as `[PAGE_TOKENS][head_dim]`. `head_dim` is filled up to whole vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLayout {
    /// Number format.
    pub ty: KvType,
    /// Transformer layers.
    pub n_layer: usize,
    /// Heads of keys and values.
    pub n_head_kv: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl KvLayout {
    /// Bytes of one page.
    pub fn page_bytes(self) -> u64 {
        (self.n_layer as u64).saturating_mul(self.n_head_kv as u64).saturating_mul(self.head_bytes() as u64)
    }

    /// Bytes that one token takes.
    pub fn token_bytes(self) -> u64 {
        self.page_bytes() / PAGE_TOKENS as u64
    }

    /// `head_dim`, filled up to whole vectors.
    pub(super) fn padded_dim(self) -> usize {
        self.head_dim.next_multiple_of(WIDE)
    }

    /// Where the bytes of one head of one layer begin in a page, and how many they are.
    pub(super) fn head_range(self, layer: usize, head: usize) -> std::ops::Range<usize> {
        let start = (layer * self.n_head_kv + head) * self.head_bytes();
        start..start + self.head_bytes()
    }

    fn plane_bytes(self) -> usize {
        let element = match self.ty {
            KvType::F16 => 2,
            KvType::Q8 => 1,
        };
        self.padded_dim() * PAGE_TOKENS * element
    }

    fn scale_bytes(self) -> usize {
        match self.ty {
            KvType::F16 => 0,
            KvType::Q8 => PAGE_TOKENS * size_of::<f32>(),
        }
    }

    fn head_bytes(self) -> usize {
        2 * (self.plane_bytes() + self.scale_bytes())
    }
}

/// One cache line; a row of half-precision keys fills it.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The memory of one page; the default has none.
#[derive(Debug, Default)]
pub struct KvPage {
    lines: Box<[Line]>,
}

impl KvPage {
    /// A page of zeros; `None` when memory is short.
    pub fn new(layout: KvLayout) -> Option<Self> {
        let n = usize::try_from(layout.page_bytes()).ok()?.div_ceil(size_of::<Line>());
        let mut lines = Vec::new();
        lines.try_reserve_exact(n).ok()?;
        lines.resize(n, Line::zeroed());
        Some(Self { lines: lines.into_boxed_slice() })
    }

    /// All of the page.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }

    /// All of the page, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// Keys and values of one head.
    #[inline(always)]
    pub(super) fn head<E: Element>(&self, layout: KvLayout, layer: usize, head: usize) -> Head<'_, E> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.lines);
        let bytes = &bytes[layout.head_range(layer, head)];
        let (keys, bytes) = bytes.split_at(layout.plane_bytes());
        let (values, scales) = bytes.split_at(layout.plane_bytes());
        let (key_scales, value_scales) = scales.split_at(layout.scale_bytes());
        Head {
            keys: bytemuck::cast_slice(keys),
            values: bytemuck::cast_slice(values),
            key_scales: bytemuck::cast_slice(key_scales),
            value_scales: bytemuck::cast_slice(value_scales),
        }
    }
}

/// Keys and values of one head in one page. Half precision has no scales.
#[derive(Clone, Copy)]
pub(super) struct Head<'a, E> {
    pub keys: &'a [E],
    pub values: &'a [E],
    pub key_scales: &'a [f32],
    pub value_scales: &'a [f32],
}

/// The same, to be written.
pub(super) struct HeadMut<'a, E> {
    pub keys: &'a mut [E],
    pub values: &'a mut [E],
    pub key_scales: &'a mut [f32],
    pub value_scales: &'a mut [f32],
}

impl<'a, E: Element> HeadMut<'a, E> {
    /// The head whose bytes these are, as [`KvLayout::head_range`] cuts them.
    pub fn new(layout: KvLayout, bytes: &'a mut [u8]) -> Self {
        let (keys, bytes) = bytes.split_at_mut(layout.plane_bytes());
        let (values, scales) = bytes.split_at_mut(layout.plane_bytes());
        let (key_scales, value_scales) = scales.split_at_mut(layout.scale_bytes());
        Self {
            keys: bytemuck::cast_slice_mut(keys),
            values: bytemuck::cast_slice_mut(values),
            key_scales: bytemuck::cast_slice_mut(key_scales),
            value_scales: bytemuck::cast_slice_mut(value_scales),
        }
    }
}
