//! Any bytes as a GGUF file: parse, then read every metadata value and every tensor, and dequantize a block of each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate::gguf::{Gguf, GgufWriter, Metadata};
use ruminate::storage::Bytes;
use ruminate::{ErrorKind, Limits};

fuzz_target!(|data: &[u8]| {
    match Gguf::parse(Bytes::from_vec(data.to_vec()), &Limits::default()) {
        Ok(g) => {
            read_metadata(g.metadata());
            read_tensors(&g);
            write_again(&g);
        }
        Err(e) => {
            let shown = e.to_string();
            assert!(!shown.chars().any(char::is_control) && shown.len() < 2_000, "{e:?}");
            assert!(
                matches!(e.kind(), ErrorKind::Format | ErrorKind::Unsupported | ErrorKind::InvalidArgument),
                "{e:?}"
            );
        }
    }
});

/// Asks for every key as every type; exactly the right ones may answer.
fn read_metadata(m: &Metadata) {
    for (key, value) in m.iter() {
        let ty = value.type_name();
        assert_eq!(m.get(key).map(|v| v.type_name()), Some(ty));
        assert_eq!(m.str(key).is_ok(), ty == "str");
        assert_eq!(m.bool(key).is_ok(), ty == "bool");
        assert_eq!(m.f32(key).is_ok(), ty == "f32" || ty == "f64");
        assert_eq!(m.f32_array(key).is_ok(), ty == "array of f32" || ty == "array of f64");
        assert_eq!(m.bool_array(key).is_ok(), ty == "array of bool");
        for integer in [m.u32(key).is_ok(), m.u64(key).is_ok(), m.i32(key).is_ok()] {
            assert!(!integer || ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"].contains(&ty));
        }
        for integers in [m.u32_array(key).is_ok(), m.i32_array(key).is_ok()] {
            assert!(!integers || ty.starts_with("array of u") || ty.starts_with("array of i"));
        }
        if let Ok(Some(strs)) = m.str_array(key) {
            assert!(strs.iter().enumerate().all(|(i, text)| strs.get(i) == Some(text)));
        }
    }
}

fn read_tensors(g: &Gguf) {
    let mut ranges = Vec::new();
    for tensor in g.tensors() {
        let data = g.data(tensor);
        let (bytes, range) = g.bytes_of(tensor);
        assert_eq!(bytes.as_slice().get(range.clone()), Some(data));
        ranges.push((range.start, range.end));
        let ty = tensor.ty;
        assert_eq!(tensor.shape().iter().product::<u64>(), tensor.elements());
        assert_eq!(tensor.elements() as usize / ty.block_len() * ty.block_bytes(), data.len());
        let mut block = vec![0.0; ty.block_len()];
        ty.dequantize(&data[..ty.block_bytes()], &mut block).expect("a whole block");
    }
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "tensors overlap");
}

/// What was read can be written, and is then read as the same.
fn write_again(g: &Gguf) {
    let mut w = GgufWriter::new();
    for (key, value) in g.metadata().iter().filter(|(key, _)| *key != "general.alignment") {
        w.set(key, value.clone()).expect("a key that was read");
    }
    // Only names of 64 bytes are read but not written, for ggml's sake.
    for tensor in g.tensors().iter().filter(|t| t.name.len() < 64) {
        w.tensor(&tensor.name, tensor.shape(), tensor.ty, g.data(tensor)).expect("a tensor that was read");
    }
    let mut file = Vec::new();
    w.write(&mut file).expect("memory takes any number of bytes");
    let again = Gguf::parse(Bytes::from_vec(file), &Limits::default()).expect("our own file");
    for tensor in again.tensors() {
        let before = g.tensor(&tensor.name).expect("the same tensors");
        assert_eq!((tensor.shape(), tensor.ty, again.data(tensor)), (before.shape(), before.ty, g.data(before)));
    }
}
