//! The memory that KV lives in: pages of a fixed number of tokens, all layers and heads together.

use half::f16;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Config;

/// Tokens in one page. A branch wastes less than one page; a page is the unit of the KV budget.
pub(super) const PAGE_TOKENS: usize = 32;

/// Where a layer's keys and values lie inside a page, in f16 elements: `[layer][head][K | V][token][head_dim]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLayout {
    pub n_layer: usize,
    pub n_head_kv: usize,
    pub head_dim: usize,
}

impl PageLayout {
    pub fn new(config: &Config) -> Self {
        Self { n_layer: config.n_layer, n_head_kv: config.n_head_kv, head_dim: config.head_dim }
    }

    /// Bytes of one page.
    pub fn page_bytes(self) -> u64 {
        self.page_elements() as u64 * size_of::<f16>() as u64
    }

    /// Bytes that one token takes.
    pub fn token_bytes(self) -> u64 {
        self.page_bytes() / PAGE_TOKENS as u64
    }

    /// Keys and values of `head` in `layer`, as elements of the page: each `[token][head_dim]`.
    pub fn keys_values(self, layer: usize, head: usize) -> (usize, usize) {
        let plane = PAGE_TOKENS * self.head_dim;
        let keys = (layer * self.n_head_kv + head) * 2 * plane;
        (keys, keys + plane)
    }

    fn page_elements(self) -> usize {
        self.n_layer * self.n_head_kv * 2 * PAGE_TOKENS * self.head_dim
    }
}

/// A page's number in its pool.
pub(super) type PageId = u32;

/// Pages under one cap. A freed page is kept for the next taker, so the memory held is the most ever in use.
pub(super) struct PagePool {
    layout: PageLayout,
    pages: Vec<Box<[f16]>>,
    free: Vec<PageId>,
    limit: u64,
}

impl PagePool {
    /// An empty pool that holds at most `limit` bytes.
    pub fn new(layout: PageLayout, limit: u64) -> Self {
        Self { layout, pages: Vec::new(), free: Vec::new(), limit }
    }

    pub fn layout(&self) -> PageLayout {
        self.layout
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Caps growth from now on; pages already held stay.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Bytes of pages in use.
    pub fn used(&self) -> u64 {
        (self.pages.len() - self.free.len()) as u64 * self.layout.page_bytes()
    }

    /// Bytes of the most pages that were ever in use at once.
    pub fn peak(&self) -> u64 {
        self.pages.len() as u64 * self.layout.page_bytes()
    }

    /// A page; an error of kind [`Memory`](ErrorKind::Memory) when the cap leaves no room for it.
    pub fn take(&mut self) -> Result<PageId> {
        if self.used().saturating_add(self.layout.page_bytes()) > self.limit {
            return Err(self.full());
        }
        if let Some(id) = self.free.pop() {
            return Ok(id);
        }
        let id = PageId::try_from(self.pages.len()).map_err(|_| self.full())?;
        let mut page: Vec<f16> = Vec::new();
        page.try_reserve_exact(self.layout.page_elements()).map_err(|_| self.full())?;
        page.resize(self.layout.page_elements(), f16::ZERO);
        self.pages.push(page.into_boxed_slice());
        Ok(id)
    }

    pub fn give(&mut self, id: PageId) {
        self.free.push(id);
    }

    /// The elements of a page that [`take`](Self::take) handed out.
    pub fn page(&self, id: PageId) -> &[f16] {
        &self.pages[id as usize]
    }

    pub fn page_mut(&mut self, id: PageId) -> &mut [f16] {
        &mut self.pages[id as usize]
    }

    fn full(&self) -> Error {
        let message = format!(
            "KV needs more than its {} bytes ({} in use, {} per page of {PAGE_TOKENS} tokens); raise the memory budget",
            self.limit,
            self.used(),
            self.layout.page_bytes()
        );
        Error::new(ErrorKind::Memory, message)
    }
}
