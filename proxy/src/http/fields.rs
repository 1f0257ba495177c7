//! Header fields that the proxy knows by name, told apart by length first: one look at most fields is enough to let them pass.

/// A field the proxy acts on, or any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// Ends at this hop: `Keep-Alive`, `Proxy-Connection`, `Proxy-Authenticate`, `Proxy-Authorization`, `TE`, `Trailer`.
    Hop,
    Connection,
    Upgrade,
    TransferEncoding,
    ContentLength,
    Host,
    Expect,
    Cookie,
    Authorization,
    Origin,
    Accept,
    SecFetchMode,
    SecWebSocketVersion,
    ForwardedFor,
    ForwardedHost,
    ForwardedPort,
    ForwardedProto,
    /// Other words for who asked: `Forwarded`, `X-Real-IP`, `X-Scheme`, `X-Forwarded-Prefix` and the like.
    Claim,
    RequestId,
    Listener,
    Date,
    Location,
    ContentType,
    /// What some servers take for a field that frames a message or says who asked: `Transfer_Encoding`, `X_Forwarded_For`.
    LookAlike,
    Other,
}

/// Tells a field by its name, in any case.
pub(crate) fn tell(name: &[u8]) -> Field {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let or = |known: &[u8], field: Field| if is(known) { field } else { plain(name) };
    match name.len() {
        2 => or(b"te", Field::Hop),
        4 => match name[0] | 0x20 {
            b'h' => or(b"host", Field::Host),
            b'd' => or(b"date", Field::Date),
            _ => Field::Other,
        },
        6 => match name[0] | 0x20 {
            b'c' => or(b"cookie", Field::Cookie),
            b'a' => or(b"accept", Field::Accept),
            b'o' => or(b"origin", Field::Origin),
            b'e' => or(b"expect", Field::Expect),
            _ => Field::Other,
        },
        7 => match name[0] | 0x20 {
            b'u' => or(b"upgrade", Field::Upgrade),
            b't' => or(b"trailer", Field::Hop),
            _ => Field::Other,
        },
        // What CGI programs take for the address of a proxy.
        5 => or(b"proxy", Field::Hop),
        8 => match name[0] | 0x20 {
            b'l' => or(b"location", Field::Location),
            b'x' => or(b"x-scheme", Field::Claim),
            _ => Field::Other,
        },
        9 if is(b"forwarded") || is(b"x-real-ip") || is(b"client-ip") => Field::Claim,
        10 => match name[0] | 0x20 {
            b'c' => or(b"connection", Field::Connection),
            b'k' => or(b"keep-alive", Field::Hop),
            _ => plain(name),
        },
        12 => match name[0] | 0x20 {
            b'c' => or(b"content-type", Field::ContentType),
            b'x' => or(b"x-request-id", Field::RequestId),
            _ => Field::Other,
        },
        13 => or(b"authorization", Field::Authorization),
        14 if is(b"content-length") => Field::ContentLength,
        14 => or(b"sec-fetch-mode", Field::SecFetchMode),
        15 if is(b"x-forwarded-for") => Field::ForwardedFor,
        15 => or(b"x-holt-listener", Field::Listener),
        16 if is(b"x-forwarded-host") => Field::ForwardedHost,
        16 if is(b"x-forwarded-port") => Field::ForwardedPort,
        16 => or(b"proxy-connection", Field::Hop),
        17 if is(b"transfer-encoding") => Field::TransferEncoding,
        17 => or(b"x-forwarded-proto", Field::ForwardedProto),
        18 if is(b"proxy-authenticate") => Field::Hop,
        19 => or(b"proxy-authorization", Field::Hop),
        21 => or(b"sec-websocket-version", Field::SecWebSocketVersion),
        _ => plain(name),
    }
}

/// A field that no other name stands for: a look-alike, another claim, or nothing to us.
fn plain(name: &[u8]) -> Field {
    if memchr::memchr(b'_', name).is_some() {
        let dashed: Vec<u8> = name
            .iter()
            .map(|byte| if *byte == b'_' { b'-' } else { *byte })
            .collect();
        return match tell(&dashed) {
            Field::TransferEncoding
            | Field::ContentLength
            | Field::ForwardedFor
            | Field::ForwardedHost
            | Field::ForwardedPort
            | Field::ForwardedProto
            | Field::Listener
            | Field::RequestId
            | Field::Claim => Field::LookAlike,
            _ => Field::Other,
        };
    }
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let claims = name.len() > 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-")
        || is(b"x-forwarded")
        || is(b"x-client-ip")
        || is(b"x-url-scheme")
        || is(b"front-end-https")
        || is(b"true-client-ip");
    if claims { Field::Claim } else { Field::Other }
}

impl Field {
    /// Whether `Connection` may not take it away: the next hop decides by it.
    pub(crate) fn is_protected(self) -> bool {
        match self {
            Field::Host
            | Field::Cookie
            | Field::Authorization
            | Field::Origin
            | Field::ContentLength
            | Field::ContentType
            | Field::ForwardedFor
            | Field::ForwardedHost
            | Field::ForwardedPort
            | Field::ForwardedProto
            | Field::Claim
            | Field::RequestId
            | Field::Listener => true,
            Field::Hop
            | Field::Connection
            | Field::Upgrade
            | Field::TransferEncoding
            | Field::Expect
            | Field::Accept
            | Field::SecFetchMode
            | Field::SecWebSocketVersion
            | Field::Date
            | Field::Location
            | Field::LookAlike
            | Field::Other => false,
        }
    }
}

/// The words of a list field's value, without white space around them; empty ones are left out.
pub(crate) fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_in_any_case() {
        for (name, field) in [
            ("Host", Field::Host),
            ("CONTENT-length", Field::ContentLength),
            ("transfer-encoding", Field::TransferEncoding),
            ("TE", Field::Hop),
            ("Keep-Alive", Field::Hop),
            ("Proxy-Connection", Field::Hop),
            ("X-Forwarded-For", Field::ForwardedFor),
            ("X-Forwarded-Port", Field::ForwardedPort),
            ("X-Forwarded-Server", Field::Claim),
            ("Forwarded", Field::Claim),
            ("X-Forwarded", Field::Claim),
            ("Front-End-Https", Field::Claim),
            ("X_Request_ID", Field::LookAlike),
            ("Proxy", Field::Hop),
            ("X-Real-IP", Field::Claim),
            ("X-Holt-Listener", Field::Listener),
            ("Transfer_Encoding", Field::LookAlike),
            ("content_length", Field::LookAlike),
            ("X_Forwarded_For", Field::LookAlike),
            ("X-Forwarded_Proto", Field::LookAlike),
            ("X_Real_IP", Field::LookAlike),
            ("x_holt_listener", Field::LookAlike),
            ("X-XSRFToken", Field::Other),
            ("my_header", Field::Other),
            ("x", Field::Other),
            ("", Field::Other),
        ] {
            assert_eq!(tell(name.as_bytes()), field, "{name}");
        }
    }
}
