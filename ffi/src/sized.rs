//! Structs that begin with their own size, so that both sides may be of another version.

use std::mem::size_of;

use crate::call::not_null;
use crate::status::{Failure, rum_status};

/// A struct of the header. The first field is `struct_size: usize`, and there is no padding.
///
/// # Safety
/// `repr(C)`, begins with a `usize` that holds the struct's size, and any bytes of its size are a value of it.
pub unsafe trait Struct: Copy {
    /// Its size in the first version of the header that had it.
    const FIRST: usize;

    /// The values that a caller of an older version means.
    fn initial() -> Self;
}

/// A struct whose tail says more than this is no struct of ours.
const MOST: usize = 4096;

/// The struct at `pointer`; fields that the caller does not know have their defaults. Errors for a size that does not fit,
/// and for set fields that this library does not know.
///
/// # Safety
/// `pointer` is NULL or points to a `usize` that tells how many bytes from it on can be read.
pub unsafe fn read<T: Struct>(pointer: *const T, what: &str) -> Result<T, Failure> {
    // SAFETY: the caller's promise.
    let size = unsafe { size_at(pointer, what) }?;
    let mut value = T::initial();
    // SAFETY: `size` bytes can be read by the caller's promise, and any bytes are a value.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), size.min(size_of::<T>()));
    }
    let tail = size.saturating_sub(size_of::<T>());
    // SAFETY: as above; `tail` bytes follow the part that this library knows.
    let tail = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().wrapping_add(size - tail), tail) };
    if tail.iter().any(|&byte| byte != 0) {
        let message = format!("{what} sets fields that this version of the library does not know");
        return Err(Failure::new(rum_status::RUM_ERR_UNSUPPORTED, message));
    }
    Ok(value)
}

/// [`read`], with the defaults for NULL.
///
/// # Safety
/// As [`read`].
pub unsafe fn read_or_initial<T: Struct>(pointer: *const T, what: &str) -> Result<T, Failure> {
    // SAFETY: the caller's promise.
    if pointer.is_null() { Ok(T::initial()) } else { unsafe { read(pointer, what) } }
}

/// The size that the caller gave the struct at `pointer`, which is to be written.
///
/// # Safety
/// As [`read`], and as many bytes can be written.
pub unsafe fn check_out<T: Struct>(pointer: *mut T, what: &str) -> Result<usize, Failure> {
    // SAFETY: the caller's promise.
    unsafe { size_at(pointer.cast_const(), what) }
}

/// Writes what the caller knows of `value`, its `struct_size` excepted, and zeros behind what this library knows.
///
/// # Safety
/// `size` is what [`check_out`] gave for `pointer`.
pub unsafe fn write<T: Struct>(pointer: *mut T, size: usize, value: &T) {
    let known = size.min(size_of::<T>());
    let start = size_of::<usize>();
    let to = pointer.cast::<u8>();
    // SAFETY: the caller's promise; the two do not overlap, since `value` is ours.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast::<u8>().add(start), to.add(start), known - start);
        std::ptr::write_bytes(to.add(known), 0, size - known);
    }
}

/// Fills a whole struct with its defaults: the body of every `_init` function.
///
/// # Safety
/// `pointer` is NULL or valid for writing `struct_size` bytes.
pub unsafe fn init<T: Struct>(pointer: *mut T, struct_size: usize) -> Result<(), Failure> {
    not_null(pointer, "the struct")?;
    let size = fitting::<T>(struct_size, "the struct")?;
    // SAFETY: the caller's promise.
    unsafe {
        pointer.cast::<usize>().write(size);
        write(pointer, size, &T::initial());
    }
    Ok(())
}

/// The size that the struct at `pointer` says it has.
///
/// # Safety
/// As [`read`].
unsafe fn size_at<T: Struct>(pointer: *const T, what: &str) -> Result<usize, Failure> {
    not_null(pointer, what)?;
    // SAFETY: the caller's promise; neither NULL nor unaligned.
    fitting::<T>(unsafe { pointer.cast::<usize>().read() }, what)
}

fn fitting<T: Struct>(size: usize, what: &str) -> Result<usize, Failure> {
    if !(T::FIRST..=MOST).contains(&size) {
        let message = format!("{what} has the struct_size {size}: set it with the _init function, or to sizeof");
        return Err(Failure::invalid(message));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Now {
        struct_size: usize,
        old: u64,
        new: u64,
    }

    // SAFETY: `repr(C)`, whole numbers only, no padding.
    unsafe impl Struct for Now {
        const FIRST: usize = 16;

        fn initial() -> Self {
            Self { struct_size: size_of::<Self>(), old: 1, new: 2 }
        }
    }

    #[repr(C)]
    struct Later {
        now: Now,
        later: u64,
    }

    #[test]
    fn an_older_caller_gets_defaults_and_nothing_is_written_behind_its_struct() {
        let mut place = Now { struct_size: 16, old: 7, new: 99 };
        // SAFETY: the struct is longer than its size says.
        let read = unsafe { read(&place, "x") }.unwrap();
        assert_eq!((read.old, read.new), (7, 2));
        // SAFETY: as above.
        unsafe {
            let size = check_out(&mut place, "x").unwrap();
            write(&mut place, size, &Now { struct_size: 0, old: 3, new: 4 });
        }
        assert_eq!(place, Now { struct_size: 16, old: 3, new: 99 });
    }

    #[test]
    fn a_newer_caller_is_served_unless_it_sets_what_is_unknown() {
        let mut place = Later { now: Now { struct_size: 32, old: 7, new: 8 }, later: 0 };
        let pointer = (&raw mut place).cast::<Now>();
        // SAFETY: 32 bytes are there.
        unsafe {
            assert_eq!(read(pointer, "x").unwrap().new, 8);
            (*pointer.cast::<Later>()).later = 5;
            assert_eq!(read(pointer, "x").unwrap_err().status, rum_status::RUM_ERR_UNSUPPORTED);
            write(pointer, 32, &Now { struct_size: 0, old: 3, new: 4 });
        }
        assert_eq!((place.now, place.later), (Now { struct_size: 32, old: 3, new: 4 }, 0));
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for struct_size in [0, 8, 15, MOST + 1, usize::MAX] {
            let place = Now { struct_size, old: 0, new: 0 };
            // SAFETY: a size out of range is refused before it is used.
            let status = unsafe { read(&place, "x") }.unwrap_err().status;
            assert_eq!(status, rum_status::RUM_ERR_INVALID_ARGUMENT, "{struct_size}");
        }
        // SAFETY: NULL is refused.
        assert!(unsafe { read::<Now>(std::ptr::null(), "x") }.is_err());
        // SAFETY: an address that is not aligned is refused.
        assert!(unsafe { read::<Now>(std::ptr::without_provenance(9), "x") }.is_err());
    }

    /// A field that is added at an end leaves `FIRST` as it is and takes its struct out of this list.
    #[test]
    fn first_sizes_are_those_of_this_version() {
        fn check<T: Struct>() {
            assert_eq!(T::FIRST, size_of::<T>(), "{}", std::any::type_name::<T>());
        }
        check::<crate::runtime::rum_runtime_options>();
        check::<crate::model_open::rum_model_options>();
        check::<crate::model::rum_model_info>();
        check::<crate::session::rum_session_options>();
        check::<crate::session::rum_memory>();
        check::<crate::estimate::rum_estimate>();
        check::<crate::prompt::rum_prompt>();
        check::<crate::search::rum_search>();
        check::<crate::generation::rum_generation>();
        check::<crate::event::rum_event>();
        check::<crate::outcome::rum_result>();
        check::<crate::outcome::rum_candidate>();
        check::<crate::outcome::rum_usage>();
        check::<crate::run_start::rum_run_options>();
        check::<crate::adapter::rum_adapter_info>();
        check::<crate::pairing::rum_pairing>();
        check::<crate::preferences::rum_preference>();
        check::<crate::collection::rum_question>();
        check::<crate::collection::rum_collection>();
        check::<crate::training::rum_training>();
        check::<crate::fitting::rum_fitting>();
        check::<crate::tool_function::rum_function>();
        check::<crate::method::rum_method_options>();
    }
}
