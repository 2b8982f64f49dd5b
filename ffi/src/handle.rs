//! Handles: numbers in a table, handed out as opaque pointers that nobody follows.
//!
//! A number holds a place in the table and the place's generation, so that one that was freed, belongs to another type or was
//! never given out is known as such. It is odd, which no pointer to a C object of ours could be mistaken for.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::status::{Failure, rum_status};

/// What a type of handle is called in messages.
pub trait Kind: Send + Sync + 'static {
    /// The C type that stands for it.
    type Opaque;
    /// A noun for messages.
    const NAME: &'static str;
}

/// What a handle stands for, shared by everything that was made from it.
pub struct Object<T> {
    poisoned: AtomicBool,
    pub value: T,
}

/// Something that a panic can make unusable.
pub trait Poison: Send + Sync {
    fn poison(&self);
}

impl<T: Send + Sync> Poison for Object<T> {
    fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }
}

impl<T: Kind> Object<T> {
    /// An error once a call on it panicked.
    pub fn check(&self) -> Result<(), Failure> {
        match self.poisoned.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Failure::new(
                rum_status::RUM_ERR_POISONED,
                format!("an earlier call on this {} failed inside the library; free it and make a new one", T::NAME),
            )),
        }
    }
}

/// Bits of a number that name a place and its generation; the lowest bit is always set.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 31 } else { 16 };
const GENERATION_BITS: u32 = usize::BITS - INDEX_BITS - 1;
const MOST: usize = 1 << INDEX_BITS;

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    live: usize,
}

struct Slot {
    generation: usize,
    object: Option<Arc<dyn Any + Send + Sync>>,
}

static TABLE: RwLock<Table> = RwLock::new(Table { slots: Vec::new(), free: Vec::new(), live: 0 });

/// A handle to `value`.
pub fn give<T: Kind>(value: T) -> Result<*mut T::Opaque, Failure> {
    let object: Arc<dyn Any + Send + Sync> = Arc::new(Object { poisoned: AtomicBool::new(false), value });
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let index = match table.free.pop() {
        Some(index) => index,
        None if table.slots.len() < MOST => {
            // Generation 0 is never given out, so that no handle is NULL or small.
            table.slots.push(Slot { generation: 1, object: None });
            table.slots.len() - 1
        }
        None => return Err(Failure::new(rum_status::RUM_ERR_MEMORY, format!("{MOST} handles are in use"))),
    };
    let Some(slot) = table.slots.get_mut(index) else {
        return Err(Failure::internal("a free place of the handle table is not in it"));
    };
    slot.object = Some(object);
    let number = slot.generation << (INDEX_BITS + 1) | index << 1 | 1;
    table.live += 1;
    Ok(std::ptr::without_provenance_mut(number))
}

/// What `handle` stands for; an error for NULL, a freed handle, and one of another type.
pub fn find<T: Kind>(handle: *const T::Opaque) -> Result<Arc<Object<T>>, Failure> {
    let object = {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        place(&table, handle.addr()).and_then(|index| table.slots.get(index)?.object.clone())
    };
    typed::<T>(object, handle.is_null())
}

/// Takes `handle` out of the table; an error like that of [`find`]. What it stood for lives on while something uses it.
pub fn take<T: Kind>(handle: *const T::Opaque) -> Result<Arc<Object<T>>, Failure> {
    let object = {
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        let index = place(&table, handle.addr());
        let slot = index.and_then(|index| table.slots.get_mut(index));
        let is_ours = slot.as_ref().is_some_and(|slot| slot.object.as_ref().is_some_and(|o| o.is::<Object<T>>()));
        match slot.filter(|_| is_ours) {
            None => return typed::<T>(index.and_then(|i| table.slots.get(i)?.object.clone()), handle.is_null()),
            Some(slot) => {
                let object = slot.object.take();
                slot.generation += 1;
                // A place whose generations are used up is left alone: an old handle must never come to life again.
                if let Some(index) = index.filter(|_| slot.generation < 1 << GENERATION_BITS) {
                    table.free.push(index);
                }
                table.live -= 1;
                object
            }
        }
    };
    typed::<T>(object, handle.is_null())
}

/// Handles in use, of all types.
pub fn live() -> usize {
    TABLE.read().unwrap_or_else(PoisonError::into_inner).live
}

fn place(table: &Table, number: usize) -> Option<usize> {
    let (generation, index) = (number >> (INDEX_BITS + 1), (number >> 1) & (MOST - 1));
    let slot = table.slots.get(index)?;
    (number & 1 == 1 && slot.generation == generation).then_some(index)
}

fn typed<T: Kind>(object: Option<Arc<dyn Any + Send + Sync>>, is_null: bool) -> Result<Arc<Object<T>>, Failure> {
    let misuse = |what: String| Failure::new(rum_status::RUM_ERR_MISUSE, what);
    let Some(object) = object else {
        let why = if is_null { "it is NULL" } else { "it was freed, or never given out" };
        return Err(misuse(format!("this is no handle of a {}: {why}", T::NAME)));
    };
    object.downcast().map_err(|_| misuse(format!("this is a handle of another type, not of a {}", T::NAME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Apple;
    struct Pear;

    impl Kind for Apple {
        type Opaque = u8;
        const NAME: &'static str = "apple";
    }

    impl Kind for Pear {
        type Opaque = u8;
        const NAME: &'static str = "pear";
    }

    fn status<T>(result: Result<T, Failure>) -> rum_status {
        result.err().map_or(rum_status::RUM_OK, |failure| failure.status)
    }

    #[test]
    fn only_a_live_handle_of_the_right_type_is_found() {
        let apple = give(Apple).unwrap();
        assert_eq!(status(find::<Apple>(apple)), rum_status::RUM_OK);
        assert_eq!(status(find::<Pear>(apple)), rum_status::RUM_ERR_MISUSE);
        assert_eq!(status(take::<Pear>(apple)), rum_status::RUM_ERR_MISUSE);
        assert_eq!(status(find::<Apple>(std::ptr::null())), rum_status::RUM_ERR_MISUSE);
        for offset in [1, 2, 3, 8, 1 << 20] {
            assert_eq!(status(find::<Apple>(apple.wrapping_add(offset))), rum_status::RUM_ERR_MISUSE);
        }
        assert_eq!(status(take::<Apple>(apple)), rum_status::RUM_OK);
        assert_eq!(status(take::<Apple>(apple)), rum_status::RUM_ERR_MISUSE);
        // Its place is used again, and the old handle stays dead.
        let again: Vec<_> = (0..64).map(|_| give(Apple).unwrap()).collect();
        assert!(!again.contains(&apple));
        assert_eq!(status(find::<Apple>(apple)), rum_status::RUM_ERR_MISUSE);
        again.into_iter().for_each(|apple| drop(take::<Apple>(apple).unwrap()));
    }

    #[test]
    fn a_poisoned_object_says_so() {
        let object = Object { poisoned: AtomicBool::new(false), value: Apple };
        assert!(object.check().is_ok());
        object.poison();
        assert_eq!(status(object.check()), rum_status::RUM_ERR_POISONED);
    }
}
