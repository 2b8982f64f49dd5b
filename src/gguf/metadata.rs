//! Metadata: keys to typed values.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::quote::Quoted;
use super::str_array::StrArray;
use super::value::{Array, Value};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// The metadata of a file, in file order, with typed getters.
///
/// A getter gives `None` for a missing key and an error of kind [`Format`](crate::ErrorKind::Format) for a value of
/// another type; its `require_` twin makes a missing key an error too. Integers of every width are accepted where the
/// value fits.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
}

macro_rules! getters {
    ($($get:ident, $require:ident, $what:literal: ($($lt:tt)*) $type:ty = $convert:expr;)*) => {$(
        #[doc = concat!("The value of `key` as ", $what, "; `None` when the key is missing.")]
        pub fn $get(&self, key: &str) -> Result<Option<$($lt)* $type>> {
            self.get(key).map(|value| $convert(key, value)).transpose()
        }

        #[doc = concat!("The value of `key` as ", $what, "; an error when the key is missing.")]
        pub fn $require(&self, key: &str) -> Result<$($lt)* $type> {
            self.$get(key)?.ok_or_else(|| Error::format(format!("metadata key {} is missing", Quoted(key))))
        }
    )*};
}

impl Metadata {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).and_then(|i| self.entries.get(*i)).map(|(_, value)| value)
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    getters! {
        u32, require_u32, "an unsigned number of 32 bits": () u32 = integer;
        u64, require_u64, "an unsigned number of 64 bits": () u64 = integer;
        i32, require_i32, "a signed number of 32 bits": () i32 = integer;
        f32, require_f32, "a fraction (from f32 or f64)": () f32 = fraction;
        bool, require_bool, "a yes or no": () bool = boolean;
        str, require_str, "text": (&) str = text;
        str_array, require_str_array, "an array of texts": (&) StrArray = texts;
        u32_array, require_u32_array, "an array of unsigned numbers of 32 bits": () Vec<u32> = integers;
        i32_array, require_i32_array, "an array of signed numbers of 32 bits": () Vec<i32> = integers;
        f32_array, require_f32_array, "an array of fractions (from f32 or f64)": () Vec<f32> = fractions;
        bool_array, require_bool_array, "an array of yes or no": () Vec<bool> = booleans;
    }

    /// Adds an entry; a key that is already there is an error.
    pub(super) fn insert(&mut self, key: &str, value: Value) -> Result<()> {
        if self.index.contains_key(key) {
            return Err(Error::format(format!("metadata key {} appears twice", Quoted(key))));
        }
        self.index.insert(key.to_owned(), self.entries.len());
        self.entries.push((key.to_owned(), value));
        Ok(())
    }

    /// Reads `n` entries.
    pub(super) fn read(cursor: &mut Cursor, n: u64, limits: &Limits) -> Result<Self> {
        // The smallest entry: the length of a key, a type and one byte of value.
        let n = cursor.count(n, 8 + 4 + 1, limits.gguf_metadata_entries, "metadata entries")?;
        let mut all = Self::default();
        for i in 0..n {
            let key = cursor.str(limits.gguf_key_bytes, &format!("metadata key number {i}"))?;
            if key.is_empty() {
                return Err(Error::format(format!("metadata key number {i} is empty")));
            }
            let what = format!("metadata key {}", Quoted(key));
            let tag = cursor.u32(&what)?;
            all.insert(key, Value::read(cursor, tag, limits, &what)?)?;
        }
        Ok(all)
    }
}

fn wrong_type(key: &str, value: &Value, expected: &str) -> Error {
    Error::format(format!("metadata key {} has type {}, {expected} was expected", Quoted(key), value.type_name()))
}

/// Names of number types as messages show them.
trait Number: TryFrom<i128> {
    const NAME: &'static str;
    const ARRAY: &'static str;
}

impl Number for u32 {
    const NAME: &'static str = "u32";
    const ARRAY: &'static str = "array of u32";
}

impl Number for u64 {
    const NAME: &'static str = "u64";
    const ARRAY: &'static str = "array of u64";
}

impl Number for i32 {
    const NAME: &'static str = "i32";
    const ARRAY: &'static str = "array of i32";
}

fn integer<T: Number>(key: &str, value: &Value) -> Result<T> {
    let n = value.integer().ok_or_else(|| wrong_type(key, value, T::NAME))?;
    fit(key, value, n)
}

fn fit<T: Number>(key: &str, value: &Value, n: i128) -> Result<T> {
    let (key, has, name) = (Quoted(key), value.type_name(), T::NAME);
    T::try_from(n)
        .map_err(|_| Error::format(format!("metadata key {key} holds {n} ({has}), which does not fit {name}")))
}

fn integers<T: Number>(key: &str, value: &Value) -> Result<Vec<T>> {
    fn all<T: Number, N: Copy + Into<i128>>(key: &str, value: &Value, items: &[N]) -> Result<Vec<T>> {
        items.iter().map(|n| fit(key, value, (*n).into())).collect()
    }
    match value {
        Value::Array(Array::U8(v)) => all(key, value, v),
        Value::Array(Array::I8(v)) => all(key, value, v),
        Value::Array(Array::U16(v)) => all(key, value, v),
        Value::Array(Array::I16(v)) => all(key, value, v),
        Value::Array(Array::U32(v)) => all(key, value, v),
        Value::Array(Array::I32(v)) => all(key, value, v),
        Value::Array(Array::U64(v)) => all(key, value, v),
        Value::Array(Array::I64(v)) => all(key, value, v),
        _ => Err(wrong_type(key, value, T::ARRAY)),
    }
}

fn fraction(key: &str, value: &Value) -> Result<f32> {
    match value {
        Value::F32(x) => Ok(*x),
        Value::F64(x) => Ok(*x as f32),
        _ => Err(wrong_type(key, value, "f32")),
    }
}

fn fractions(key: &str, value: &Value) -> Result<Vec<f32>> {
    match value {
        Value::Array(Array::F32(v)) => Ok(v.clone()),
        Value::Array(Array::F64(v)) => Ok(v.iter().map(|x| *x as f32).collect()),
        _ => Err(wrong_type(key, value, "array of f32")),
    }
}

fn boolean(key: &str, value: &Value) -> Result<bool> {
    match value {
        Value::Bool(b) => Ok(*b),
        _ => Err(wrong_type(key, value, "bool")),
    }
}

fn booleans(key: &str, value: &Value) -> Result<Vec<bool>> {
    match value {
        Value::Array(Array::Bool(v)) => Ok(v.clone()),
        _ => Err(wrong_type(key, value, "array of bool")),
    }
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str> {
    match value {
        Value::Str(s) => Ok(s),
        _ => Err(wrong_type(key, value, "str")),
    }
}

fn texts<'a>(key: &str, value: &'a Value) -> Result<&'a StrArray> {
    match value {
        Value::Array(Array::Str(v)) => Ok(v),
        _ => Err(wrong_type(key, value, "array of str")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn sample() -> Metadata {
        let mut m = Metadata::default();
        let strs = StrArray::from_strs(["a", "", "ü"]).unwrap();
        for (key, value) in [
            ("u8", Value::U8(200)),
            ("i64", Value::I64(-1)),
            ("u64", Value::U64(5_000_000_000)),
            ("f32", Value::F32(0.5)),
            ("f64", Value::F64(0.25)),
            ("bool", Value::Bool(true)),
            ("str", Value::Str("hello".into())),
            ("strs", Value::Array(Array::Str(strs))),
            ("i32s", Value::Array(Array::I32(vec![1, -2]))),
            ("f64s", Value::Array(Array::F64(vec![1.5]))),
            ("bools", Value::Array(Array::Bool(vec![true, false]))),
        ] {
            m.insert(key, value).unwrap();
        }
        m
    }

    #[test]
    fn integers_of_any_width_are_taken_where_they_fit() {
        let m = sample();
        assert_eq!(m.u32("u8").unwrap(), Some(200));
        assert_eq!(m.i32("i64").unwrap(), Some(-1));
        assert_eq!(m.u64("u64").unwrap(), Some(5_000_000_000));
        assert_eq!(m.i32_array("i32s").unwrap(), Some(vec![1, -2]));
        for e in [m.u32("u64").unwrap_err(), m.u64("i64").unwrap_err(), m.u32_array("i32s").unwrap_err()] {
            assert!(e.kind() == ErrorKind::Format && e.to_string().contains("does not fit"), "{e}");
        }
    }

    #[test]
    fn other_types_are_taken_as_they_are() {
        let m = sample();
        assert_eq!(m.f32("f32").unwrap(), Some(0.5));
        assert_eq!(m.f32("f64").unwrap(), Some(0.25));
        assert_eq!(m.f32_array("f64s").unwrap(), Some(vec![1.5]));
        assert_eq!(m.bool("bool").unwrap(), Some(true));
        assert_eq!(m.bool_array("bools").unwrap(), Some(vec![true, false]));
        assert_eq!(m.str("str").unwrap(), Some("hello"));
        assert_eq!(m.require_str_array("strs").unwrap().iter().collect::<Vec<_>>(), ["a", "", "ü"]);
    }

    #[test]
    fn a_wrong_type_names_the_key_and_both_types() {
        let m = sample();
        let messages = [
            (m.u32("f32").unwrap_err(), "\"f32\" has type f32, u32 was expected"),
            (m.f32("u8").unwrap_err(), "\"u8\" has type u8, f32 was expected"),
            (m.bool("u8").unwrap_err(), "bool was expected"),
            (m.str("strs").unwrap_err(), "has type array of str, str was expected"),
            (m.str_array("str").unwrap_err(), "array of str was expected"),
            (m.u32_array("u8").unwrap_err(), "array of u32 was expected"),
            (m.f32_array("i32s").unwrap_err(), "has type array of i32, array of f32 was expected"),
            (m.bool_array("i32s").unwrap_err(), "array of bool was expected"),
        ];
        for (e, fragment) in messages {
            assert!(e.kind() == ErrorKind::Format && e.to_string().contains(fragment), "{e}");
        }
    }

    #[test]
    fn a_missing_key_is_none_and_an_error_where_required() {
        let m = sample();
        assert_eq!(m.u32("no").unwrap(), None);
        let e = m.require_u32("no").unwrap_err();
        assert_eq!(e.to_string(), "metadata key \"no\" is missing");
    }
}
