//! Bytes as text: valid UTF-8 unchanged, anything else as base64.

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::key;
use super::source::{JsonError, Value};

/// The value of `encoding` for bytes that are not UTF-8.
const BASE64: &str = "base64";

/// Adds `data`, and `encoding` if needed.
pub(super) fn add_data<M: SerializeMap>(map: &mut M, bytes: &[u8]) -> Result<(), M::Error> {
    if let Ok(text) = core::str::from_utf8(bytes) {
        map.serialize_entry(key::DATA, text)
    } else {
        map.serialize_entry(key::ENCODING, BASE64)?;
        map.serialize_entry(key::DATA, &Base64(bytes))
    }
}

/// Bytes as base64, written in pieces.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// A binary value: a string, or an object of `encoding` and `data`.
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

/// A binary value, for reading.
pub(super) fn octets(value: Value<'_>) -> Result<Vec<u8>, JsonError> {
    if value.is_string() {
        return value.read().map(String::into_bytes);
    }
    with_data(value, "a string, or an object of `encoding` and `data`", |_, _| Ok(false))
}

/// The bytes of an object's `data`, decoded by its `encoding`; the other fields are passed to `take`.
pub(super) fn with_data<'a>(
    object: Value<'a>,
    expected: &str,
    mut take: impl FnMut(&str, Value<'a>) -> Result<bool, JsonError>,
) -> Result<Vec<u8>, JsonError> {
    let (mut data, mut encoding) = (None, None);
    object.fields(expected, |name, value| {
        match name {
            key::DATA => data = Some((value, value.read::<String>()?)),
            key::ENCODING => encoding = value.read::<Option<String>>()?.map(|encoding| (value, encoding)),
            name => return take(name, value),
        }
        Ok(true)
    })?;
    let (value, data) = data.ok_or_else(|| object.missing(key::DATA))?;
    match encoding {
        None => Ok(data.into_bytes()),
        Some((_, name)) if name == BASE64 => STANDARD.decode(data).map_err(|error| value.wrong(error)),
        Some((value, name)) => {
            Err(value.wrong(format_args!("unknown encoding `{name}`, expected `{BASE64}`")))
        }
    }
}
