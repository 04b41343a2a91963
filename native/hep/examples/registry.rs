//! Writes the Erlang module `hep_registry` to standard output: `make registry`.

use std::fmt::Write;

use hep::Family;
use hep::registry::{EEP_MAGIC, GenericChunk, MAGIC, PayloadType, Vendor};

/// The text of `erlang/codec/hep_registry.erl`.
pub(crate) fn module() -> String {
    let families: Vec<_> = [Family::Ipv4, Family::Ipv6]
        .map(|family| (u16::from(family.number()), format!("{family:?}").to_lowercase()))
        .into();
    let payload_types: Vec<_> = (0..=u8::MAX)
        .filter_map(|number| Some((u16::from(number), PayloadType::from(number).name()?.to_owned())))
        .collect();
    let vendors: Vec<_> = Vendor::ALL
        .iter()
        .filter_map(|&vendor| Some((u16::from(vendor), vendor.name()?.to_owned())))
        .collect();
    let chunks: Vec<_> = GenericChunk::ALL
        .iter()
        .map(|&chunk| (u16::from(chunk), snake_case(&format!("{chunk:?}"))))
        .collect();

    let mut text = String::from(
        "%% Generated from native/hep/src/registry.rs by `make registry`. Do not edit.\n\n\
         %% @private The protocol's numbers and names. A number without a name stays a number.\n\
         -module(hep_registry).\n\n\
         -export([protocol_family_name/1, protocol_family_number/1]).\n\
         -export([payload_type_name/1, payload_type_number/1]).\n\
         -export([vendor_name/1, vendor_number/1]).\n\
         -export([magics/0, max_inflated/0, chunk_id/1, names/0, keys/0]).\n\
         -export_type([protocol_family/0, payload_type/0, vendor/0, chunk/0]).\n\n",
    );
    let sets = [
        ("protocol_family", &families),
        ("payload_type", &payload_types),
        ("vendor", &vendors),
        ("chunk", &chunks),
    ];
    for (set, entries) in sets {
        text.push_str(&type_of(set, entries));
    }
    for (set, entries) in sets.iter().take(3) {
        text.push_str(&conversions(set, entries));
    }
    text.push_str(&magics());
    text.push_str(&max_inflated());
    text.push_str(&chunk_functions(&chunks));
    text
}

fn max_inflated() -> String {
    format!(
        "%% The default of the decoding option of this name.\n\
         -spec max_inflated() -> pos_integer().\n\
         max_inflated() -> {}.\n\n",
        hep::Options::MAX_INFLATED
    )
}

type Entries = [(u16, String)];

fn type_of(set: &str, entries: &Entries) -> String {
    let mut names: Vec<_> = entries.iter().map(|(_, name)| name.as_str()).collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        let new = !seen.contains(name);
        seen.push(name);
        new
    });
    format!("-type {set}() ::\n    {}.\n\n", names.join("\n    | "))
}

fn conversions(set: &str, entries: &Entries) -> String {
    let mut text = format!("-spec {set}_name(0..65535) -> {set}() | 0..65535.\n");
    for (number, name) in entries {
        let _ = writeln!(text, "{set}_name({number}) -> {name};");
    }
    let _ = write!(
        text,
        "{set}_name(Number) -> Number.\n\n-spec {set}_number(term()) -> 0..65535 | undefined.\n"
    );
    let mut seen = Vec::new();
    for (number, name) in entries {
        if !seen.contains(&name) {
            seen.push(name);
            let _ = writeln!(text, "{set}_number({name}) -> {number};");
        }
    }
    let _ = write!(text, "{set}_number(_) -> undefined.\n\n");
    text
}

fn magics() -> String {
    let texts = [MAGIC, EEP_MAGIC].map(|magic| format!("<<\"{}\">>", magic.escape_ascii()));
    format!(
        "%% What a packet of version 3 begins with.\n\
         -spec magics() -> [<<_:32>>, ...].\n\
         magics() -> [{}].\n\n",
        texts.join(", ")
    )
}

fn chunk_functions(chunks: &Entries) -> String {
    let mut text = String::from("-spec chunk_id(chunk()) -> hep:chunk_id().\n");
    let clauses: Vec<_> = chunks.iter().map(|(id, name)| format!("chunk_id({name}) -> {id}")).collect();
    let _ = write!(text, "{}.\n\n", clauses.join(";\n"));
    let last = chunks.iter().map(|&(id, _)| id).max().unwrap_or(0);
    let names: Vec<_> = (0..=last)
        .map(|id| format!("<<\"{}\">>", GenericChunk::from(id).name().unwrap_or_default()))
        .collect();
    let keys: Vec<_> = (0..=last).map(|id| format!("<<0:16, {id}:16>>")).collect();
    let _ = write!(
        text,
        "%% The names of the generic chunks, the chunk of id 0 first, and their keys in the chunk view: literals,\n\
         %% which cost nothing to hand to the codec and to put into terms.\n\
         -spec names() -> tuple().\n\
         names() ->\n    {{{}}}.\n\n\
         -spec keys() -> tuple().\n\
         keys() ->\n    {{{}}}.\n",
        names.join(",\n     "),
        keys.join(",\n     ")
    );
    text
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[allow(dead_code, reason = "the test of the generated module takes this file as a module")]
fn main() {
    print!("{}", module());
}
