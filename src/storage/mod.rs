//! Bytes of a file, mapped or read, and the atomic save. The only user of `memmap2`.
