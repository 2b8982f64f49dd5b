//! GGUF files that lie. Each is refused with an error of the right kind that says what is wrong, without a panic, a
//! control character in the message or memory beyond the file's own size, also when every limit is lifted.
#![allow(clippy::unwrap_used, reason = "a failed test has to stop")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ruminate::ErrorKind::{self, Format, InvalidArgument, Unsupported};
use ruminate::gguf::{Gguf, GgufWriter, Value};
use ruminate::quant::QuantType;
use ruminate::storage::Bytes;
use ruminate::{Limits, Result};

const F32: u32 = 0;
const Q4_0: u32 = 2;

/// Type numbers of metadata values.
const T_U8: u32 = 0;
const T_U32: u32 = 4;
const T_I32: u32 = 5;
const T_F32: u32 = 6;
const T_BOOL: u32 = 7;
const T_STR: u32 = 8;
const T_ARRAY: u32 = 9;
const T_U64: u32 = 10;

/// Remembers the largest allocation of this process, which is how a lie about a size would show.
struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same one.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// A file put together by hand.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl Raw {
    /// The header with its counts.
    fn new(tensors: u64, entries: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(entries)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, n: u32) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn str(self, text: &[u8]) -> Self {
        self.u64(text.len() as u64).bytes(text)
    }

    /// A metadata key and the type of its value.
    fn key(self, key: &str, ty: u32) -> Self {
        self.str(key.as_bytes()).u32(ty)
    }

    fn array(self, key: &str, ty: u32, len: u64) -> Self {
        self.key(key, T_ARRAY).u32(ty).u64(len)
    }

    fn tensor(self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Self {
        let start = self.str(name.as_bytes()).u32(dims.len() as u32);
        dims.iter().fold(start, |raw, dim| raw.u64(*dim)).u32(ty).u64(offset)
    }

    /// Padding and `n` bytes of tensor data.
    fn data(mut self, n: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + n, 1);
        self
    }
}

type Case = (&'static str, Raw, ErrorKind, &'static str);

fn header_cases() -> Vec<Case> {
    let version = |v: u32| Raw(b"GGUF".to_vec()).u32(v).u64(0).u64(0);
    vec![
        ("nothing", Raw(vec![]), Format, "ends inside the magic bytes"),
        ("zip", Raw(b"PK\x03\x04 and more".to_vec()), Format, r#"starts with "PK\x03\x04" instead of "GGUF""#),
        ("escape sequence", Raw(b"\x1b[2J".to_vec()), Format, r"\x1b[2J"),
        ("magic only", Raw(b"GGUF".to_vec()), Format, "ends inside the version"),
        ("version 0", version(0), Format, "version of the GGUF file is 0"),
        ("version 1", version(1), Unsupported, "version 1 is not supported; convert"),
        ("version 4", version(4), Unsupported, "version 4 is not supported, only 2 and 3"),
        ("version max", version(u32::MAX), Unsupported, "version 4294967295"),
        ("big-endian", version(3_u32.swap_bytes()), Unsupported, "big-endian"),
        ("big-endian 2", version(2_u32.swap_bytes()), Unsupported, "big-endian"),
        ("no counts", Raw(b"GGUF".to_vec()).u32(3), Format, "ends inside the number of tensors"),
        ("tensors max", Raw::new(u64::MAX, 0), Format, "18446744073709551615 tensors"),
        ("tensors signed", Raw::new(1 << 63, 0), Format, "9223372036854775808 tensors"),
        ("tensors absent", Raw::new(1, 0), Format, "1 tensors cannot fit into the 0 bytes"),
        ("tensors x 24 wraps", Raw::new(u64::MAX / 24 + 1, 0).data(64), Format, "768614336404564651 tensors"),
        ("entries max", Raw::new(0, u64::MAX), Format, "18446744073709551615 metadata entries"),
        ("entries absent", Raw::new(0, 1), Format, "1 metadata entries cannot fit into the 0 bytes"),
        ("entries x 13 wraps", Raw::new(0, u64::MAX / 13 + 1).data(64), Format, "1418980313362273202 metadata"),
    ]
}

fn metadata_cases() -> Vec<Case> {
    let one = || Raw::new(0, 1);
    let alignment = |ty: u32| one().key("general.alignment", ty);
    vec![
        ("key max", one().u64(u64::MAX).data(99), Format, "metadata key number 0"),
        ("key beyond the end", one().u64(60_000).data(99), Format, "ends inside metadata key number 0"),
        (
            "key too long",
            one().str(&[b'k'; 70_000]).u32(T_U8).bytes(&[1]).data(9),
            Format,
            "70000 bytes, more than the limit of 65535",
        ),
        ("key empty", one().key("", T_U32).u32(1), Format, "number 0 is empty"),
        (
            "key not UTF-8",
            one().str(b"k\xff\x1b").u32(T_U8).bytes(&[1]),
            Format,
            "not valid UTF-8: \"k\u{fffd}\\u{1b}\"",
        ),
        (
            "key with controls",
            one().key("a\x1b[2J\n", 99).u64(0),
            Format,
            r#"key "a\u{1b}[2J\n" has the unknown value"#,
        ),
        ("key twice", Raw::new(0, 2).key("k", T_U8).bytes(&[1]).key("k", T_U32).u32(1), Format, "\"k\" appears twice"),
        ("type 13", one().key("k", 13).u64(0), Format, "\"k\" has the unknown value type 13"),
        ("type max", one().key("k", u32::MAX).u64(0), Format, "unknown value type 4294967295"),
        ("bool 2", one().key("k", T_BOOL).bytes(&[2]), Format, "\"k\" holds the bool 2"),
        ("bool 2 in an array", one().array("k", T_BOOL, 3).bytes(&[0, 1, 2]), Format, "\"k\" holds the bool 2"),
        ("value cut off", one().key("key", T_U64).bytes(&[0; 7]), Format, "ends inside metadata key \"key\""),
        ("string max", one().key("k", T_STR).u64(u64::MAX), Format, "metadata key \"k\""),
        ("string signed", one().key("k", T_STR).u64(1 << 63).data(9), Format, "metadata key \"k\""),
        ("string beyond the end", one().key("k", T_STR).u64(10).bytes(b"123456789"), Format, "10 bytes needed, 9 left"),
        ("string not UTF-8", one().key("k", T_STR).str(b"\xc3\x28"), Format, "\"k\" at byte 45 is not valid UTF-8"),
        ("string with half a surrogate", one().key("k", T_STR).str(b"\xed\xa0\x80"), Format, "not valid UTF-8"),
        ("array max", one().array("k", T_U8, u64::MAX).data(99), Format, "18446744073709551615 elements in"),
        ("array x 8 wraps to 0", one().array("k", T_U64, 1 << 61).data(99), Format, "2305843009213693952 elements in"),
        ("array x 4 wraps to 4", one().array("k", T_F32, (1 << 62) + 1).data(99), Format, "elements in"),
        (
            "array beyond the end",
            one().array("k", T_U32, 3).bytes(&[0; 11]),
            Format,
            "3 elements in metadata key \"k\" cannot",
        ),
        ("array of strings max", one().array("k", T_STR, u64::MAX).data(99), Format, "elements in"),
        ("array of strings beyond the end", one().array("k", T_STR, 12).data(9), Format, "12 elements in metadata key"),
        ("array string too long", one().array("k", T_STR, 1).u64(u64::MAX - 7).data(9), Format, "metadata key \"k\""),
        ("array string not UTF-8", one().array("k", T_STR, 2).str(b"ok").str(b"\xff"), Format, "not valid UTF-8"),
        (
            "character cut between strings",
            one().array("k", T_STR, 2).str(b"\xc3").str(b"\xbc"),
            Format,
            "not valid UTF-8",
        ),
        ("array of arrays", one().array("k", T_ARRAY, 1).u32(T_U8).u64(0), Unsupported, "\"k\" is an array of arrays"),
        ("array of type 13", one().array("k", 13, 0).data(9), Format, "array of the unknown value type 13"),
        ("alignment 0", alignment(T_U32).u32(0), Format, "general.alignment is 0; it has to be a power of two"),
        ("alignment 3", alignment(T_U32).u32(3), Format, "general.alignment is 3;"),
        (
            "alignment 4",
            alignment(T_U32).u32(4),
            Format,
            "general.alignment is 4; it has to be a power of two, at least 8",
        ),
        ("alignment 48", alignment(T_U32).u32(48), Format, "general.alignment is 48;"),
        ("alignment max", alignment(T_U32).u32(u32::MAX), Format, "general.alignment is 4294967295;"),
        ("alignment negative", alignment(T_I32).u32(-32_i32 as u32), Format, "holds -32 (i32), which does not fit u32"),
        ("alignment of 64 bits", alignment(T_U64).u64((1 << 32) + 32), Format, "holds 4294967328 (u64)"),
        ("alignment f32", alignment(T_F32).u32(0x4200_0000), Format, "has type f32, u32 was expected"),
        ("alignment text", alignment(T_STR).str(b"32"), Format, "has type str, u32 was expected"),
        ("alignment array", one().array("general.alignment", T_U32, 1).u32(32), Format, "has type array of u32"),
    ]
}

fn tensor_cases() -> Vec<Case> {
    let one = |dims: &[u64], ty, offset| Raw::new(1, 0).tensor("t", dims, ty, offset).data(128);
    let two = |a: u64, b: u64| Raw::new(2, 0).tensor("a", &[16], F32, a).tensor("b", &[16], F32, b).data(256);
    let head = |name: &[u8]| Raw::new(1, 0).str(name);
    vec![
        ("name max", Raw::new(1, 0).u64(u64::MAX).data(64), Format, "the name of tensor number 0"),
        (
            "name of 65 bytes",
            head(&[b'n'; 65]).u32(0).u32(F32).u64(0).data(64),
            Format,
            "65 bytes, more than the limit of 64",
        ),
        ("name empty", head(b"").u32(0).u32(F32).u64(0).data(64), Format, "name of tensor number 0 is empty"),
        ("name not UTF-8", head(b"\x80").u32(0).u32(F32).u64(0).data(64), Format, "name of tensor number 0 at byte 32"),
        ("5 dimensions", one(&[1; 5], F32, 0), Format, "\"t\" has 5 dimensions, at most 4"),
        ("dimensions max", head(b"t").u32(u32::MAX).data(64), Format, "has 4294967295 dimensions"),
        ("no elements", one(&[0], F32, 0), Format, "\"t\" has a dimension of zero"),
        ("no columns", one(&[0, 4], F32, 0), Format, "dimension of zero"),
        ("no rows", one(&[4, 0], F32, 0), Format, "dimension of zero"),
        ("no fourth", one(&[1, 1, 1, 0], F32, 0), Format, "dimension of zero"),
        ("zero hides an overflow", one(&[1 << 40, 1 << 40, 0], F32, 0), Format, "dimension of zero"),
        ("elements wrap to 0", one(&[1 << 32, 1 << 32], F32, 0), Format, "leaves 63 bits"),
        ("elements wrap to 16", one(&[16, 1, (1 << 60) + 1], F32, 0), Format, "leaves 63 bits"),
        ("elements of 64 bits", one(&[1 << 63], F32, 0), Format, "leaves 63 bits"),
        ("elements max", one(&[u64::MAX; 4], F32, 0), Format, "leaves 63 bits"),
        ("bytes wrap to 0", one(&[1 << 62], F32, 0), Format, "more bytes than this machine can address"),
        ("bytes wrap to 64", one(&[(1 << 62) + 16], F32, 0), Format, "more bytes than this machine can address"),
        ("exabytes", one(&[1 << 58], F32, 0), Format, "\"t\" lies outside the file: 1152921504606846976 bytes"),
        ("half a block", one(&[16], Q4_0, 0), Format, "rows of 16 elements, no whole number of Q4_0 blocks of 32"),
        ("rows of half blocks", one(&[16, 2], Q4_0, 0), Format, "rows of 16 elements"),
        ("type IQ2_XXS", one(&[256], 16, 0), Unsupported, "\"t\" cannot be used: tensor type IQ2_XXS is not supported"),
        ("type I8", one(&[256], 24, 0), Unsupported, "tensor type I8 is not supported"),
        ("type withdrawn", one(&[256], 4, 0), Unsupported, "tensor type number 4 is unknown"),
        ("type max", one(&[256], u32::MAX, 0), Unsupported, "tensor type number 4294967295 is unknown"),
        ("unaligned", one(&[1], F32, 4), Format, "\"t\" starts at 4, no multiple of the alignment 32"),
        ("one element too many", one(&[33], F32, 0), Format, "\"t\" lies outside the file: 132 bytes at 0 behind 64"),
        ("behind the end", one(&[1], F32, 128), Format, "lies outside the file"),
        ("far behind the end", one(&[1], F32, 1 << 62), Format, "lies outside the file"),
        ("offset wraps", one(&[16], F32, u64::MAX - 31), Format, "lies outside the file"),
        ("offset wraps to the start", one(&[16], F32, (-64_i64) as u64), Format, "lies outside the file"),
        ("no data", Raw::new(1, 0).tensor("t", &[1], F32, 0), Format, "damaged or not completely downloaded"),
        ("same data", two(0, 0), Format, "the data of the tensors \"a\" and \"b\" overlaps"),
        ("shared half", two(0, 32), Format, "\"a\" and \"b\" overlaps"),
        ("shared half, other order", two(32, 0), Format, "\"b\" and \"a\" overlaps"),
        (
            "name twice",
            Raw::new(2, 0).tensor("t\x07", &[1], F32, 0).tensor("t\x07", &[1], F32, 32).data(64),
            Format,
            r#"tensor "t\u{7}" appears twice"#,
        ),
    ]
}

fn cases() -> Vec<Case> {
    [header_cases(), metadata_cases(), tensor_cases()].concat()
}

fn parse(file: &[u8], limits: &Limits) -> Result<Gguf> {
    Gguf::parse(Bytes::from_vec(file.to_vec()), limits)
}

/// As if no cap existed: the arithmetic alone has to hold.
fn unlimited() -> Limits {
    let mut limits = Limits::default();
    limits.gguf_metadata_entries = u64::MAX;
    limits.gguf_tensors = u64::MAX;
    limits.gguf_key_bytes = u64::MAX;
    limits.gguf_string_bytes = u64::MAX;
    limits.gguf_array_len = u64::MAX;
    limits.gguf_tensor_name_bytes = u64::MAX;
    limits
}

/// Reads all that a parsed file offers and checks what the parser promises about it.
fn walk(g: &Gguf) {
    for (key, value) in g.metadata().iter() {
        assert_eq!(g.metadata().get(key).map(Value::type_name), Some(value.type_name()));
        if let Ok(Some(strs)) = g.metadata().str_array(key) {
            assert!(
                strs.iter().enumerate().all(|(i, text)| strs.get(i) == Some(text)) && strs.get(strs.len()).is_none()
            );
        }
    }
    for tensor in g.tensors() {
        let data = g.data(tensor);
        let row = tensor.ty.row_bytes(tensor.shape()[0] as usize).unwrap();
        assert_eq!(data.len(), tensor.shape()[1..].iter().fold(row, |n, dim| n * *dim as usize));
        assert_eq!(data.len(), tensor.byte_len());
        let mut block = vec![0.0; tensor.ty.block_len()];
        tensor.ty.dequantize(&data[..tensor.ty.block_bytes()], &mut block).unwrap();
        assert_eq!(g.tensor(&tensor.name), Some(tensor));
    }
}

fn small_valid_file() -> Vec<u8> {
    std::fs::read("tests/fixtures/gguf_golden.gguf").unwrap()
}

#[test]
fn every_lie_is_refused_for_the_right_reason() {
    let mut wrong = Vec::new();
    for (name, raw, kind, fragment) in cases() {
        match parse(&raw.0, &Limits::default()) {
            Ok(_) => wrong.push(format!("{name}: accepted")),
            Err(e) if e.kind() != kind || !e.to_string().contains(fragment) => wrong.push(format!("{name}: {e:?}")),
            Err(e) if e.to_string().chars().any(char::is_control) => wrong.push(format!("{name}: control in {e:?}")),
            Err(e) if e.to_string().len() > 500 => wrong.push(format!("{name}: long message {e:?}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_arithmetic_holds_without_any_limit() {
    // These two are refused by a limit and by nothing else.
    let by_limit = ["key too long", "name of 65 bytes"];
    for (name, raw, ..) in cases() {
        assert_eq!(parse(&raw.0, &unlimited()).is_ok(), by_limit.contains(&name), "{name}");
    }
}

#[test]
fn every_limit_is_kept() {
    let file = small_valid_file();
    parse(&file, &Limits::default()).unwrap();
    type Lower = fn(&mut Limits);
    let lowered: [(&str, Lower); 7] = [
        ("19 metadata entries, more than the limit of 18", |l| l.gguf_metadata_entries = 18),
        ("3 tensors, more than the limit of 2", |l| l.gguf_tensors = 2),
        ("metadata key number 0 has 20 bytes, more than the limit of 19", |l| l.gguf_key_bytes = 19),
        ("has 13 bytes, more than the limit of 12", |l| l.gguf_string_bytes = 12),
        ("4 elements in metadata key \"b.strs\", more than the limit of 3", |l| l.gguf_array_len = 3),
        ("tensor number 2 has 17 bytes, more than the limit of 16", |l| l.gguf_tensor_name_bytes = 16),
        ("general.alignment is 64; it has to be a power of two, at least 8 and at most 32", |l| l.gguf_alignment = 32),
    ];
    for (fragment, lower) in lowered {
        let mut limits = Limits::default();
        lower(&mut limits);
        let e = parse(&file, &limits).unwrap_err();
        assert!(e.kind() == Format && e.to_string().contains(fragment), "{fragment}: {e}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_until_its_last_tensor_is_whole() {
    let file = small_valid_file();
    let whole = parse(&file, &Limits::default()).unwrap();
    let last = whole.tensors().iter().map(|t| whole.bytes_of(t).1.end).max().unwrap();
    assert!(last < file.len());
    for n in 0..file.len() {
        match parse(&file[..n], &Limits::default()) {
            Ok(g) => assert!(n >= last && g.data(&g.tensors()[2]) == whole.data(&whole.tensors()[2]), "{n}"),
            Err(e) => assert!(n < last && e.kind() == Format, "{n}: {e}"),
        }
    }
}

#[test]
fn a_changed_byte_is_an_error_or_a_sound_file() {
    let file = small_valid_file();
    let (mut sound, mut refused) = (0, 0);
    for at in 0..file.len() {
        for change in [|b| b ^ 1, |b| b ^ 0x80, |b: u8| b.wrapping_add(1), |_| 0, |_| 0x7F, |_| 0xFF] {
            let mut changed = file.clone();
            changed[at] = change(changed[at]);
            match parse(&changed, &unlimited()) {
                Ok(g) => {
                    walk(&g);
                    sound += 1;
                }
                Err(e) => {
                    assert!(matches!(e.kind(), Format | Unsupported), "{e:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(sound > 1_000 && refused > 1_000, "{sound} sound, {refused} refused");
}

#[test]
fn sound_corners_are_accepted() {
    let scalar = Raw::new(1, 0).tensor("t", &[], F32, 0).data(4);
    let g = parse(&scalar.0, &Limits::default()).unwrap();
    assert_eq!((g.tensors()[0].shape(), g.data(&g.tensors()[0])), (&[1][..], &[1; 4][..]));
    let empty = parse(&Raw::new(0, 0).0, &Limits::default()).unwrap();
    assert!(empty.metadata().is_empty() && empty.tensors().is_empty());
    let version_2 = Raw(b"GGUF".to_vec()).u32(2).u64(0).u64(1).array("k", T_STR, 0);
    let g = parse(&version_2.0, &Limits::default()).unwrap();
    assert_eq!((g.version(), g.metadata().require_str_array("k").unwrap().len()), (2, 0));
    let reversed = Raw::new(2, 0).tensor("a", &[16], F32, 64).tensor("b", &[16], F32, 0).data(128);
    walk(&parse(&reversed.0, &Limits::default()).unwrap());
}

#[test]
fn one_file_in_memory_is_no_split_model() {
    let mut w = GgufWriter::new();
    w.set("split.no", 0_u16).unwrap();
    w.set("split.count", 2_u16).unwrap();
    w.tensor("t", &[1], QuantType::F32, vec![0; 4]).unwrap();
    let mut file = Vec::new();
    w.write(&mut file).unwrap();
    let e = parse(&file, &Limits::default()).unwrap_err();
    assert!(e.kind() == InvalidArgument && e.to_string().contains("part 1 of 2"), "{e}");
}

#[test]
fn no_lie_makes_a_large_allocation() {
    let largest_file = cases().iter().map(|(_, raw, ..)| raw.0.len()).max().unwrap();
    for (_, raw, ..) in cases() {
        let _ = parse(&raw.0, &Limits::default());
        let _ = parse(&raw.0, &unlimited());
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest >= largest_file && largest < 8 * largest_file, "{largest} bytes at once");
}
