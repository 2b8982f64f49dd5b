//! The file of packed weights: the same numbers from it, and nothing from one that does not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test has to stop")]

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Batch, Engine, Rows, Want};
use ruminate::exec::Team;
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::Interrupt;
use ruminate::storage::LoadMode;
use ruminate::{ErrorKind, Limits, Result};

fn model(path: &Path) -> Model {
    Model::load(&Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap(), &Limits::default()).unwrap()
}

fn abacus() -> Model {
    model(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/abacus-q8_0.gguf"))
}

fn run(model: Model) -> Result<Rows> {
    let mut engine = NativeEngine::new(Arc::new(model), &NativeOptions::default())?;
    let (branch, mut rows) = (engine.root()?, Rows::new());
    let mut batch = Batch::new(&Interrupt::default());
    batch.extend(&branch, &[3, 1, 4, 1, 5], Want::Logits);
    engine.forward(&batch, &mut rows)?;
    Ok(rows)
}

fn logits(model: Model) -> Vec<u32> {
    run(model).unwrap().logits(0).unwrap().iter().map(|x| x.to_bits()).collect()
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

/// The first number at `at`.
fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize
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
    // The header: 8 bytes of magic, the key's length and the key, the number of matrices, five numbers for each.
    let count_at = 16 + number(&whole, 8);
    let (matrices_at, count) = (count_at + 8, number(&whole, count_at));
    let header = matrices_at + count * 5 * 8;
    assert!(count > 1 && number(&whole, header - 8) < whole.len(), "the last number is a place in the file");
    let never = abacus();
    let mut file = std::fs::File::options().write(true).open(&cache).unwrap();
    let mut put = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    for (at, &byte) in whole.iter().enumerate().take(header) {
        put(at, byte ^ 0xff);
        if at < matrices_at || (at - matrices_at) % 40 < 32 {
            assert!(!never.load_packed(&cache).unwrap(), "byte {at} of {header}");
        } else {
            // A place is the only thing that may be wrong and still hold a matrix: its numbers are others then, but
            // nothing outside the file is read.
            let model = abacus();
            if model.load_packed(&cache).unwrap() {
                run(model).map_or_else(|e| assert_eq!(e.kind(), ErrorKind::NonFinite), drop);
            }
        }
        put(at, byte);
    }
    assert!(abacus().load_packed(&cache).unwrap(), "whole again");
    for len in [0, 1, 8, 20, 200, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&cache, &whole[..len]).unwrap();
        if len > 0 {
            assert!(!abacus().load_packed(&cache).unwrap(), "cut to {len}");
        } else {
            assert!(abacus().load_packed(&cache).is_err(), "an empty file");
        }
    }
}
