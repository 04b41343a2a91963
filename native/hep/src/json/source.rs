//! A JSON text, its values, and their positions in it.

use core::fmt::{self, Display};

use serde::de::{Deserialize, Deserializer as _, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error as ThisError;

/// The maximum length of a message in characters.
const LONGEST_MESSAGE: usize = 200;

/// Why a text is not the JSON of packets.
///
/// The place is the first byte of the invalid value, of the name of an unknown or repeated field, or of the object in
/// which a field is missing. For invalid JSON it is where the error shows; for incomplete JSON, just after its last
/// byte.
#[derive(Debug, ThisError)]
#[error("{message} at line {line}, column {column}")]
pub struct JsonError {
    /// The error.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
}

/// A value of a text.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    text: &'a str,
    raw: &'a RawValue,
}

impl<'a> Value<'a> {
    /// The value that is the whole text.
    pub(super) fn whole(json: &'a [u8]) -> Result<Self, JsonError> {
        let text = core::str::from_utf8(json)
            .map_err(|error| wrong("the text is not UTF-8", place(json, error.valid_up_to())))?;
        let raw = serde_json::from_str(text).map_err(|error| wrong(message(&error), seen(&error)))?;
        Ok(Self { text, raw })
    }

    /// The value, read as a type that is not an object.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Result<T, JsonError> {
        serde_json::from_str(self.raw.get()).map_err(|error| self.explained(&error))
    }

    pub(super) fn is_string(self) -> bool {
        self.raw.get().starts_with('"')
    }

    pub(super) fn is_array(self) -> bool {
        self.raw.get().starts_with('[')
    }

    /// The error that the value is wrong.
    pub(super) fn wrong(self, message: impl Display) -> JsonError {
        wrong(message, self.place())
    }

    /// The error that the object lacks the field.
    pub(super) fn missing(self, name: &str) -> JsonError {
        self.wrong(format_args!("missing field `{name}`"))
    }

    /// Passes the fields of an object, each at most once, to `take`, which returns whether it knows
    /// the name.
    pub(super) fn fields(
        self,
        expected: &str,
        mut take: impl FnMut(&str, Self) -> Result<bool, JsonError>,
    ) -> Result<(), JsonError> {
        if !self.raw.get().starts_with('{') {
            return Err(self.wrong(format_args!("expected {expected}")));
        }
        let mut taken: Vec<String> = Vec::new();
        self.walk(|name, value| {
            let Some(name) = name else { return Ok(()) };
            let known: String = name.read()?;
            if taken.contains(&known) {
                return Err(name.wrong(format_args!("duplicate field `{known}`")));
            }
            if !take(&known, value)? {
                return Err(name.wrong(format_args!("unknown field `{known}`")));
            }
            taken.push(known);
            Ok(())
        })
    }

    /// Passes the elements of an array to `take`.
    pub(super) fn elements(
        self,
        expected: &str,
        mut take: impl FnMut(Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        if !self.is_array() {
            return Err(self.wrong(format_args!("expected {expected}")));
        }
        self.walk(|_, element| take(element))
    }

    fn walk(self, take: impl FnMut(Option<Self>, Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        let mut wrong = None;
        let walk = Walk { text: self.text, take, wrong: &mut wrong };
        let walked = serde_json::Deserializer::from_str(self.raw.get()).deserialize_any(walk);
        match (wrong, walked) {
            (Some(wrong), _) => Err(wrong),
            (None, Err(error)) => Err(self.explained(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    fn place(self) -> (usize, usize) {
        let offset = self.raw.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        place(self.text.as_bytes(), offset)
    }

    /// Serde's error for the value.
    fn explained(self, error: &serde_json::Error) -> JsonError {
        if error.classify() == Category::Data {
            return self.wrong(message(error));
        }
        let (line, column) = self.place();
        let place = match seen(error) {
            (1, within) => (line, column.saturating_add(within).saturating_sub(1)),
            (below, within) => (line.saturating_add(below).saturating_sub(1), within),
        };
        wrong(message(error), place)
    }
}

/// Visits a value's parts: names, if any, and values.
struct Walk<'a, 'w, F> {
    text: &'a str,
    take: F,
    wrong: &'w mut Option<JsonError>,
}

impl<'a, F: FnMut(Option<Value<'a>>, Value<'a>) -> Result<(), JsonError>> Walk<'a, '_, F> {
    /// An error of `take` is stored separately, since serde's error cannot carry a place.
    fn part<E: Error>(&mut self, name: Option<&'a RawValue>, value: &'a RawValue) -> Result<(), E> {
        let text = self.text;
        (self.take)(name.map(|raw| Value { text, raw }), Value { text, raw: value }).map_err(|wrong| {
            *self.wrong = Some(wrong);
            E::custom("wrong")
        })
    }
}

impl<'a, F: FnMut(Option<Value<'a>>, Value<'a>) -> Result<(), JsonError>> Visitor<'a> for Walk<'a, '_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            self.part(Some(name), value)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element()? {
            self.part(None, value)?;
        }
        Ok(())
    }
}

fn wrong(message: impl Display, (line, column): (usize, usize)) -> JsonError {
    // A message may quote the invalid text, which may be long.
    JsonError { message: message.to_string().chars().take(LONGEST_MESSAGE).collect(), line, column }
}

/// The line and the column of an offset.
fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let mut lines = before.rsplit(|&byte| byte == b'\n');
    let column = lines.next().map_or(0, <[u8]>::len);
    (lines.count().saturating_add(1), column.saturating_add(1))
}

/// Serde's message, without the place that it appends.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// The line and the column where serde found the error: the last byte it read, or just after the end.
fn seen(error: &serde_json::Error) -> (usize, usize) {
    let beyond = usize::from(error.is_eof());
    (error.line(), error.column().saturating_add(beyond).max(1))
}
