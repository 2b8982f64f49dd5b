//! Models in several files, `name-00001-of-0000N.gguf`, as llama.cpp's `gguf-split` writes them.

use std::path::{Path, PathBuf};

use super::metadata::Metadata;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// What one file says about the whole of which it is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// Number of this file, from zero.
    pub(super) no: u32,
    /// How many files.
    pub(super) count: u32,
    /// Tensors in all files together, where the file says so.
    pub(super) tensors: Option<u64>,
}

impl Split {
    /// What the metadata says; `None` for a file that is complete by itself.
    pub(super) fn of(metadata: &Metadata, limits: &Limits) -> Result<Option<Self>> {
        let Some(count) = metadata.u32("split.count")?.filter(|count| *count > 1) else {
            return Ok(None);
        };
        if count > limits.gguf_splits.into() {
            let limit = limits.gguf_splits;
            return Err(Error::format(format!(
                "the model is split into {count} files, more than the limit of {limit}"
            )));
        }
        let no = metadata.require_u32("split.no")?;
        if no >= count {
            return Err(Error::format(format!("split.no is {no}, but there are only {count} files")));
        }
        Ok(Some(Self { no, count, tensors: metadata.u64("split.tensors.count")? }))
    }

    /// The paths of the other files, from number two on, in the folder of the first one at `path`.
    ///
    /// Only the file's own name decides them, never its content, so a file cannot name a place outside its folder.
    pub(super) fn siblings(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let count = self.count;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let base = name.strip_suffix(&suffix(self.no, count)).ok_or_else(|| {
            let expected = suffix(self.no, count);
            Error::format(format!("the model is split into {count} files, but the name does not end in {expected:?}"))
        })?;
        if self.no != 0 {
            let first = format!("{base}{}", suffix(0, count));
            return Err(Error::invalid(format!("this is part {} of {count}; open {first:?} instead", self.no + 1)));
        }
        Ok((1..count).map(|no| path.with_file_name(format!("{base}{}", suffix(no, count)))).collect())
    }
}

fn suffix(no: u32, count: u32) -> String {
    format!("-{:05}-of-{count:05}.gguf", no + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn siblings_are_named_by_the_first_file_in_its_folder() {
        let split = Split { no: 0, count: 3, tensors: None };
        let siblings = split.siblings(Path::new("models/m-00001-of-00003.gguf")).unwrap();
        assert_eq!(siblings, ["models/m-00002-of-00003.gguf", "models/m-00003-of-00003.gguf"].map(PathBuf::from));
    }

    #[test]
    fn a_later_part_names_the_first() {
        let split = Split { no: 1, count: 3, tensors: None };
        let e = split.siblings(Path::new("m-00002-of-00003.gguf")).unwrap_err();
        assert!(e.kind() == ErrorKind::InvalidArgument && e.to_string().contains("m-00001-of-00003.gguf"), "{e}");
    }

    #[test]
    fn a_name_that_does_not_match_is_an_error() {
        let split = Split { no: 0, count: 3, tensors: None };
        for name in ["m.gguf", "m-00001-of-00002.gguf", "m-00002-of-00003.gguf", "", "/"] {
            let e = split.siblings(Path::new(name)).unwrap_err();
            assert!(e.kind() == ErrorKind::Format && e.to_string().contains("-00001-of-00003.gguf"), "{e}");
        }
    }
}
