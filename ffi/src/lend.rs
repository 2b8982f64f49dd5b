//! Values of which one user at a time has the use; whoever comes meanwhile is told that they are busy.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use crate::status::{Failure, rum_status};

/// A value that is lent out to one user at a time, across threads.
#[derive(Debug)]
pub struct Lending<T> {
    place: Mutex<Place<T>>,
    /// A noun for messages.
    what: &'static str,
}

#[derive(Debug)]
enum Place<T> {
    Here(T),
    Lent,
    /// A panic came between, and the value may be half changed.
    Lost,
}

impl<T> Lending<T> {
    pub fn new(what: &'static str, value: T) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(Place::Here(value)), what })
    }

    /// The value, until the loan is dropped; `RUM_ERR_BUSY` while another has it.
    pub fn lend(self: &Arc<Self>) -> Result<Loan<T>, Failure> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *place, Place::Lent) {
            Place::Here(value) => Ok(Loan { value: ManuallyDrop::new(value), home: Arc::clone(self) }),
            Place::Lent => Err(Failure::busy(format!("the {} is in use", self.what))),
            Place::Lost => {
                *place = Place::Lost;
                let message = format!("an earlier use of the {} failed inside the library; free it", self.what);
                Err(Failure::new(rum_status::RUM_ERR_POISONED, message))
            }
        }
    }

    /// Has `work` done on the value if nobody has it; whoever comes meanwhile waits. It must be short.
    pub fn if_idle(&self, work: impl FnOnce(&mut T)) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic in between takes the value with it.
        *place = match std::mem::replace(&mut *place, Place::Lost) {
            Place::Here(mut value) => {
                work(&mut value);
                Place::Here(value)
            }
            busy => busy,
        };
    }
}

/// A lent value. Dropped while a panic unwinds, it takes the value with it.
#[derive(Debug)]
pub struct Loan<T> {
    value: ManuallyDrop<T>,
    home: Arc<Lending<T>>,
}

impl<T> Deref for Loan<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Loan<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Loan<T> {
    fn drop(&mut self) {
        // SAFETY: the value is taken once, here, and nothing reads it afterwards.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        let mut place = self.home.place.lock().unwrap_or_else(PoisonError::into_inner);
        *place = if std::thread::panicking() { Place::Lost } else { Place::Here(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_at_a_time() {
        let lending = Lending::new("thing", 1);
        let mut loan = lending.lend().unwrap();
        *loan += 1;
        assert_eq!(lending.lend().unwrap_err().status, rum_status::RUM_ERR_BUSY);
        drop(loan);
        assert_eq!(*lending.lend().unwrap(), 2);
    }

    #[test]
    fn work_on_an_idle_value_makes_others_wait_and_leaves_a_busy_one_alone() {
        let lending = Lending::new("thing", 1);
        let (begun, seen) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lending.if_idle(|value| {
                    begun.send(()).unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    *value = 2;
                });
            });
            seen.recv().unwrap();
            assert_eq!(*lending.lend().unwrap(), 2);
        });
        let loan = lending.lend().unwrap();
        lending.if_idle(|value| *value = 3);
        drop(loan);
        assert_eq!(*lending.lend().unwrap(), 2);
    }

    #[test]
    fn a_panic_takes_the_value_along() {
        let lending = Lending::new("thing", Arc::new(()));
        let watch = Arc::downgrade(&lending.lend().unwrap());
        let lent = Arc::clone(&lending);
        let panicked = std::thread::spawn(move || {
            let _loan = lent.lend().unwrap();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        for _ in 0..2 {
            assert_eq!(lending.lend().unwrap_err().status, rum_status::RUM_ERR_POISONED);
        }
        assert!(watch.upgrade().is_none());
    }
}
