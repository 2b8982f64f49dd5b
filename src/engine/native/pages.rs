//! The memory that KV lives in: pages under one cap.

use crate::engine::kv_tree::{PageId, Pages, out_of_pages};
use crate::error::{Error, Result};
use crate::kernels::{KvLayout, KvPage};

/// Pages under one cap. A freed page is kept for the next taker, so the memory held is the most in use since the last
/// [`trim`](PagePool::trim).
pub(in crate::engine) struct PagePool {
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

    /// The content of a page in use.
    pub fn bytes(&self, id: PageId) -> &[u8] {
        self.pages[id as usize].bytes()
    }

    /// The same, to be filled.
    pub fn bytes_mut(&mut self, id: PageId) -> &mut [u8] {
        self.pages[id as usize].bytes_mut()
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Caps growth from now on; pages in use stay, and freed ones only where there is room for them.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        if self.held() > limit {
            self.trim();
        }
    }

    /// Bytes of pages in use.
    pub fn used(&self) -> u64 {
        (self.pages.len() - self.free.len()) as u64 * self.layout.page_bytes()
    }

    /// Bytes of pages in use, and of freed ones that keep their memory.
    fn held(&self) -> u64 {
        self.pages.iter().map(|page| page.bytes().len() as u64).sum()
    }

    /// Bytes of the most pages that were ever in use at once.
    pub fn peak(&self) -> u64 {
        self.pages.len() as u64 * self.layout.page_bytes()
    }

    /// Gives the memory of freed pages back to the system; they get new memory when they are taken again.
    pub fn trim(&mut self) {
        for &id in &self.free {
            if let Some(page) = self.pages.get_mut(id as usize) {
                *page = KvPage::default();
            }
        }
    }

    /// All pages, by their numbers. One that is not in use may have no memory.
    pub fn all(&self) -> &[KvPage] {
        &self.pages
    }

    pub fn all_mut(&mut self) -> &mut [KvPage] {
        &mut self.pages
    }

    fn full(&self) -> Error {
        out_of_pages(self.limit, self.used(), self.layout.page_bytes())
    }
}

impl Pages for PagePool {
    const TELLS_HOLDERS: bool = false;

    fn take(&mut self) -> Result<PageId> {
        if self.used().saturating_add(self.layout.page_bytes()) > self.limit {
            return Err(self.full());
        }
        if let Some(&id) = self.free.last() {
            let (layout, full) = (self.layout, self.full());
            match self.pages.get_mut(id as usize) {
                Some(page) if page.bytes().is_empty() => *page = KvPage::new(layout).ok_or(full)?,
                _ => {}
            }
            self.free.pop();
            return Ok(id);
        }
        let id = PageId::try_from(self.pages.len()).map_err(|_| self.full())?;
        let page = KvPage::new(self.layout).ok_or_else(|| self.full())?;
        self.pages.push(page);
        Ok(id)
    }

    fn give(&mut self, id: PageId) {
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::kernels::KvType;

    #[test]
    fn trimmed_pages_have_no_memory_until_they_are_taken_again() {
        let layout = KvLayout { ty: KvType::F16, n_layer: 1, n_head_kv: 1, head_dim: 64 };
        let mut pool = PagePool::new(layout, 3 * layout.page_bytes());
        let ids: Vec<PageId> = (0..3).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.take().unwrap_err().kind(), ErrorKind::Memory);
        pool.all_mut().iter_mut().for_each(|page| page.bytes_mut().fill(7));
        ids.iter().skip(1).for_each(|&id| pool.give(id));
        pool.trim();
        let held = |pool: &PagePool| pool.all().iter().map(|page| page.bytes().len() as u64).sum::<u64>();
        assert_eq!((held(&pool), pool.used()), (layout.page_bytes(), layout.page_bytes()));
        for _ in 0..2 {
            let id = pool.take().unwrap();
            assert!(pool.all()[id as usize].bytes().iter().all(|&byte| byte == 0));
        }
        assert_eq!((held(&pool), pool.peak()), (3 * layout.page_bytes(), 3 * layout.page_bytes()));
    }
}
