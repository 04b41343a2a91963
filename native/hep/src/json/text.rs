//! Bytes as text: UTF-8 as it is, anything else as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// The value of `encoding` for bytes that are not UTF-8.
const BASE64: &str = "base64";

/// Adds `data`, and `encoding` beside it where it is needed.
pub(super) fn add_data<M: SerializeMap>(map: &mut M, bytes: &[u8]) -> Result<(), M::Error> {
    if let Ok(text) = core::str::from_utf8(bytes) {
        map.serialize_entry("data", text)
    } else {
        map.serialize_entry("encoding", BASE64)?;
        map.serialize_entry("data", &STANDARD.encode(bytes))
    }
}

/// A fact of bytes: a string, or an object of `encoding` and `data`.
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = core::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        add_data(&mut map, self.0)?;
        map.end()
    }
}

/// The bytes of `data`, read by its `encoding`.
pub(super) fn decode<E: Error>(data: String, encoding: Option<&str>) -> Result<Vec<u8>, E> {
    match encoding {
        None => Ok(data.into_bytes()),
        Some(BASE64) => STANDARD.decode(data).map_err(E::custom),
        Some(other) => Err(E::custom(format_args!("unknown encoding `{other}`, expected `{BASE64}`"))),
    }
}

/// A fact of bytes, as it is read.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, or an object of `encoding` and `data`")]
pub(super) enum AnyOctets {
    Text(String),
    Encoded(EncodedOctets),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EncodedOctets {
    encoding: Option<String>,
    data: String,
}

impl AnyOctets {
    pub(super) fn bytes<E: Error>(self) -> Result<Vec<u8>, E> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Encoded(EncodedOctets { encoding, data }) => decode(data, encoding.as_deref()),
        }
    }
}
