//! The account of llama.cpp's KV cells, which says before a pass whether they suffice.

use crate::engine::kv_tree::{PageId, Pages, out_of_pages};
use crate::error::Result;
use crate::kernels::PAGE_TOKENS;

/// Cells in pages: a branch's last page counts whole, so that there are never fewer cells than the account says.
pub(super) struct Cells {
    /// Pages there are.
    total: u64,
    page_bytes: u64,
    limit: u64,
    used: u64,
    peak: u64,
    free: Vec<PageId>,
}

impl Cells {
    /// `n_cells` cells of `cell_bytes` bytes each, of which at most `limit` bytes are used.
    pub fn new(n_cells: usize, cell_bytes: u64, limit: u64) -> Self {
        let total = (n_cells / PAGE_TOKENS) as u64;
        Self { total, page_bytes: cell_bytes * PAGE_TOKENS as u64, limit, used: 0, peak: 0, free: Vec::new() }
    }

    pub fn limit(&self) -> u64 {
        self.limit.min(self.total.saturating_mul(self.page_bytes))
    }

    /// Caps growth from now on; pages already held stay.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Bytes of pages in use.
    pub fn used(&self) -> u64 {
        self.used * self.page_bytes
    }

    /// Bytes of the most pages that were ever in use at once.
    pub fn peak(&self) -> u64 {
        self.peak * self.page_bytes
    }
}

impl Pages for Cells {
    const TELLS_HOLDERS: bool = true;

    fn take(&mut self) -> Result<PageId> {
        if self.used() + self.page_bytes > self.limit() {
            return Err(out_of_pages(self.limit(), self.used(), self.page_bytes));
        }
        let id = self.free.pop().unwrap_or(self.peak as PageId);
        self.used += 1;
        self.peak = self.peak.max(self.used);
        Ok(id)
    }

    fn give(&mut self, id: PageId) {
        self.used -= 1;
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn pages_are_counted_under_the_lower_of_both_caps() {
        let mut cells = Cells::new(3 * PAGE_TOKENS, 10, u64::MAX);
        let ids: Vec<PageId> = (0..3).map(|_| cells.take().unwrap()).collect();
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(cells.take().unwrap_err().kind(), ErrorKind::Memory);
        cells.give(1);
        assert_eq!((cells.take().unwrap(), cells.used(), cells.peak()), (1, cells.limit(), cells.limit()));
        cells.give(2);
        cells.set_limit(2 * cells.page_bytes);
        assert_eq!(cells.take().unwrap_err().kind(), ErrorKind::Memory, "two are in use");
    }
}
