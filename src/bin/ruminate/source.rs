//! Where a model comes from: a file, or the program itself.

use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use ruminate::Limits;
use ruminate::gguf::Gguf;
use ruminate::storage::LoadMode;

use crate::bundled;
use crate::exit::Failure;

#[derive(clap::Args)]
pub struct SourceArgs {
    /// The model file; the built-in model without it.
    #[arg(long, short, env = "RUMINATE_MODEL", value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Read the model into memory instead of mapping the file.
    #[arg(long, env = "RUMINATE_NO_MMAP", value_parser = FalseyValueParser::new())]
    pub no_mmap: bool,
}

impl SourceArgs {
    pub fn open(&self) -> Result<Gguf, Failure> {
        match &self.model {
            Some(path) => open(path, if self.no_mmap { LoadMode::Read } else { LoadMode::Mmap }),
            None => bundled(),
        }
    }

    /// What messages and documents call the model.
    pub fn name(&self) -> String {
        self.model.as_ref().map_or_else(|| bundled::NAME.to_owned(), |path| path.display().to_string())
    }
}

pub fn open(path: &Path, mode: LoadMode) -> Result<Gguf, Failure> {
    Ok(Gguf::open(path, mode, &Limits::default())?)
}

fn bundled() -> Result<Gguf, Failure> {
    Ok(Gguf::parse(bundled::bytes(), &Limits::default())?)
}
