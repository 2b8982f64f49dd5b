//! Numbers of bytes as people write them.

/// Reads `512MiB`, `2GiB`, `1.5g`, `4096`: binary multiples, as memory is counted.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(format!("unknown unit {unit:?}: use B, KiB, MiB, GiB or TiB")),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(1 << shift),
        Err(_) => {
            let value =
                number.parse::<f64>().map_err(|_| format!("{number:?} is not a number"))? * (1u64 << shift) as f64;
            (value.is_finite() && value >= 0.0 && value < u64::MAX as f64).then_some(value as u64)
        }
    };
    bytes.ok_or_else(|| "too many bytes".to_owned())
}

/// `1.5 GiB`, `512 B`.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 1024.0 && units.len() > 0 {
        value /= 1024.0;
        unit = units.next();
    }
    format!("{value:.1} {}", unit.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_multiples() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("2GiB"), Ok(2 << 30));
        assert_eq!(parse("1.5 m"), Ok(3 << 19));
        for bad in ["", "GiB", "1.2.3", "-1", "2XB", "99999999999TiB", "1e3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_decimal() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 29, "1.5 GiB"), (u64::MAX, "16384.0 PiB")];
        for (bytes, shown) in cases {
            assert_eq!(show(bytes), shown);
        }
    }
}
