//! Any bytes as a reward head: what is accepted is sound and comes back from its own file as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate::gguf::Gguf;
use ruminate::reward::Head;
use ruminate::storage::Bytes;
use ruminate::{ErrorKind, Limits, Result};

fuzz_target!(|data: &[u8]| {
    match read(data.to_vec()) {
        Ok(head) => {
            head.validate().expect("an accepted head is sound");
            // Large weights may overflow, but then that is said.
            let hidden = vec![0.5; head.taps.len() * head.n_embd];
            match head.value(&hidden, &vec![0.5; head.extra.len()]) {
                Ok(value) => assert!(!value.is_nan()),
                Err(e) => assert_eq!(e.kind(), ErrorKind::NonFinite),
            }
            assert_eq!(read(head.to_bytes().expect("a sound head can be written")).expect("our own file"), head);
        }
        Err(e) => assert!(!e.to_string().chars().any(char::is_control) && e.to_string().len() < 2_000, "{e:?}"),
    }
});

fn read(bytes: Vec<u8>) -> Result<Head> {
    Head::from_gguf(&Gguf::parse(Bytes::from_vec(bytes), &Limits::default())?, &Limits::default())
}
