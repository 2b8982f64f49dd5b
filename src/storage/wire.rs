//! Numbers and texts in the project's own binary files: little-endian, 64 bits each, texts with their length before them.

use std::io::{Read, Write};

use crate::error::{Error, Result};

/// Writes a number.
pub fn put_u64(out: &mut dyn Write, number: u64) -> Result<()> {
    put_raw(out, &number.to_le_bytes())
}

/// Writes a number as its bits.
pub fn put_f64(out: &mut dyn Write, number: f64) -> Result<()> {
    put_u64(out, number.to_bits())
}

/// Writes the length and the bytes of a text.
pub fn put_text(out: &mut dyn Write, text: &str) -> Result<()> {
    put_u64(out, text.len() as u64)?;
    put_raw(out, text.as_bytes())
}

/// Writes bytes whose number the reader knows.
pub fn put_raw(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|e| Error::io("writing", e))
}

/// Reads a number.
pub fn get_u64(input: &mut dyn Read) -> Result<u64> {
    let mut bytes = [0; 8];
    get_raw(input, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads a number from its bits.
pub fn get_f64(input: &mut dyn Read) -> Result<f64> {
    get_u64(input).map(f64::from_bits)
}

/// Reads a number that is at most `most`; `what` names it in the error.
pub fn get_within(input: &mut dyn Read, most: u64, what: &str) -> Result<u64> {
    match get_u64(input)? {
        number if number <= most => Ok(number),
        number => Err(Error::format(format!("{what}: {number} is above the cap of {most}"))),
    }
}

/// Reads a text of at most `most` bytes; `what` names it in the error.
pub fn get_text(input: &mut dyn Read, most: u64, what: &str) -> Result<String> {
    let len = get_within(input, most, what)?;
    let mut bytes = Vec::new();
    // The length is not trusted: memory grows with the bytes that are there.
    let read = input.take(len).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e))?;
    if read as u64 != len {
        return Err(Error::format(format!("{what}: the file ends too early")));
    }
    String::from_utf8(bytes).map_err(|_| Error::format(format!("{what}: not UTF-8")))
}

/// Fills `bytes`.
pub fn get_raw(input: &mut dyn Read, bytes: &mut [u8]) -> Result<()> {
    input.read_exact(bytes).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::format("the file ends too early"),
        _ => Error::io("reading", e),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_got_and_lies_are_refused() {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, 7).unwrap();
        put_f64(&mut bytes, -0.5).unwrap();
        put_text(&mut bytes, "zwölf").unwrap();
        let mut input = bytes.as_slice();
        assert_eq!((get_u64(&mut input).unwrap(), get_f64(&mut input).unwrap()), (7, -0.5));
        assert_eq!(get_text(&mut input, 6, "word").unwrap(), "zwölf");
        assert!(get_u64(&mut input).is_err());
        assert!(get_text(&mut &bytes[16..], 5, "word").unwrap_err().to_string().contains("cap"));
        assert!(get_text(&mut &bytes[16..bytes.len() - 1], 6, "word").unwrap_err().to_string().contains("early"));
        assert!(get_text(&mut &u64::MAX.to_le_bytes()[..], u64::MAX, "word").is_err(), "no memory is taken for a lie");
    }
}
