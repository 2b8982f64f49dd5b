//! The file of packed weights: the same numbers from it, and nothing from one that does not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test has to stop")]

use std::path::Path;
use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Batch, Engine, Rows, Want};
use ruminate::exec::Team;
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::Interrupt;
use ruminate::storage::LoadMode;

fn model(path: &Path) -> Model {
    Model::load(&Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap(), &Limits::default()).unwrap()
}

fn abacus() -> Model {
    model(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/abacus-q8_0.gguf"))
}

fn logits(model: Model) -> Vec<u32> {
    let mut engine = NativeEngine::new(Arc::new(model), &NativeOptions::default()).unwrap();
    let (branch, mut rows) = (engine.root().unwrap(), Rows::new());
    let mut batch = Batch::new(&Interrupt::default());
    batch.extend(&branch, &[3, 1, 4, 1, 5], Want::Logits);
    engine.forward(&batch, &mut rows).unwrap();
    rows.logits(0).unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn weights_from_the_cache_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abacus.packed");
    let want = logits(abacus());
    let first = abacus();
    assert!(!first.load_packed(&path).unwrap(), "there is none yet");
    first.save_packed(&Team::new(2).unwrap(), &path).unwrap();
    let second = abacus();
    assert!(second.load_packed(&path).unwrap());
    assert_eq!(logits(second), want);
    assert_eq!(logits(first), want);
}

#[test]
fn a_cache_of_another_model_or_a_damaged_one_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, copy) = (folder.path().join("packed"), folder.path().join("copy.gguf"));
    abacus().save_packed(&Team::new(1).unwrap(), &cache).unwrap();
    let whole = std::fs::read(&cache).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/abacus-q8_0.gguf");
    std::fs::copy(source, &copy).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().append(true).open(&copy).unwrap().set_modified(later).unwrap();
    assert!(!model(&copy).load_packed(&cache).unwrap(), "a file of another time");
    let header = whole.windows(8).position(|w| w == 0u64.to_le_bytes()).unwrap_or(64).max(2048);
    for at in (0..header).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&cache, &damaged).unwrap();
        // A place inside the file may still hold a matrix; what counts is that nothing outside is ever read.
        let hit = abacus();
        if hit.load_packed(&cache).unwrap() {
            NativeEngine::new(Arc::new(hit), &NativeOptions::default()).unwrap();
        }
    }
    for len in [0, 1, 8, 20, 200, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&cache, &whole[..len]).unwrap();
        if len > 0 {
            assert!(!abacus().load_packed(&cache).unwrap(), "cut to {len}");
        } else {
            assert!(abacus().load_packed(&cache).is_err(), "an empty file");
        }
    }
}
