//! A small file as a whole, or an error.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The bytes of a regular file that holds at most `cap` of them; a longer one is an error, and so is what is no file, such as
/// a pipe that would never end.
pub fn read_capped(path: &Path, cap: usize) -> Result<Vec<u8>> {
    let failed = |e| Error::io(format!("reading {}", path.display()), e);
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::new(ErrorKind::Io, format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > cap {
        return Err(Error::format(format!("{} has more bytes than the cap of {cap}", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_up_to_the_cap_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read_capped(&path, 4).unwrap(), b"1234");
        assert_eq!(read_capped(&path, 3).unwrap_err().kind(), ErrorKind::Format);
        assert_eq!(read_capped(folder.path(), 4).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(read_capped(&folder.path().join("b"), 4).unwrap_err().kind(), ErrorKind::Io);
    }
}
