//! The summary and the headers of SIP messages as terms.

use hep_sip::{Address, Message, SipError, Start, same_header};

use crate::{
    Answer, Atom, CHUNKS, MapBuilder, Stop, TermBuilder, TermReader, Terms, ok, refused, stay_short,
};

/// The entries of a map, by name.
type Facts<T> = Terms<(Atom, T)>;

/// `{ok, #{kind := request | response, ...}} | {error, Reason}`, see `hep_sip:summary()`.
///
/// The keys are in alphabetical order, as the VM sorts them.
pub fn sip_summary<B: MapBuilder>(builder: &B, input: &[u8]) -> Answer<B::Term> {
    let summary = hep_sip::summary(input).map_err(|reason| error(builder, reason))?;
    let text = |bytes: &[u8]| builder.binary(bytes);
    let mut facts = Facts::new();
    let mut put = |name, value: Option<B::Term>| facts.extend(value.map(|value| (name, value)));
    put(Atom::CallId, summary.call_id.as_deref().map(text));
    put(Atom::ContentLength, summary.content_length.map(|length| builder.integer(length.into())));
    put(Atom::ContentType, summary.content_type.as_deref().map(text));
    put(
        Atom::CSeq,
        summary.cseq.map(|(number, method)| builder.tuple([builder.integer(number.into()), text(method)])),
    );
    put(Atom::From, summary.from.map(|from| address(builder, &from)));
    match summary.start {
        Start::Request { method, .. } => {
            put(Atom::Kind, Some(builder.atom(Atom::Request)));
            put(Atom::Method, Some(text(method)));
        }
        Start::Response { status, reason } => {
            put(Atom::Kind, Some(builder.atom(Atom::Response)));
            put(Atom::Reason, Some(text(reason)));
            put(Atom::Status, Some(builder.integer(status.into())));
        }
    }
    put(Atom::To, summary.to.map(|to| address(builder, &to)));
    if let Start::Request { uri, .. } = summary.start {
        put(Atom::Uri, Some(text(uri)));
    }
    put(Atom::UserAgent, summary.user_agent.as_deref().map(text));
    put(Atom::ViaBranch, summary.via_branch.map(text));
    Ok(ok(builder, builder.map(facts)))
}

fn address<B: MapBuilder>(builder: &B, address: &Address<'_>) -> B::Term {
    let text = |bytes: &[u8]| builder.binary(bytes);
    let mut facts = Facts::new();
    let mut put = |name, value: Option<B::Term>| facts.extend(value.map(|value| (name, value)));
    put(Atom::Display, address.display.map(text));
    put(Atom::Host, address.host.map(text));
    put(Atom::Port, address.port.map(|port| builder.integer(port.into())));
    put(Atom::Tag, address.tag.map(text));
    put(Atom::Uri, Some(text(address.uri)));
    put(Atom::User, address.user.map(text));
    builder.map(facts)
}

/// `{ok, [{Name, Value}]} | {error, Reason}`: every header, in order.
pub fn sip_headers<B: TermBuilder>(builder: &B, input: &[u8]) -> Answer<B::Term> {
    list(builder, input, |_| true, |name, value| builder.tuple([builder.binary(name), builder.binary(value)]))
}

/// `{ok, [Value]} | {error, Reason}`: the values of all headers with the name.
pub fn sip_header<B: TermReader>(builder: &B, name: B::Input, input: &[u8]) -> Answer<B::Term> {
    let wanted = builder.bytes(name).ok_or(Stop::BadArgument)?;
    list(builder, input, |name| same_header(name, wanted), |_, value| builder.binary(value))
}

fn list<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    is_wanted: impl Fn(&[u8]) -> bool,
    make: impl Fn(&[u8], &[u8]) -> B::Term,
) -> Answer<B::Term> {
    let message = Message::read(input).map_err(|reason| error(builder, reason))?;
    let mut headers = Terms::new();
    for header in message.headers().filter(|header| is_wanted(header.name)) {
        headers.push(make(header.name, &header.unfolded()));
        stay_short(builder, headers.len() <= CHUNKS)?;
    }
    Ok(ok(builder, builder.list(&mut headers)))
}

fn error<B: TermBuilder>(builder: &B, reason: SipError) -> Stop<B::Term> {
    let reason = match reason {
        SipError::Empty => Atom::Empty,
        SipError::NotSip => Atom::NotSip,
        SipError::Truncated => Atom::Truncated,
    };
    refused(builder, builder.atom(reason))
}
