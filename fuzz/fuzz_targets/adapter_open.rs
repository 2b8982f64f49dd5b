//! Any bytes as a LoRA adapter for a tiny model: what is accepted is sound and comes back from its own file as it was.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ruminate::gguf::Gguf;
use ruminate::model::{Adapter, Config};
use ruminate::storage::Bytes;
use ruminate::{Limits, Result};

static BASE: LazyLock<Config> = LazyLock::new(|| {
    let bytes = Bytes::from_static(include_bytes!("../../tests/fixtures/tiny/llama.gguf"));
    let gguf = Gguf::parse(bytes, &Limits::default()).expect("the fixture");
    Config::from_gguf(&gguf, &Limits::default()).expect("the fixture")
});

fuzz_target!(|data: &[u8]| {
    match read(data.to_vec()) {
        Ok(adapter) => {
            adapter.validate().expect("an accepted adapter is sound");
            let mut file = Vec::new();
            adapter.write(&mut file).expect("a sound adapter can be written");
            assert_eq!(read(file).expect("our own file"), adapter);
        }
        Err(e) => assert!(!e.to_string().chars().any(char::is_control) && e.to_string().len() < 2_000, "{e:?}"),
    }
});

fn read(bytes: Vec<u8>) -> Result<Adapter> {
    Adapter::from_gguf(&Gguf::parse(Bytes::from_vec(bytes), &Limits::default())?, &BASE, &Limits::default())
}
