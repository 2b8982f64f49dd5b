//! Metadata values as GGUF bytes; the counterpart of [`Value::read`].

use super::str_array::StrArray;
use super::value::{Array, Value, tag};

/// Appends a string: its length in bytes, then its text.
pub(super) fn str(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the type number of `value` and the value.
pub(super) fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => scalar(out, tag::U8, x.to_le_bytes()),
        Value::I8(x) => scalar(out, tag::I8, x.to_le_bytes()),
        Value::U16(x) => scalar(out, tag::U16, x.to_le_bytes()),
        Value::I16(x) => scalar(out, tag::I16, x.to_le_bytes()),
        Value::U32(x) => scalar(out, tag::U32, x.to_le_bytes()),
        Value::I32(x) => scalar(out, tag::I32, x.to_le_bytes()),
        Value::U64(x) => scalar(out, tag::U64, x.to_le_bytes()),
        Value::I64(x) => scalar(out, tag::I64, x.to_le_bytes()),
        Value::F32(x) => scalar(out, tag::F32, x.to_le_bytes()),
        Value::F64(x) => scalar(out, tag::F64, x.to_le_bytes()),
        Value::Bool(x) => scalar(out, tag::BOOL, [u8::from(*x)]),
        Value::Str(text) => {
            out.extend(tag::STR.to_le_bytes());
            str(out, text);
        }
        Value::Array(items) => {
            out.extend(tag::ARRAY.to_le_bytes());
            array(out, items);
        }
    }
}

fn array(out: &mut Vec<u8>, items: &Array) {
    match items {
        Array::U8(v) => numbers(out, tag::U8, v, |x| x.to_le_bytes()),
        Array::I8(v) => numbers(out, tag::I8, v, |x| x.to_le_bytes()),
        Array::U16(v) => numbers(out, tag::U16, v, |x| x.to_le_bytes()),
        Array::I16(v) => numbers(out, tag::I16, v, |x| x.to_le_bytes()),
        Array::U32(v) => numbers(out, tag::U32, v, |x| x.to_le_bytes()),
        Array::I32(v) => numbers(out, tag::I32, v, |x| x.to_le_bytes()),
        Array::U64(v) => numbers(out, tag::U64, v, |x| x.to_le_bytes()),
        Array::I64(v) => numbers(out, tag::I64, v, |x| x.to_le_bytes()),
        Array::F32(v) => numbers(out, tag::F32, v, |x| x.to_le_bytes()),
        Array::F64(v) => numbers(out, tag::F64, v, |x| x.to_le_bytes()),
        Array::Bool(v) => numbers(out, tag::BOOL, v, |x| [u8::from(x)]),
        Array::Str(v) => strs(out, v),
    }
}

fn scalar<const N: usize>(out: &mut Vec<u8>, tag: u32, bytes: [u8; N]) {
    out.extend(tag.to_le_bytes());
    out.extend(bytes);
}

fn numbers<T: Copy, const N: usize>(out: &mut Vec<u8>, tag: u32, items: &[T], bytes: impl Fn(T) -> [u8; N]) {
    array_head(out, tag, items.len());
    items.iter().for_each(|x| out.extend(bytes(*x)));
}

fn strs(out: &mut Vec<u8>, items: &StrArray) {
    array_head(out, tag::STR, items.len());
    items.iter().for_each(|text| str(out, text));
}

fn array_head(out: &mut Vec<u8>, tag: u32, len: usize) {
    out.extend(tag.to_le_bytes());
    out.extend((len as u64).to_le_bytes());
}
