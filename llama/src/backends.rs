//! Backends that are libraries of their own.

/// Loads those that lie in the folder of what this was linked into: the library where it is one, the program otherwise. Without the
/// feature `modules` they are part of it, and there is nothing to do.
///
/// Only that folder, because ggml would otherwise look in the working directory, too, and run whatever it finds there.
pub(crate) fn load() {
    #[cfg(feature = "modules")]
    if let Some(folder) = folder() {
        // SAFETY: the path ends with a zero; called once, before any other thread can ask for devices.
        unsafe { llama_cpp_sys_2::ggml_backend_load_all_from_path(folder.as_ptr()) };
    }
}

#[cfg(feature = "modules")]
fn folder() -> Option<std::ffi::CString> {
    use std::ffi::{CStr, CString, c_char};
    use std::path::Path;

    unsafe extern "C" {
        fn ruminate_llama_file(path: *mut c_char, size: usize) -> i32;
    }
    let mut path = [0 as c_char; 4096];
    // SAFETY: as much room as is promised.
    let found = unsafe { ruminate_llama_file(path.as_mut_ptr(), path.len()) } == 0;
    // SAFETY: after success the text ends with a zero.
    let file = found.then(|| unsafe { CStr::from_ptr(path.as_ptr()) }.to_str().ok()).flatten()?;
    // A program is named as it was called, perhaps without its folder.
    let file = if Path::new(file).is_absolute() { file.into() } else { std::env::current_exe().ok()? };
    CString::new(file.parent()?.to_str()?).ok()
}
