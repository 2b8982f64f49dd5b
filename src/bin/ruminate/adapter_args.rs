//! LoRA adapters on the command line: the flag that commands share.

use std::path::PathBuf;
use std::sync::Arc;

use ruminate::Limits;
use ruminate::model::{Adapter, Config};
use serde_json::{Value, json};

use crate::exit::Failure;

/// An adapter's file and how often it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterArg {
    pub file: PathBuf,
    pub scale: f32,
}

/// `FILE` or `FILE=SCALE`; an equals sign that no number follows belongs to the file's name.
pub fn adapter(text: &str) -> Result<AdapterArg, String> {
    let scaled = text.rsplit_once('=').and_then(|(file, scale)| Some((file, scale.trim().parse::<f32>().ok()?)));
    let (file, scale) = scaled.unwrap_or((text, 1.0));
    match (file, scale.is_finite()) {
        ("", _) => Err("write FILE or FILE=SCALE".to_owned()),
        (_, false) => Err(format!("an adapter cannot be scaled by {scale}")),
        _ => Ok(AdapterArg { file: PathBuf::from(file), scale }),
    }
}

/// The adapters, read for models of this configuration.
pub fn open(args: &[AdapterArg], config: &Config) -> Result<Vec<(Arc<Adapter>, f32)>, Failure> {
    let limits = Limits::default();
    args.iter().map(|arg| Ok((Arc::new(Adapter::open(&arg.file, config, &limits)?), arg.scale))).collect()
}

/// The `adapters` list of JSON documents.
pub fn document(args: &[AdapterArg]) -> Value {
    args.iter().map(|arg| json!({"file": arg.file.display().to_string(), "scale": arg.scale})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_the_last_equals_sign_is_the_scale() {
        let read = |text| adapter(text).map(|arg| (arg.file.display().to_string(), arg.scale));
        assert_eq!(read("a.gguf"), Ok(("a.gguf".to_owned(), 1.0)));
        assert_eq!(read("a.gguf=-0.5"), Ok(("a.gguf".to_owned(), -0.5)));
        assert_eq!(read("r=8.gguf"), Ok(("r=8.gguf".to_owned(), 1.0)));
        assert_eq!(read("r=8.gguf=2"), Ok(("r=8.gguf".to_owned(), 2.0)));
        assert!(["", "=1", "a=inf", "a=NaN"].iter().all(|bad| read(bad).is_err()));
    }
}
