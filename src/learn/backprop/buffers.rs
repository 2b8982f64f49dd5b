//! Memory that passes work in, kept from one to the next.
//!
//! A step of training writes hundreds of megabytes. Pages that are new each time cost more than what is written to them, and giving
//! them back holds up a cancellation by tens of milliseconds.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory that nobody uses at present. Clones share it; it goes back to the system with the last of them.
///
/// It never holds more, with what is in use, than was in use at some time.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Spare>>);

/// Numbers in memory that goes back to its [`Buffers`].
pub struct Buffer {
    numbers: Vec<f32>,
    home: Buffers,
}

#[derive(Default)]
struct Spare {
    /// From small to large.
    free: Vec<Vec<f32>>,
    /// Numbers that there is room for: in `free`, in buffers that are in use, and the most that ever were in use.
    n_free: usize,
    n_used: usize,
    most_used: usize,
}

impl Buffers {
    /// `len` zeros.
    pub fn zeros(&self, len: usize) -> Buffer {
        self.take(len, Vec::clear)
    }

    /// `len` numbers, whatever they are: for what is written before it is read.
    pub fn scratch(&self, len: usize) -> Buffer {
        self.take(len, |_| {})
    }

    /// These numbers, one part behind the other.
    pub fn concat(&self, parts: &[&[f32]]) -> Buffer {
        let len = parts.iter().map(|part| part.len()).sum();
        let reused = self.lock().reuse(len);
        let mut numbers = reused.unwrap_or_else(|| Vec::with_capacity(len));
        numbers.clear();
        parts.iter().for_each(|part| numbers.extend_from_slice(part));
        self.lend(numbers)
    }

    /// These numbers.
    pub fn copy(&self, numbers: &[f32]) -> Buffer {
        self.concat(&[numbers])
    }

    fn take(&self, len: usize, prepare: fn(&mut Vec<f32>)) -> Buffer {
        let reused = self.lock().reuse(len);
        let numbers = match reused {
            Some(mut numbers) => {
                prepare(&mut numbers);
                numbers.resize(len, 0.0);
                numbers
            }
            // The system's pages come as zeros, and nothing touches them yet.
            None => vec![0.0; len],
        };
        self.lend(numbers)
    }

    fn lend(&self, numbers: Vec<f32>) -> Buffer {
        let unfit = self.lock().lend(numbers.capacity());
        drop(unfit);
        Buffer { numbers, home: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spare {
    /// The smallest that holds `len` numbers without wasting much.
    fn reuse(&mut self, len: usize) -> Option<Vec<f32>> {
        let at = self.free.partition_point(|numbers| numbers.capacity() < len);
        let fits = self.free.get(at).is_some_and(|numbers| numbers.capacity() <= len.saturating_add(len / 4));
        let numbers = fits.then(|| self.free.remove(at))?;
        self.n_free -= numbers.capacity();
        Some(numbers)
    }

    /// Counts a buffer as used; what is too much then, which was of other sizes, is the caller's to drop.
    fn lend(&mut self, capacity: usize) -> Vec<Vec<f32>> {
        self.n_used += capacity;
        self.most_used = self.most_used.max(self.n_used);
        let mut unfit = Vec::new();
        while self.n_used + self.n_free > self.most_used {
            let Some(numbers) = self.free.pop() else { break };
            self.n_free -= numbers.capacity();
            unfit.push(numbers);
        }
        unfit
    }

    fn take_back(&mut self, numbers: Vec<f32>) {
        self.n_used -= numbers.capacity();
        self.n_free += numbers.capacity();
        let at = self.free.partition_point(|other| other.capacity() < numbers.capacity());
        self.free.insert(at, numbers);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.lock().take_back(std::mem::take(&mut self.numbers));
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        self.home.copy(self)
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_comes_clean() {
        let buffers = Buffers::default();
        let mut first = buffers.copy(&[1.0, 2.0, 3.0, 4.0]);
        first[0] = 7.0;
        let at = first.as_ptr();
        assert_eq!((&first[..], &first.clone()[..]), (&[7.0, 2.0, 3.0, 4.0][..], &[7.0, 2.0, 3.0, 4.0][..]));
        drop(first);
        let second = buffers.zeros(4);
        assert_eq!((second.as_ptr(), &second[..]), (at, &[0.0; 4][..]));
        assert_eq!(&buffers.concat(&[&[1.0], &[], &[2.0, 3.0]])[..], [1.0, 2.0, 3.0]);
        assert!(buffers.zeros(0).is_empty());
    }

    #[test]
    fn no_more_is_held_than_was_once_in_use() {
        let buffers = Buffers::default();
        let held = || {
            let spare = buffers.lock();
            assert_eq!(spare.n_free, spare.free.iter().map(Vec::capacity).sum::<usize>());
            (spare.n_used, spare.n_free)
        };
        drop([buffers.zeros(100), buffers.zeros(60)]);
        assert_eq!(held(), (0, 160));
        // Too large a one is left alone, a new one takes its place.
        let small = buffers.zeros(40);
        assert_eq!(held(), (40, 60));
        let large = buffers.zeros(1000);
        assert_eq!(held(), (1040, 0));
        drop((small, large));
        assert_eq!(held(), (0, 1040));
    }
}
