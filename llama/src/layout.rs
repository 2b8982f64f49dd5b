//! What llama.cpp's bytes of a run of tokens have to look like.
//!
//! Its reader trusts positions, and ends the process where they are not what it expects. So everything but the numbers of keys and values
//! is checked here first, against the layout that the pinned version writes (`llama_kv_cache::state_write`):
//!
//! a mark and a sequence, then for each cache (two with sliding windows): streams; cells; for each cell its position, its number of
//! sequences and the sequence; whether values are transposed, layers, rotations of keys and of values; for each layer the keys' type,
//! bytes of a row, and rows; the same of the values, or, transposed, their type, bytes of a number, numbers of a row, and columns.

/// Caches of one context, at most.
const CACHES: usize = 2;

/// What is wrong with `bytes` as the saved run from `start` to `end`.
pub(crate) fn check(bytes: &[u8], start: usize, end: usize) -> std::result::Result<(), &'static str> {
    let n = end.checked_sub(start).filter(|n| *n > 0).ok_or("an empty run")?;
    let mut rest = Reader(bytes);
    // The mark, which llama.cpp checks, and the sequence, which it passes over.
    rest.skip(8)?;
    for _ in 0..CACHES {
        check_cache(&mut rest, start, n)?;
        if rest.0.is_empty() {
            return Ok(());
        }
    }
    Err("bytes follow its end")
}

fn check_cache(rest: &mut Reader<'_>, start: usize, n: usize) -> std::result::Result<(), &'static str> {
    if rest.number()? != 1 {
        return Err("more than one stream");
    }
    if rest.number()? != n {
        return Err("not all of its tokens");
    }
    let mut seen = vec![false; n];
    for _ in 0..n {
        let (position, sequences, _) = (rest.number()?, rest.number()?, rest.number()?);
        let place = position.checked_sub(start).and_then(|at| seen.get_mut(at)).ok_or("a position outside of it")?;
        if sequences != 1 || std::mem::replace(place, true) {
            return Err("a position twice");
        }
    }
    let (transposed, layers) = (rest.number()?, rest.number()?);
    rest.skip(8)?;
    for _ in 0..layers {
        rest.rows(n)?;
    }
    for _ in 0..layers {
        if transposed == 0 {
            rest.rows(n)?;
        } else {
            rest.skip(4)?;
            let (size, width) = (rest.number()?, rest.number()?);
            rest.skip(size.checked_mul(width).and_then(|row| row.checked_mul(n)).ok_or("rows too long")?)?;
        }
    }
    Ok(())
}

/// The bytes that were not read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn skip(&mut self, n: usize) -> std::result::Result<(), &'static str> {
        self.0 = self.0.get(n..).ok_or("it ends too early")?;
        Ok(())
    }

    /// A number of 32 bits.
    fn number(&mut self) -> std::result::Result<usize, &'static str> {
        let (number, rest) = self.0.split_first_chunk().ok_or("it ends too early")?;
        self.0 = rest;
        usize::try_from(u32::from_ne_bytes(*number)).map_err(|_| "a number too large")
    }

    /// A type, the bytes of a row, and `n` rows.
    fn rows(&mut self, n: usize) -> std::result::Result<(), &'static str> {
        self.skip(4)?;
        let (row, rest) = self.0.split_first_chunk().ok_or("it ends too early")?;
        self.0 = rest;
        let row = usize::try_from(u64::from_ne_bytes(*row)).map_err(|_| "rows too long")?;
        self.skip(row.checked_mul(n).ok_or("rows too long")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens at 5 and 6, one layer, keys and values of 4 bytes.
    fn saved() -> Vec<u8> {
        let mut numbers = vec![0xaf14_3cd8u32, 3, 1, 2, 6, 1, 3, 5, 1, 3, 0, 1, 0, 0];
        for _ in 0..2 {
            numbers.extend([1, 4, 0, 7, 8]);
        }
        numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
    }

    #[test]
    fn what_llama_cpp_writes_is_taken_and_anything_else_is_not() {
        let bytes = saved();
        assert_eq!(check(&bytes, 5, 7), Ok(()));
        let mut two_caches = bytes.clone();
        two_caches.extend(&bytes[8..]);
        assert_eq!(check(&two_caches, 5, 7), Ok(()));
        two_caches.extend(&bytes[8..]);
        assert!(check(&two_caches, 5, 7).is_err());
        assert!(check(&bytes, 5, 5).is_err() && check(&bytes, 6, 5).is_err());
        assert!(check(&bytes, 4, 6).is_err() && check(&bytes, 5, 8).is_err());
        for end in 0..bytes.len() {
            assert!(check(&bytes[..end], 5, 7).is_err(), "{end}");
        }
    }

    #[test]
    fn what_llama_cpp_would_not_survive_is_refused() {
        // Streams, cells, positions and sequences: -1, beyond the run, the same one twice.
        let changes =
            [(2, 2u32), (3, 1), (3, 3), (3, u32::MAX), (4, u32::MAX), (4, 7), (4, 5), (5, 0), (5, 2), (8, u32::MAX)];
        for (at, number) in changes {
            let mut bytes = saved();
            bytes[4 * at..4 * at + 4].copy_from_slice(&number.to_ne_bytes());
            assert!(check(&bytes, 5, 7).is_err(), "{at}: {number}");
        }
        // Layers and rows that would reach beyond its end.
        for at in [11, 15, 16] {
            let mut bytes = saved();
            bytes[4 * at..4 * at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert!(check(&bytes, 5, 7).is_err(), "{at}");
        }
    }
}
