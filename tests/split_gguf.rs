//! Models in several files: complete ones are read as one, and every kind of damage has its own message.
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::path::{Path, PathBuf};

use ruminate::ErrorKind::{self, Format, InvalidArgument, Io};
use ruminate::gguf::{Gguf, GgufWriter, Value};
use ruminate::quant::QuantType;
use ruminate::storage::LoadMode;
use ruminate::{Limits, Result};

/// A folder with the files of a split model.
struct Model {
    folder: tempfile::TempDir,
}

impl Model {
    /// `parts` files of two tensors each.
    fn new(parts: u16) -> Self {
        let model = Self { folder: tempfile::tempdir().unwrap() };
        for no in 0..parts {
            model.part(no, parts, Some((no, parts, i32::from(2 * parts))), &[2 * no, 2 * no + 1]);
        }
        model
    }

    fn path(&self, no: u16, of: u16) -> PathBuf {
        self.folder.path().join(format!("m-{:05}-of-{of:05}.gguf", no + 1))
    }

    /// Writes the file with name number `no` of `of`, which says of itself what `split` says.
    fn part(&self, no: u16, of: u16, split: Option<(u16, u16, i32)>, tensors: &[u16]) {
        let mut w = GgufWriter::new();
        w.set("general.name", format!("part {no}")).unwrap();
        if let Some((no, count, tensors)) = split {
            w.set("split.no", no).unwrap();
            w.set("split.count", count).unwrap();
            w.set("split.tensors.count", tensors).unwrap();
        }
        for t in tensors {
            let data = QuantType::F32.quantize(&[f32::from(*t); 4]).unwrap();
            w.tensor(&format!("t{t}"), &[4], QuantType::F32, data).unwrap();
        }
        w.save(&self.path(no, of)).unwrap();
    }

    fn open(&self, of: u16) -> Result<Gguf> {
        Gguf::open(&self.path(0, of), LoadMode::Mmap, &Limits::default())
    }
}

#[test]
fn the_files_are_read_as_one_model() {
    let model = Model::new(3);
    for mode in [LoadMode::Mmap, LoadMode::Read] {
        let g = Gguf::open(&model.path(0, 3), mode, &Limits::default()).unwrap();
        assert_eq!(g.bytes().len(), 3);
        assert_eq!(g.metadata().get("general.name"), Some(&Value::from("part 0")));
        assert_eq!(
            g.tensors().iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
            ["t0", "t1", "t2", "t3", "t4", "t5"]
        );
        for (i, tensor) in g.tensors().iter().enumerate() {
            let (bytes, range) = g.bytes_of(tensor);
            assert_eq!(g.data(tensor), QuantType::F32.quantize(&[i as f32; 4]).unwrap());
            assert_eq!(g.data(tensor), &bytes.as_slice()[range]);
        }
        g.check_unchanged().unwrap();
        std::fs::OpenOptions::new().write(true).open(model.path(2, 3)).unwrap().set_len(500).unwrap();
        assert_eq!(g.check_unchanged().is_err(), mode == LoadMode::Mmap);
        model.part(2, 3, Some((2, 3, 6)), &[4, 5]);
    }
}

#[test]
fn files_of_other_models_and_missing_files_are_refused() {
    type Damage = fn(&Model);
    let cases: [(&str, Damage, ErrorKind, &str); 12] = [
        ("missing", |m| std::fs::remove_file(m.path(1, 2)).unwrap(), Io, "part 2 of 2"),
        (
            "a folder",
            |m| {
                std::fs::remove_file(m.path(1, 2)).unwrap();
                std::fs::create_dir(m.path(1, 2)).unwrap();
            },
            InvalidArgument,
            "this is a folder",
        ),
        ("no GGUF", |m| std::fs::write(m.path(1, 2), "hello, world").unwrap(), Format, "not a GGUF file"),
        ("complete by itself", |m| m.part(1, 2, None, &[2, 3]), Format, "it is not part of a split model"),
        ("the first again", |m| m.part(1, 2, Some((0, 2, 4)), &[2, 3]), Format, "it says that it is part 1 of 2"),
        ("of another count", |m| m.part(1, 2, Some((1, 3, 4)), &[2, 3]), Format, "it says that it is part 2 of 3"),
        ("beyond its count", |m| m.part(1, 2, Some((2, 2, 4)), &[2, 3]), Format, "split.no is 2, but there are only 2"),
        ("of another total", |m| m.part(1, 2, Some((1, 2, 5)), &[2, 3]), Format, "it says that it is part 2 of 2"),
        ("a tensor missing", |m| m.part(1, 2, Some((1, 2, 4)), &[2]), Format, "hold 3 tensors together, but"),
        ("a tensor twice", |m| m.part(1, 2, Some((1, 2, 4)), &[2, 0]), Format, "tensor \"t0\" appears twice"),
        ("negative total", |m| m.part(0, 2, Some((0, 2, -4)), &[0, 1]), Format, "does not fit u64"),
        ("far too many", |m| m.part(0, 2, Some((0, u16::MAX, 4)), &[0, 1]), Format, "65535 files, more than the limit"),
    ];
    for (name, damage, kind, fragment) in cases {
        let model = Model::new(2);
        model.open(2).unwrap();
        damage(&model);
        let e = model.open(2).unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(fragment), "{name}: {e:?}");
    }
}

#[test]
fn the_limit_on_tensors_holds_for_all_files_together() {
    let mut limits = Limits::default();
    limits.gguf_tensors = 3;
    let model = Model::new(2);
    let e = Gguf::open(&model.path(0, 2), LoadMode::Mmap, &limits).unwrap_err();
    assert!(e.kind() == Format && e.to_string().contains("part 2 of 2") && e.to_string().contains("more than"), "{e}");
}

#[test]
fn only_the_first_file_under_its_own_name_opens_the_model() {
    let model = Model::new(2);
    let open = |path: &Path| Gguf::open(path, LoadMode::Mmap, &Limits::default()).unwrap_err();
    let e = open(&model.path(1, 2));
    assert!(e.kind() == InvalidArgument && e.to_string().contains("open \"m-00001-of-00002.gguf\" instead"), "{e}");
    for name in ["renamed.gguf", "m-00001-of-00003.gguf", "m-00002-of-00002.gguf.bak", "m-00001-OF-00002.gguf"] {
        let renamed = model.folder.path().join(name);
        std::fs::copy(model.path(0, 2), &renamed).unwrap();
        let e = open(&renamed);
        assert!(
            e.kind() == Format && e.to_string().contains("does not end in \"-00001-of-00002.gguf\""),
            "{name}: {e}"
        );
    }
}

#[test]
fn siblings_come_from_the_folder_of_the_name_that_was_opened() {
    // A base of dots or nothing is still a name in the same folder; nothing above it is touched.
    let model = Model::new(2);
    let inner = model.folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    for base in ["..", ".", "", "a b\u{202e}"] {
        let first = inner.join(format!("{base}-00001-of-00002.gguf"));
        let second = inner.join(format!("{base}-00002-of-00002.gguf"));
        std::fs::copy(model.path(0, 2), &first).unwrap();
        let e = Gguf::open(&first, LoadMode::Mmap, &Limits::default()).unwrap_err();
        assert!(e.kind() == Io && !e.to_string().contains('\u{202e}'), "{e}");
        std::fs::copy(model.path(1, 2), &second).unwrap();
        assert_eq!(Gguf::open(&first, LoadMode::Mmap, &Limits::default()).unwrap().tensors().len(), 4);
    }
}

#[cfg(unix)]
#[test]
fn links_lead_to_the_names_beside_the_link() {
    // Download caches keep files under their hash and link to them by name.
    let model = Model::new(2);
    let links = tempfile::tempdir().unwrap();
    for no in 0..2 {
        let blob = model.folder.path().join(format!("blob{no}"));
        std::fs::rename(model.path(no, 2), &blob).unwrap();
        let link = links.path().join(model.path(no, 2).file_name().unwrap());
        std::os::unix::fs::symlink(&blob, link).unwrap();
    }
    let first = links.path().join("m-00001-of-00002.gguf");
    assert_eq!(Gguf::open(&first, LoadMode::Mmap, &Limits::default()).unwrap().tensors().len(), 4);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let model = Model::new(2);
    let path = model.folder.path().join(std::ffi::OsStr::from_bytes(b"\xff-00001-of-00002.gguf"));
    std::fs::copy(model.path(0, 2), &path).unwrap();
    assert_eq!(Gguf::open(&path, LoadMode::Mmap, &Limits::default()).unwrap_err().kind(), Format);
}
