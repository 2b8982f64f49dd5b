//! The one way to save a file: complete, or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Writes the file `path` so that, whenever the program or the machine stops, it holds either its old content or all of
/// the new one.
///
/// The content goes to a temporary file in the same folder, which is synced and then renamed over `path`; the target is
/// never truncated, so a mapping of the old file stays intact. On an error the temporary file is removed and the target
/// is as it was; a process that is killed may leave it behind, hidden and named `.partial`. The new file keeps the
/// permissions of the old one. A symbolic link at `path` is replaced, not followed.
pub fn save_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    save_inner(path, write).map_err(|e| e.context(format_args!("saving {path:?}")))
}

fn save_inner(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::invalid("this path names no file"))?;
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let (file, mut temporary) = Temporary::create(folder, name)?;
    if let Ok(old) = std::fs::metadata(path) {
        let kept = file.set_permissions(old.permissions());
        kept.map_err(|e| Error::io("keeping the file's permissions", e))?;
    }
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    let file = out.into_inner().map_err(|e| Error::io("writing the file", e.into_error()))?;
    file.sync_all().map_err(|e| Error::io("flushing the file to the disk", e))?;
    drop(file);
    std::fs::rename(&temporary.path, path).map_err(|e| Error::io("putting the new file in its place", e))?;
    temporary.renamed = true;
    sync_folder(folder)
}

/// A file that is removed unless it was renamed, also when the writer panics.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn create(folder: &Path, name: &std::ffi::OsStr) -> Result<(File, Self)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.partial", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let path = folder.join(hidden);
        // `create_new` neither follows a link nor touches a file that somebody put there.
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io("creating a temporary file beside it", e))?;
        Ok((file, Self { path, renamed: false }))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Already on the way out with the error that matters; a leftover is harmless and named `.partial`.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The rename itself lives in the folder, which has to reach the disk too. Windows has no such call and needs none.
fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("flushing the folder to the disk", e))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::{Bytes, LoadMode};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn put(out: &mut dyn Write, text: &[u8]) -> Result<()> {
        out.write_all(text).map_err(|e| Error::io("writing", e))
    }

    #[test]
    fn the_new_content_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head.gguf");
        for text in ["first, longer", "second"] {
            save_atomic(&path, |out| put(out, text.as_bytes())).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(dir.path()), ["head.gguf"]);
    }

    #[test]
    fn an_error_or_a_panic_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head.gguf");
        std::fs::write(&path, "old").unwrap();
        let failed = save_atomic(&path, |out| {
            put(out, &vec![1; 3 << 20])?;
            Err(Error::invalid("no more"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidArgument);
        let unwound = std::panic::catch_unwind(|| save_atomic(&path, |_| panic!("writer")));
        assert!(unwound.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["head.gguf"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_stays_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("adapter.gguf");
        std::fs::write(&path, "old").unwrap();
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            save_atomic(&path, |out| put(out, b"new")).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn saving_onto_the_mapped_source_leaves_the_mapping_intact() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, vec![3; 100_000]).unwrap();
        let source = Bytes::open(&path, LoadMode::Mmap).unwrap();
        save_atomic(&path, |out| put(out, source.as_slice())).unwrap();
        assert_eq!(source.as_slice(), vec![3; 100_000]);
        assert_eq!(std::fs::read(&path).unwrap(), vec![3; 100_000]);
        source.check_unchanged().unwrap();
    }

    #[test]
    fn impossible_targets_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("no/such/folder/f");
        assert_eq!(save_atomic(&nowhere, |_| Ok(())).unwrap_err().kind(), ErrorKind::Io);
        let folder = dir.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(save_atomic(&folder, |_| Ok(())).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(save_atomic(Path::new("/"), |_| Ok(())).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(names(dir.path()), ["folder"]);
    }
}
