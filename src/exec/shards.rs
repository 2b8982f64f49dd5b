//! One mutable slice that several threads write at disjoint places.

use std::marker::PhantomData;
use std::ops::Range;

/// A slice whose disjoint ranges are written by different parts of one job.
pub struct Shards<'a, T> {
    start: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Shards` is only a pointer; elements move between threads only through `range`, whose caller promises that
// no two ranges overlap, so `T: Send` suffices.
unsafe impl<T: Send> Send for Shards<'_, T> {}
// SAFETY: as above; `range` is the only access through a shared reference.
unsafe impl<T: Send> Sync for Shards<'_, T> {}

impl<'a, T> Shards<'a, T> {
    /// Borrows `slice` for the duration of the job.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// Elements of the whole slice.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the slice has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements of `range`, cut to the slice's length.
    ///
    /// # Safety
    /// No two live results of this method, on any thread, may overlap.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        let end = range.end.min(self.len);
        let start = range.start.min(end);
        // SAFETY: start..end lies inside the slice that `new` borrowed mutably for 'a, which outlives `self`; the caller
        // promises that no other live range overlaps it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), end - start) }
    }

    /// Where the elements begin, for parts that are no ranges, such as columns of a matrix. Whoever writes through it makes
    /// [`range`](Self::range)'s promise for each element.
    pub fn as_mut_ptr(&self) -> *mut T {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_slice() {
        let mut data = [1, 2, 3];
        let shards = Shards::new(&mut data);
        // SAFETY: one range at a time.
        unsafe {
            assert_eq!(shards.range(1..9), &mut [2, 3]);
            assert_eq!(shards.range(7..9), &mut [0i32; 0]);
        }
    }
}
