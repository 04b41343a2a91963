//! Options as terms: `maps:to_list/1` of `hep:options()` and of `hep:encode_options()`.

use hep::{
    CaptureId, Compress, EncodeOptions, HeaderLength, Lengths, Options, TimestampRepair, V2Order, V2Style,
};

use crate::{Answer, Atom, Stop, TermReader};

/// Reads `hep:options()`. An unknown option and a wrong value are a bad argument.
pub fn options<B: TermReader>(builder: &B, list: B::Input) -> Answer<B::Term, Options> {
    let mut options = Options::default();
    let mut read = |option| {
        let [name, value] = builder.elements(option)?;
        let one_of = |atoms: &[Atom]| atoms.iter().copied().find(|&atom| builder.is_atom(value, atom));
        match known(builder, name)? {
            Atom::HeaderLength => {
                options.header_length = match one_of(&[Atom::Strict, Atom::Ignore])? {
                    Atom::Strict => HeaderLength::Strict,
                    _ => HeaderLength::Ignore,
                };
            }
            Atom::V2Order => {
                options.v2_order = match one_of(&[Atom::Auto, Atom::Big, Atom::Little])? {
                    Atom::Auto => V2Order::Auto,
                    Atom::Big => V2Order::Big,
                    _ => V2Order::Little,
                };
            }
            Atom::CaptureId => {
                options.capture_id = match one_of(&[Atom::Keep, Atom::Repair])? {
                    Atom::Keep => CaptureId::Keep,
                    _ => CaptureId::Repair,
                };
            }
            Atom::Timestamp => {
                options.timestamp = match one_of(&[Atom::Keep, Atom::Repair])? {
                    Atom::Keep => TimestampRepair::Keep,
                    _ => TimestampRepair::Repair,
                };
            }
            Atom::Lengths => {
                options.lengths = match one_of(&[Atom::Strict, Atom::Lenient])? {
                    Atom::Strict => Lengths::Strict,
                    _ => Lengths::Lenient,
                };
            }
            Atom::MaxInflated => options.max_inflated = usize::try_from(builder.unsigned(value)?).ok()?,
            _ => return None,
        }
        Some(())
    };
    each(builder, list, &mut read)?;
    Ok(options)
}

/// Reads `hep:encode_options()`. An unknown option and a wrong value are a bad argument.
pub fn encode_options<B: TermReader>(builder: &B, list: B::Input) -> Answer<B::Term, EncodeOptions<'_>> {
    let mut options = EncodeOptions::default();
    let mut read = |option| {
        let [name, value] = builder.elements(option)?;
        let one_of = |atoms: &[Atom]| atoms.iter().copied().find(|&atom| builder.is_atom(value, atom));
        match known(builder, name)? {
            Atom::V2Style => {
                options.v2_style = match one_of(&[Atom::Documented, Atom::C, Atom::Forks])? {
                    Atom::C => V2Style::C,
                    Atom::Forks => V2Style::Forks,
                    _ => V2Style::Documented,
                };
            }
            Atom::Compress => {
                options.compress = match one_of(&[Atom::None, Atom::Zlib, Atom::Gzip])? {
                    Atom::Zlib => Compress::Zlib,
                    Atom::Gzip => Compress::Gzip,
                    _ => Compress::None,
                };
            }
            Atom::AuthKey => options.auth_key = Some(builder.bytes(value)?),
            _ => return None,
        }
        Some(())
    };
    each(builder, list, &mut read)?;
    Ok(options)
}

/// Reads each option of a list.
fn each<B: TermReader>(
    builder: &B,
    list: B::Input,
    mut read: impl FnMut(B::Input) -> Option<()>,
) -> Answer<B::Term, ()> {
    let is_list = builder.each(list, |option| read(option).ok_or(Stop::BadArgument))?;
    if is_list { Ok(()) } else { Err(Stop::BadArgument) }
}

/// The option of a name.
fn known<B: TermReader>(builder: &B, name: B::Input) -> Option<Atom> {
    const NAMES: [Atom; 9] = [
        Atom::HeaderLength,
        Atom::V2Order,
        Atom::CaptureId,
        Atom::Timestamp,
        Atom::Lengths,
        Atom::MaxInflated,
        Atom::V2Style,
        Atom::Compress,
        Atom::AuthKey,
    ];
    NAMES.into_iter().find(|&atom| builder.is_atom(name, atom))
}
