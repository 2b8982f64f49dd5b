//! What the operating system says about this process.

/// Bytes of memory that the process holds now; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// The most that it ever held.
pub fn peak_resident_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// A field of Linux' `/proc/self/status`, in bytes (the file counts KiB).
fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_is_not_below_what_is_held() {
        let held = resident_bytes().unwrap();
        assert!(held > 64 << 10 && peak_resident_bytes().unwrap() >= held);
    }
}
