//! The fixtures, shared with the tests in Erlang and Elixir.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test takes a part of it; tests may panic"
)]

pub(crate) mod owned;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) const NOW: hep::Timestamp = hep::Timestamp { seconds: 1_800_000_000, microseconds: 123_456 };

pub(crate) fn now() -> hep::Timestamp {
    NOW
}

pub(crate) struct Fixture {
    pub(crate) file: String,
    pub(crate) entry: Value,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/fixtures")
}

pub(crate) fn all() -> Vec<Fixture> {
    let manifest = std::fs::read(folder().join("manifest.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    entries
        .into_iter()
        .map(|entry| {
            let file = entry["file"].as_str().unwrap().to_owned();
            let bytes = std::fs::read(folder().join(&file)).unwrap();
            Fixture { file, entry, bytes }
        })
        .collect()
}

pub(crate) fn datagrams() -> Vec<Fixture> {
    all().into_iter().filter(|fixture| fixture.entry["kind"] == "datagram").collect()
}

impl Fixture {
    /// The bytes of a value in the manifest.
    pub(crate) fn value(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::String(hex) => unhex(hex),
            Value::Object(fields) if fields.contains_key("hex") => unhex(fields["hex"].as_str().unwrap()),
            _ => {
                let offset = number(&value["offset"]);
                self.bytes[offset..][..number(&value["length"])].to_vec()
            }
        }
    }
}

pub(crate) fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    hex.as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(core::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect()
}
