//! Header names and their compact forms.

/// The long name of a compact one (the registry "SIP Header Fields" of IANA, column "compact").
fn long(compact: u8) -> Option<&'static [u8]> {
    Some(match compact.to_ascii_lowercase() {
        b'a' => b"Accept-Contact",
        b'b' => b"Referred-By",
        b'c' => b"Content-Type",
        b'd' => b"Request-Disposition",
        b'e' => b"Content-Encoding",
        b'f' => b"From",
        b'i' => b"Call-ID",
        b'j' => b"Reject-Contact",
        b'k' => b"Supported",
        b'l' => b"Content-Length",
        b'm' => b"Contact",
        b'n' => b"Identity-Info",
        b'o' => b"Event",
        b'r' => b"Refer-To",
        b's' => b"Subject",
        b't' => b"To",
        b'u' => b"Allow-Events",
        b'v' => b"Via",
        b'x' => b"Session-Expires",
        b'y' => b"Identity",
        _ => return None,
    })
}

/// A name in its long form.
pub(crate) fn expand(name: &[u8]) -> &[u8] {
    match name {
        [compact] => long(*compact).unwrap_or(name),
        _ => name,
    }
}

/// Whether two names mean the same header: case is ignored, and a compact name equals its long form.
#[must_use]
pub fn same_header(one: &[u8], other: &[u8]) -> bool {
    expand(one).eq_ignore_ascii_case(expand(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registry "SIP Header Fields" of IANA, as of 2025.
    #[test]
    fn every_compact_name() {
        let registry: [&[u8]; 20] = [
            b"aAccept-Contact",
            b"bReferred-By",
            b"cContent-Type",
            b"dRequest-Disposition",
            b"eContent-Encoding",
            b"fFrom",
            b"iCall-ID",
            b"jReject-Contact",
            b"kSupported",
            b"lContent-Length",
            b"mContact",
            b"nIdentity-Info",
            b"oEvent",
            b"rRefer-To",
            b"sSubject",
            b"tTo",
            b"uAllow-Events",
            b"vVia",
            b"xSession-Expires",
            b"yIdentity",
        ];
        for entry in registry {
            let (compact, long) = entry.split_at(1);
            assert!(same_header(compact, long), "{}", entry.escape_ascii());
        }
    }

    #[test]
    fn compact_names_and_case() {
        assert!(same_header(b"i", b"call-id"));
        assert!(same_header(b"CALL-ID", b"I"));
        assert!(same_header(b"X-Foo", b"x-foo"));
        assert!(same_header(b"z", b"Z"));
        assert!(!same_header(b"f", b"To"));
        assert!(!same_header(b"", b"i"));
    }
}
