//! The file of packed weights: the same numbers from it, and nothing from one that does not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test has to stop")]

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Batch, Engine, Rows, Want};
use ruminate::exec::Team;
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::{Interrupt, Silent};
use ruminate::storage::{Bytes, LoadMode};
use ruminate::{ErrorKind, Limits, Result};

fn loaded(gguf: &Gguf) -> Model {
    Model::load(gguf, &Limits::default()).unwrap()
}

fn model(path: &Path) -> Model {
    loaded(&Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap())
}

fn abacus_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/abacus-q8_0.gguf")
}

fn abacus() -> Model {
    model(&abacus_path())
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

#[test]
fn equal_bytes_without_a_file_share_a_cache_and_other_weights_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, file) = (folder.path().join("packed"), abacus_path());
    let mut bytes = std::fs::read(&file).unwrap();
    let of = |bytes: &[u8]| loaded(&Gguf::parse(Bytes::from_vec(bytes.to_vec()), &Limits::default()).unwrap());
    of(&bytes).save_packed(&Team::new(1).unwrap(), &cache).unwrap();
    assert!(of(&bytes).load_packed(&cache).unwrap());
    assert!(loaded(&Gguf::open(&file, LoadMode::Read, &Limits::default()).unwrap()).load_packed(&cache).unwrap());
    // Weights of a model that was trained further: metadata and shapes are the same.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(!of(&bytes).load_packed(&cache).unwrap());
}

#[test]
fn packed_weights_of_a_file_that_was_read_count_beside_it() {
    let (path, limits) = (abacus_path(), Limits::default());
    for mode in [LoadMode::Mmap, LoadMode::Read] {
        let gguf = Gguf::open(&path, mode, &limits).unwrap();
        let model = loaded(&gguf);
        let in_file = model.weight_bytes();
        model.pack(&Team::new(1).unwrap(), &mut Silent, &Interrupt::default()).unwrap();
        let (packed, most) = (model.weight_bytes(), Model::resident_bytes(&gguf));
        let copies = if mode == LoadMode::Read { 2 } else { 1 };
        assert!(
            packed >= copies * in_file && packed < copies * in_file + in_file / 10,
            "{mode:?}: {packed} of {in_file}"
        );
        assert!(most >= packed && most < packed + in_file / 10, "{mode:?}: {most}, {packed}");
    }
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
    std::fs::copy(abacus_path(), &copy).unwrap();
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
        if at < 8 {
            assert!(never.load_packed(&cache).is_err(), "no cache at all");
        } else if at < matrices_at || (at - matrices_at) % 40 < 32 {
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

#[test]
fn a_file_that_is_no_cache_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "a model, a diary").unwrap();
    let (model, team) = (abacus(), Team::new(1).unwrap());
    for refused in [model.load_packed(&path).map(drop), model.save_packed(&team, &path)] {
        let error = refused.unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("notes.txt"), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"a model, a diary");
}

#[test]
fn a_cache_that_changes_while_it_is_mapped_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    abacus().save_packed(&Team::new(1).unwrap(), &path).unwrap();
    let model = abacus();
    assert!(model.load_packed(&path).unwrap());
    model.check_unchanged().unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
    assert_eq!(model.check_unchanged().unwrap_err().kind(), ErrorKind::FileChanged);
}
