//! The free width of a model on this machine, kept between runs: measuring it takes longer than many a question.
//!
//! One small file per model and setting in the user's cache folder. Whatever is wrong with it or its folder, the width is
//! measured or assumed instead; nothing here can fail a command.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ruminate::engine::{Engine, WIDEST, WidthCost, devices};
use ruminate::observe::{CancelToken, Interrupt};
use ruminate::{Error, ErrorKind, Result, storage};
use serde_json::{Value, json};

use crate::backend::NATIVE;
use crate::model::Loaded;
use crate::output::{Output, Style};
use crate::pull::cache;

/// What a search may spend on a measurement that later runs will profit from.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of a search with a deadline, the share that it may spend.
const SHARE: u32 = 10;
/// A file of ours has a few dozen bytes.
const FILE_CAP: u64 = 4096;
/// Characters of a file's name for backend and devices; file systems take 255 bytes in all.
const NAME_CAP: usize = 120;

/// Where a free width comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Given,
    Cached,
    Measured,
    Assumed,
}

impl Source {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Cached => "cached",
            Self::Measured => "measured",
            Self::Assumed => "assumed",
        }
    }
}

/// What a search says about its lanes.
pub struct Lanes {
    /// The width that the user chose.
    pub width: Option<usize>,
    /// Branches that could be decoded at once.
    pub branches: usize,
    /// Time until the answer.
    pub wall: Option<Duration>,
}

/// Gives the engine its free width: the chosen one, else a known one, else, for a search that can use it, one measured
/// within a second and a tenth of its time.
pub fn settle(model: &mut Loaded, lanes: &Lanes, cancel: &CancelToken, output: &Output) -> Source {
    if let Some(width) = lanes.width {
        model.engine.set_free_width(width);
        return Source::Given;
    }
    let file = file_of(model);
    if let Some(width) = file.as_deref().and_then(load) {
        model.engine.set_free_width(width);
        return Source::Cached;
    }
    if lanes.branches < 2 {
        return Source::Assumed;
    }
    let patience = lanes.wall.map_or(PATIENCE, |wall| PATIENCE.min(wall / SHARE));
    let deadline = Instant::now().checked_add(patience);
    // The search comes to a cancellation, and to a fault of the model, by itself.
    if model.engine.measure_free_width(&Interrupt { cancel: cancel.clone(), deadline }).is_err() {
        return Source::Assumed;
    }
    let width = model.engine.info().free_width;
    output.note(Style::Dim, &format!("{width} samples decode well together: measured once, kept for later runs"));
    save(file, width, output);
    Source::Measured
}

/// Measures in full and keeps the result.
pub fn measure(model: &mut Loaded, cancel: &CancelToken, output: &Output) -> Result<Vec<WidthCost>> {
    let costs = model.engine.measure_free_width(&Interrupt { cancel: cancel.clone(), deadline: None })?;
    save(file_of(model), model.engine.info().free_width, output);
    Ok(costs)
}

/// Everything that moves the knee: the model, how it runs, and the kernels of this version.
fn file_of(model: &Loaded) -> Option<PathBuf> {
    let (info, options) = (model.engine.info(), &model.options);
    let (threads, kv) = (options.threads, options.kv_type.name());
    let by = if model.backend == NATIVE { options.isa.name().to_owned() } else { devices_name(&model.backend) };
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("{}-{threads}-{by}-{kv}-{version}.json", info.fingerprint);
    Some(cache::user_cache()?.join("ruminate").join("free-width").join(name))
}

/// A backend with the GPUs of this build and machine, since a backend's name may leave open which of them compute.
fn devices_name(backend: &str) -> String {
    let all = devices();
    let gpus = all.iter().filter(|device| device.gpu).map(|device| (device.name.as_str(), device.description.as_str()));
    file_name(backend, gpus)
}

/// Backend and devices as part of a file's name.
fn file_name<'a>(backend: &str, gpus: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let gpus: String = gpus.map(|(name, description)| format!("+{name} {description}")).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("{backend}{gpus}").chars().take(NAME_CAP).map(plain).collect()
}

fn load(file: &Path) -> Option<usize> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(FILE_CAP).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

fn save(file: Option<PathBuf>, width: usize, output: &Output) {
    let Some(file) = file else { return };
    let saved = || -> Result<()> {
        let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("{}: {e}", file.display()));
        fs::create_dir_all(file.parent().unwrap_or(&file)).map_err(failed)?;
        storage::save_atomic(&file, |out| writeln!(out, "{}", json!({ "free_width": width })).map_err(failed))
    };
    if let Err(error) = saved() {
        output.note(Style::Dim, &format!("the free width is not kept: {error}"));
    }
}

/// A width that a measurement can have found.
fn parse(bytes: &[u8]) -> Option<usize> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let width = usize::try_from(document.get("free_width")?.as_u64()?).ok()?;
    (1..=WIDEST).contains(&width).then_some(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_and_device_has_a_width_of_its_own() {
        let none = || std::iter::empty();
        let names = [
            file_name("llama", none()),
            file_name("llama::0", none()),
            file_name("llama:Vulkan0:", none()),
            file_name("llama", [("Vulkan0", "llvmpipe")].into_iter()),
            file_name("llama", [("CUDA0", "H100")].into_iter()),
            file_name("llama", [("CUDA0", "H100"), ("CUDA1", "H100")].into_iter()),
        ];
        let distinct: std::collections::HashSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        let long = "x/".repeat(200);
        let name = file_name("llama", [("GPU0", long.as_str())].into_iter());
        assert!(name.len() <= NAME_CAP && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
    }

    #[test]
    fn only_a_width_that_can_have_been_measured_is_taken() {
        assert_eq!(parse(br#"{"free_width": 1}"#), Some(1));
        assert_eq!(parse(b"{\"free_width\":64,\"later\":[]}\n"), Some(64));
        for bad in [
            "",
            "{",
            "16",
            "null",
            "[16]",
            "{}",
            r#"{"free_width": 0}"#,
            r#"{"free_width": 65}"#,
            r#"{"free_width": -8}"#,
            r#"{"free_width": 8.5}"#,
            r#"{"free_width": "8"}"#,
            r#"{"free_width": 18446744073709551616}"#,
            r#"{"free_width": 8} trailing"#,
            "\u{0}\u{ff}",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        // Too deep for the parser, and cut off where a file is too long.
        assert_eq!(parse("[".repeat(4096).as_bytes()), None);
        assert_eq!(parse(&[0xff; 64]), None);
    }
}
