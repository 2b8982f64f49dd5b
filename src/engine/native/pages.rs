//! The memory that KV lives in: pages under one cap.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{KvLayout, KvPage, PAGE_TOKENS};

/// A page's number in its pool.
pub(super) type PageId = u32;

/// Pages under one cap. A freed page is kept for the next taker, so the memory held is the most ever in use.
pub(super) struct PagePool {
    layout: KvLayout,
    pages: Vec<KvPage>,
    free: Vec<PageId>,
    limit: u64,
}

impl PagePool {
    /// An empty pool that holds at most `limit` bytes.
    pub fn new(layout: KvLayout, limit: u64) -> Self {
        Self { layout, pages: Vec::new(), free: Vec::new(), limit }
    }

    pub fn layout(&self) -> KvLayout {
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
        let page = KvPage::new(self.layout).ok_or_else(|| self.full())?;
        self.pages.push(page);
        Ok(id)
    }

    pub fn give(&mut self, id: PageId) {
        self.free.push(id);
    }

    /// All pages, by their numbers.
    pub fn all(&self) -> &[KvPage] {
        &self.pages
    }

    pub fn all_mut(&mut self) -> &mut [KvPage] {
        &mut self.pages
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
