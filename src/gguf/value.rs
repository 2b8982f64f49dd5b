//! Metadata values of every GGUF type.

use super::cursor::Cursor;
use super::extent::Extent;
use super::str_array::StrArray;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// One metadata value, owned: it stays what it was when it was validated, whatever happens to the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the GGUF type of its name")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Str(String),
    Array(Array),
}

/// A metadata array; GGUF's arrays of arrays are refused.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the GGUF type of its name")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Str(StrArray),
}

impl Value {
    /// A number or a truth value as text; `None` for a string or an array.
    pub fn scalar_text(&self) -> Option<String> {
        Some(match self {
            Self::U8(n) => n.to_string(),
            Self::I8(n) => n.to_string(),
            Self::U16(n) => n.to_string(),
            Self::I16(n) => n.to_string(),
            Self::U32(n) => n.to_string(),
            Self::I32(n) => n.to_string(),
            Self::U64(n) => n.to_string(),
            Self::I64(n) => n.to_string(),
            Self::F32(n) => n.to_string(),
            Self::F64(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Str(_) | Self::Array(_) => return None,
        })
    }

    /// The name of the value's type as messages show it, such as `u32` or `array of str`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Bool(_) => "bool",
            Self::Str(_) => "str",
            Self::Array(a) => a.type_name(),
        }
    }

    /// The value as an integer of any width, if it is one.
    pub(super) fn integer(&self) -> Option<i128> {
        Some(match self {
            Self::U8(n) => (*n).into(),
            Self::I8(n) => (*n).into(),
            Self::U16(n) => (*n).into(),
            Self::I16(n) => (*n).into(),
            Self::U32(n) => (*n).into(),
            Self::I32(n) => (*n).into(),
            Self::U64(n) => (*n).into(),
            Self::I64(n) => (*n).into(),
            _ => return None,
        })
    }

    /// Reads the value of GGUF type number `tag`. `what` names the key in messages.
    pub(super) fn read(cursor: &mut Cursor, tag: u32, limits: &Limits, what: &str) -> Result<Self> {
        Ok(match tag {
            tag::U8 => Self::U8(u8::from_le_bytes(cursor.array(what)?)),
            tag::I8 => Self::I8(i8::from_le_bytes(cursor.array(what)?)),
            tag::U16 => Self::U16(u16::from_le_bytes(cursor.array(what)?)),
            tag::I16 => Self::I16(i16::from_le_bytes(cursor.array(what)?)),
            tag::U32 => Self::U32(u32::from_le_bytes(cursor.array(what)?)),
            tag::I32 => Self::I32(i32::from_le_bytes(cursor.array(what)?)),
            tag::U64 => Self::U64(u64::from_le_bytes(cursor.array(what)?)),
            tag::I64 => Self::I64(i64::from_le_bytes(cursor.array(what)?)),
            tag::F32 => Self::F32(f32::from_le_bytes(cursor.array(what)?)),
            tag::F64 => Self::F64(f64::from_le_bytes(cursor.array(what)?)),
            tag::BOOL => Self::Bool(boolean(cursor.u8(what)?, what)?),
            tag::STR => Self::Str(cursor.str(limits.gguf_string_bytes, what)?.to_owned()),
            tag::ARRAY => Self::Array(Array::read(cursor, limits, what)?),
            _ => return Err(Error::format(format!("{what} has the unknown value type {tag}"))),
        })
    }
}

impl Array {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Str(v) => v.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the array's type as messages show it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "array of u8",
            Self::I8(_) => "array of i8",
            Self::U16(_) => "array of u16",
            Self::I16(_) => "array of i16",
            Self::U32(_) => "array of u32",
            Self::I32(_) => "array of i32",
            Self::U64(_) => "array of u64",
            Self::I64(_) => "array of i64",
            Self::F32(_) => "array of f32",
            Self::F64(_) => "array of f64",
            Self::Bool(_) => "array of bool",
            Self::Str(_) => "array of str",
        }
    }

    fn read(cursor: &mut Cursor, limits: &Limits, what: &str) -> Result<Self> {
        let tag = cursor.u32(what)?;
        let stated = cursor.u64(what)?;
        let size = match tag {
            tag::U8 | tag::I8 | tag::BOOL => 1,
            tag::U16 | tag::I16 => 2,
            tag::U32 | tag::I32 | tag::F32 => 4,
            tag::U64 | tag::I64 | tag::F64 | tag::STR => 8,
            tag::ARRAY => {
                return Err(Error::unsupported(format!("{what} is an array of arrays, which is not supported")));
            }
            _ => return Err(Error::format(format!("{what} is an array of the unknown value type {tag}"))),
        };
        let elements = format!("elements in {what}");
        let n = cursor.count(stated, size, limits.gguf_array_len, &elements)?;
        if tag == tag::STR {
            return StrArray::read(cursor, n, limits, what).map(Self::Str);
        }
        let bytes = Extent::new(stated).mul(size).ok_or_else(|| Error::format(format!("{what} is too large")))?;
        let bytes = cursor.take(bytes, what)?;
        Ok(match tag {
            tag::U8 => Self::U8(bytes.to_vec()),
            tag::I8 => Self::I8(numbers(bytes, i8::from_le_bytes)),
            tag::U16 => Self::U16(numbers(bytes, u16::from_le_bytes)),
            tag::I16 => Self::I16(numbers(bytes, i16::from_le_bytes)),
            tag::U32 => Self::U32(numbers(bytes, u32::from_le_bytes)),
            tag::I32 => Self::I32(numbers(bytes, i32::from_le_bytes)),
            tag::U64 => Self::U64(numbers(bytes, u64::from_le_bytes)),
            tag::I64 => Self::I64(numbers(bytes, i64::from_le_bytes)),
            tag::F32 => Self::F32(numbers(bytes, f32::from_le_bytes)),
            tag::F64 => Self::F64(numbers(bytes, f64::from_le_bytes)),
            _ => Self::Bool(bytes.iter().map(|b| boolean(*b, what)).collect::<Result<_>>()?),
        })
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(x: $type) -> Self {
                Self::$variant(x)
            }
        }

        impl From<Vec<$type>> for Value {
            fn from(items: Vec<$type>) -> Self {
                Self::Array(Array::$variant(items))
            }
        }
    )*};
}

from!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);
from!(bool => Bool);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<StrArray> for Value {
    fn from(items: StrArray) -> Self {
        Self::Array(Array::Str(items))
    }
}

impl From<Array> for Value {
    fn from(items: Array) -> Self {
        Self::Array(items)
    }
}

/// GGUF's numbers for value types.
pub(super) mod tag {
    pub(crate) const U8: u32 = 0;
    pub(crate) const I8: u32 = 1;
    pub(crate) const U16: u32 = 2;
    pub(crate) const I16: u32 = 3;
    pub(crate) const U32: u32 = 4;
    pub(crate) const I32: u32 = 5;
    pub(crate) const F32: u32 = 6;
    pub(crate) const BOOL: u32 = 7;
    pub(crate) const STR: u32 = 8;
    pub(crate) const ARRAY: u32 = 9;
    pub(crate) const U64: u32 = 10;
    pub(crate) const I64: u32 = 11;
    pub(crate) const F64: u32 = 12;
}

fn numbers<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
}

fn boolean(byte: u8, what: &str) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::format(format!("{what} holds the bool {byte}; only 0 and 1 are allowed"))),
    }
}
