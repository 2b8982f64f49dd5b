//! What is written can be read, byte for byte as an independent writer writes it.
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::io::Write;
use std::path::Path;

use ruminate::gguf::{Array, Gguf, GgufWriter, StrArray, Value};
use ruminate::quant::QuantType;
use ruminate::storage::{Bytes, LoadMode};
use ruminate::{Error, ErrorKind, Limits, Result};

/// Written by `fixtures/make_gguf_golden.py`.
const GOLDEN: &str = "tests/fixtures/gguf_golden.gguf";

fn floats(x: impl IntoIterator<Item = f32>) -> Vec<u8> {
    x.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn written(writer: &GgufWriter) -> Vec<u8> {
    let mut out = Vec::new();
    writer.write(&mut out).unwrap();
    out
}

fn golden() -> GgufWriter<'static> {
    let mut w = GgufWriter::new();
    w.set("general.architecture", "golden").unwrap();
    w.set("a.u8", 200_u8).unwrap();
    w.set("a.i8", -100_i8).unwrap();
    w.set("a.u16", 60_000_u16).unwrap();
    w.set("a.i16", -30_000_i16).unwrap();
    w.set("a.u32", 4_000_000_000_u32).unwrap();
    w.set("a.i32", -2_000_000_000_i32).unwrap();
    w.set("a.u64", (1_u64 << 63) + 1).unwrap();
    w.set("a.i64", -(1_i64 << 62)).unwrap();
    w.set("a.f32", 0.1_f32).unwrap();
    w.set("a.f64", 0.1_f64).unwrap();
    w.set("a.yes", true).unwrap();
    w.set("a.no", false).unwrap();
    w.set("a.str", "Grüße \u{1f600}\n").unwrap();
    w.set_alignment(64).unwrap();
    w.set("b.i32s", vec![1_i32, -2, 3]).unwrap();
    w.set("b.f32s", vec![0.5_f32, -0.25]).unwrap();
    w.set("b.bools", vec![true, false, true]).unwrap();
    w.set("b.strs", StrArray::from_strs(["a", "", "ü", "<0x0A>"]).unwrap()).unwrap();
    w.tensor("f32", &[3, 2], QuantType::F32, floats((0..6).map(|i| i as f32))).unwrap();
    let f16 = (0..10).map(|i| i as f32 / 8.0).collect::<Vec<_>>();
    w.tensor("f16", &[10], QuantType::F16, QuantType::F16.quantize(&f16).unwrap()).unwrap();
    w
}

#[test]
fn the_golden_file_is_read_as_it_was_meant() {
    for mode in [LoadMode::Mmap, LoadMode::Read] {
        let g = Gguf::open(Path::new(GOLDEN), mode, &Limits::default()).unwrap();
        assert_eq!((g.version(), g.alignment()), (3, 64));
        let m = g.metadata();
        assert_eq!(m.u32("a.u8").unwrap(), Some(200));
        assert_eq!(m.i32("a.i8").unwrap(), Some(-100));
        assert_eq!(m.u64("a.u64").unwrap(), Some((1 << 63) + 1));
        assert_eq!(m.get("a.i64"), Some(&Value::I64(-(1 << 62))));
        assert_eq!(m.f32("a.f64").unwrap(), Some(0.1));
        assert_eq!(m.bool("a.no").unwrap(), Some(false));
        assert_eq!(m.require_str("a.str").unwrap(), "Grüße \u{1f600}\n");
        assert_eq!(m.require_bool_array("b.bools").unwrap(), [true, false, true]);
        assert_eq!(m.require_str_array("b.strs").unwrap().iter().collect::<Vec<_>>(), ["a", "", "ü", "<0x0A>"]);
        assert_eq!(m.len(), 19);
        assert_eq!(g.tensors().len(), 3);
        let q8_0 = g.tensor("blk.0.q8_0.weight").unwrap();
        assert_eq!(
            (q8_0.shape(), q8_0.ty, q8_0.elements(), q8_0.byte_len()),
            (&[64, 2][..], QuantType::Q8_0, 128, 136)
        );
        let mut x = vec![0.0; 128];
        q8_0.ty.dequantize(g.data(q8_0), &mut x).unwrap();
        for (i, x) in x.into_iter().enumerate() {
            assert!((x - (i as f32).sin()).abs() < 0.005);
        }
    }
}

#[test]
fn our_file_has_the_bytes_of_the_independent_writer() {
    let theirs = Gguf::open(Path::new(GOLDEN), LoadMode::Read, &Limits::default()).unwrap();
    let q8_0 = theirs.tensor("blk.0.q8_0.weight").unwrap();
    let mut w = golden();
    w.tensor(&q8_0.name, q8_0.shape(), q8_0.ty, theirs.data(q8_0)).unwrap();
    assert_eq!(written(&w), std::fs::read(GOLDEN).unwrap());
    let ours = Gguf::parse(Bytes::from_vec(written(&w)), &Limits::default()).unwrap();
    assert_eq!(ours.fingerprint(), theirs.fingerprint());
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough randomness for shapes and bytes.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> String {
        (0..self.below(12)).filter_map(|_| char::from_u32(self.below(0x3000) as u32)).collect()
    }

    fn many<T>(&mut self, one: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(9)).map(|_| one(self)).collect()
    }

    fn value(&mut self) -> Value {
        match self.below(25) {
            0 => (self.next() as u8).into(),
            1 => (self.next() as i8).into(),
            2 => (self.next() as u16).into(),
            3 => (self.next() as i16).into(),
            4 => (self.next() as u32).into(),
            5 => (self.next() as i32).into(),
            6 => self.next().into(),
            7 => (self.next() as i64).into(),
            8 => (self.next() as f32).into(),
            9 => (self.next() as f64).into(),
            10 => (self.below(2) == 1).into(),
            11 => self.text().into(),
            12 => self.many(|r| r.next() as u8).into(),
            13 => self.many(|r| r.next() as i8).into(),
            14 => self.many(|r| r.next() as u16).into(),
            15 => self.many(|r| r.next() as i16).into(),
            16 => self.many(|r| r.next() as u32).into(),
            17 => self.many(|r| r.next() as i32).into(),
            18 => self.many(Self::next).into(),
            19 => self.many(|r| r.next() as i64).into(),
            20 => self.many(|r| r.next() as f32).into(),
            21 => self.many(|r| r.next() as f64).into(),
            22 => self.many(|r| r.below(2) == 1).into(),
            _ => Value::Array(Array::Str(StrArray::from_strs(self.many(Self::text)).unwrap())),
        }
    }

    fn tensor(&mut self) -> (Vec<u64>, QuantType, Vec<u8>) {
        let ty = QuantType::ALL[self.below(QuantType::ALL.len() as u64) as usize];
        let mut shape = vec![ty.block_len() as u64 * (1 + self.below(3))];
        shape.extend((0..self.below(4)).map(|_| 1 + self.below(3)));
        let rows: u64 = shape[1..].iter().product();
        let data = self.bytes(ty.row_bytes(shape[0] as usize).unwrap() * rows as usize);
        (shape, ty, data)
    }
}

#[test]
fn whatever_is_written_is_read_back() {
    for seed in 0..300 {
        let mut rng = Rng(seed);
        let entries: Vec<_> = (0..rng.below(12)).map(|i| (format!("{i}.{}", rng.text()), rng.value())).collect();
        let tensors: Vec<_> = (0..rng.below(8)).map(|i| (format!("t{i}"), rng.tensor())).collect();
        let alignment = 8 << rng.below(6);
        let mut w = GgufWriter::new();
        entries.iter().for_each(|(key, value)| w.set(key, value.clone()).unwrap());
        w.set_alignment(alignment).unwrap();
        for (i, (name, (shape, ty, data))) in tensors.iter().enumerate() {
            if i % 2 == 0 {
                w.tensor(name, shape, *ty, data).unwrap();
            } else {
                let stream = |out: &mut dyn Write| out.write_all(data).map_err(|_| Error::new(ErrorKind::Io, "write"));
                w.tensor_stream(name, shape, *ty, stream).unwrap();
            }
        }
        let file = written(&w);
        let g = Gguf::parse(Bytes::from_vec(file.clone()), &Limits::default()).unwrap();
        assert_eq!(g.file_len(), file.len() as u64);
        assert_eq!(g.alignment(), alignment);
        let read: Vec<_> = g.metadata().iter().filter(|(key, _)| *key != "general.alignment").collect();
        assert_eq!(read, entries.iter().map(|(key, value)| (key.as_str(), value)).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(g.tensors().len(), tensors.len());
        for (tensor, (name, (shape, ty, data))) in g.tensors().iter().zip(&tensors) {
            assert_eq!((&tensor.name, tensor.shape(), tensor.ty), (name, &shape[..], *ty));
            assert_eq!(g.data(tensor), data);
            assert!((g.data(tensor).as_ptr() as usize).is_multiple_of(alignment.min(64) as usize));
            let (bytes, range) = g.bytes_of(tensor);
            assert_eq!(&bytes.as_slice()[range], data);
        }
    }
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let mut w = GgufWriter::new();
    w.set("twice", 1_u32).unwrap();
    w.tensor("twice", &[1], QuantType::F32, vec![0; 4]).unwrap();
    let long = "x".repeat(70_000);
    let refused: [(&str, Result<()>); 14] = [
        ("appears twice", w.set("twice", 2_u32)),
        ("not 0", w.set("", 2_u32)),
        ("not 70000", w.set(&long, 2_u32)),
        ("own call", w.set("general.alignment", 32_u32)),
        ("alignment of 0", w.set_alignment(0)),
        ("alignment of 48", w.set_alignment(48)),
        ("alignment of 1048576", w.set_alignment(1 << 20)),
        ("added before", w.tensor("twice", &[1], QuantType::F32, vec![0; 4])),
        ("1 to 63 bytes", w.tensor(&long, &[1], QuantType::F32, vec![0; 4])),
        ("takes 4 bytes of data, 5 were given", w.tensor("t", &[1], QuantType::F32, vec![0; 5])),
        ("whole number of Q4_0 blocks", w.tensor("t", &[33], QuantType::Q4_0, vec![0; 36])),
        ("one to four numbers", w.tensor("t", &[], QuantType::F32, vec![0; 4])),
        ("one to four numbers", w.tensor("t", &[1, 0], QuantType::F32, vec![])),
        ("leaves 63 bits", w.tensor("t", &[1 << 32, 1 << 32], QuantType::F32, vec![])),
    ];
    for (fragment, result) in refused {
        let e = result.unwrap_err();
        assert!(e.kind() == ErrorKind::InvalidArgument && e.to_string().contains(fragment), "{fragment}: {e}");
    }
    let g = Gguf::parse(Bytes::from_vec(written(&w)), &Limits::default()).unwrap();
    assert_eq!((g.metadata().len(), g.tensors().len()), (1, 1));
}

#[test]
fn a_stream_of_another_length_fails_and_the_old_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("head.gguf");
    golden().save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    for n in [0, 3, 5] {
        let mut w = golden();
        let stream =
            move |out: &mut dyn Write| out.write_all(&vec![1; n]).map_err(|_| Error::new(ErrorKind::Io, "write"));
        w.tensor_stream("t", &[1], QuantType::F32, stream).unwrap();
        let e = w.save(&path).unwrap_err();
        assert!(e.to_string().contains(&format!("\"t\" has {n} bytes, not 4")), "{e}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
