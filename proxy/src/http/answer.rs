//! An answer's head for the client: what ends here is left out, the body's framing is said anew, the rest is copied as it came.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use super::failure::{Failure, Kind};
use super::fields::{Field, words};
use super::framing::{Framing, Said};
use super::head::{Line, Method, ResponseHead};
use super::normalize::Named;
use super::settings::Settings;
use crate::table::Target;

/// What the answer's head depends on beside itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The request's method.
    pub(crate) method: Method,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) old: bool,
    /// Whether a websocket was asked for.
    pub(crate) websocket: bool,
    /// Whether the client's connection can go on after this answer.
    pub(crate) keep: bool,
    /// The request's `Host`, where redirects are rewritten.
    pub(crate) host: Option<&'a str>,
    /// Where the answer comes from.
    pub(crate) target: &'a Target,
}

/// What an answer's head came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How its body comes.
    pub(crate) comes: Framing,
    /// How its body goes on.
    pub(crate) goes: Framing,
    /// Whether the upstream would take another request.
    pub(crate) reusable: bool,
    /// Whether the client may send another request.
    pub(crate) keep: bool,
}

/// What one look through the lines gathers.
#[derive(Default)]
struct Gathered<'b> {
    said: Said,
    close: bool,
    keep_alive: bool,
    upgrade_websocket: bool,
    dated: bool,
    named: Named<'b>,
}

/// Writes the head for the client.
///
/// # Errors
/// [`Kind::BadAnswer`] when the answer has two readings or was not asked for.
pub(crate) fn write_answer(
    to: &mut Vec<u8>,
    head: &ResponseHead<'_, '_>,
    asked: Asked<'_>,
    settings: &Settings,
) -> Result<Answer, Failure> {
    let gathered = gather(head)?;
    let interim = head.status < 200;
    let switching = head.status == 101;
    if switching && !(asked.websocket && gathered.upgrade_websocket && !head.old) {
        return Err(Failure::new(Kind::BadAnswer));
    }
    let comes = gathered.said.of_response(head.status, asked.method);
    let goes = match comes {
        Framing::Chunked | Framing::UntilClose if asked.old => Framing::UntilClose,
        Framing::UntilClose => Framing::Chunked,
        other => other,
    };
    let keep = asked.keep && goes != Framing::UntilClose;
    to.extend_from_slice(b"HTTP/1.1 ");
    to.extend_from_slice(head.status_text);
    to.extend_from_slice(b"\r\n");
    let rewrites = rewrites(head.status, settings);
    head.lines
        .copy_kept(to, |line| is_kept(line, &gathered, rewrites));
    if rewrites {
        for line in head
            .lines
            .iter()
            .filter(|line| line.field == Field::Location)
        {
            write_location(to, line.value, asked, settings);
        }
    }
    match goes {
        // HEAD and 304 say what would have come; 1xx and 204 have nothing to say.
        Framing::None if interim || head.status == 204 => {}
        // HTTP/1.0 has no word for chunks.
        Framing::None if asked.old && gathered.said.is_chunked() => {}
        Framing::None | Framing::Length(_) => gathered.said.write(to),
        Framing::Chunked => to.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    if switching {
        to.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if !interim {
        if !gathered.dated {
            write_date(to);
        }
        if !keep {
            to.extend_from_slice(b"Connection: close\r\n");
        } else if asked.old {
            to.extend_from_slice(b"Connection: keep-alive\r\n");
        }
    }
    to.extend_from_slice(b"\r\n");
    Ok(Answer {
        status: head.status,
        comes,
        goes,
        reusable: comes != Framing::UntilClose
            && !gathered.close
            && (!head.old || gathered.keep_alive),
        keep,
    })
}

fn gather<'b>(head: &ResponseHead<'_, 'b>) -> Result<Gathered<'b>, Failure> {
    let bad = || Failure::new(Kind::BadAnswer);
    let mut gathered = Gathered::default();
    for line in head.lines.iter() {
        match line.field {
            Field::ContentLength => gathered
                .said
                .take_length(line.value)
                .map_err(|why| bad().because(why))?,
            Field::TransferEncoding => {
                gathered
                    .said
                    .take_coding(line.value, head.old)
                    .map_err(|why| bad().because(why))?;
            }
            Field::Connection => {
                for word in words(line.value) {
                    if word.eq_ignore_ascii_case(b"close") {
                        gathered.close = true;
                    } else if word.eq_ignore_ascii_case(b"keep-alive") {
                        gathered.keep_alive = true;
                    } else if !word.eq_ignore_ascii_case(b"upgrade") && !gathered.named.take(word) {
                        return Err(bad());
                    }
                }
            }
            Field::Upgrade => {
                gathered.upgrade_websocket |=
                    words(line.value).any(|word| word.eq_ignore_ascii_case(b"websocket"));
            }
            Field::Date => gathered.dated = true,
            _ => {}
        }
    }
    Ok(gathered)
}

fn is_kept(line: &Line<'_>, gathered: &Gathered<'_>, rewrites: bool) -> bool {
    match line.field {
        Field::Hop
        | Field::Connection
        | Field::Upgrade
        | Field::ContentLength
        | Field::TransferEncoding
        | Field::LookAlike => false,
        Field::Location => !rewrites,
        field => !gathered.named.has(field, line.name),
    }
}

/// Whether redirects of this status may have to be rewritten.
fn rewrites(status: u16, settings: &Settings) -> bool {
    (settings.auto_rewrite || settings.protocol_rewrite.is_some())
        && matches!(status, 201 | 301 | 302 | 307 | 308)
}

/// A `Location` that leads to the target's own host is led to where the client came by.
fn write_location(to: &mut Vec<u8>, value: &[u8], asked: Asked<'_>, settings: &Settings) {
    to.extend_from_slice(b"Location: ");
    match rewritten(value, asked, settings) {
        Some(location) => to.extend_from_slice(location.as_bytes()),
        None => to.extend_from_slice(value),
    }
    to.extend_from_slice(b"\r\n");
}

fn rewritten(value: &[u8], asked: Asked<'_>, settings: &Settings) -> Option<String> {
    let (scheme, rest) = std::str::from_utf8(value).ok()?.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if !authority.eq_ignore_ascii_case(&asked.target.authority) {
        return None;
    }
    let authority = if settings.auto_rewrite {
        asked.host.unwrap_or(authority)
    } else {
        authority
    };
    let scheme = settings.protocol_rewrite.as_deref().unwrap_or(scheme);
    let slash = if rest.is_empty() { "/" } else { "" };
    Some(format!("{scheme}://{authority}{slash}{rest}"))
}

/// `Date`, which a proxy adds where it is missing (RFC 9110, section 6.6.1).
pub(crate) fn write_date(to: &mut Vec<u8>) {
    thread_local! {
        static LINE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = crate::table::now_ms() / 1000;
    LINE.with_borrow_mut(|(second, line)| {
        if *second != now {
            *second = now;
            let time: SystemTime = UNIX_EPOCH + std::time::Duration::from_secs(now);
            *line = format!("Date: {}\r\n", httpdate::fmt_http_date(time));
        }
        to.extend_from_slice(line.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{read_response, space};

    fn answer(
        text: &str,
        change: impl Fn(&mut Asked<'_>),
        settings: &Settings,
    ) -> Result<(String, Answer), Kind> {
        let target = Target::parse("http://t:81").unwrap();
        let mut asked = Asked {
            method: Method::Get,
            old: false,
            websocket: false,
            keep: true,
            host: Some("hub.test"),
            target: &target,
        };
        change(&mut asked);
        let mut space = space();
        let head = read_response(text.as_bytes(), &mut space).unwrap();
        let mut to = Vec::new();
        let answer =
            write_answer(&mut to, &head, asked, settings).map_err(|failure| failure.kind)?;
        Ok((String::from_utf8(to).unwrap(), answer))
    }

    fn plain(text: &str) -> (String, Answer) {
        answer(text, |_| {}, &Settings::holt()).unwrap()
    }

    #[test]
    fn a_body_goes_on_as_the_client_can_take_it() {
        let (head, answer) = plain("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 05\r\n\r\n");
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\n"
        );
        assert!(answer.reusable && answer.keep);
        let (head, answer) = plain("HTTP/1.0 200 OK\r\nDate: x\r\n\r\n");
        assert!(head.contains("Transfer-Encoding: chunked\r\n"));
        assert_eq!(
            (answer.comes, answer.goes),
            (Framing::UntilClose, Framing::Chunked)
        );
        assert!(!answer.reusable && answer.keep);
        let chunked = "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (head, answer) =
            self::answer(chunked, |asked| asked.old = true, &Settings::holt()).unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close\r\n\r\n"
        );
        assert!(answer.reusable && !answer.keep);
    }

    #[test]
    fn answers_without_body_say_what_they_may() {
        let head = |status: &str, method| {
            let text = format!("HTTP/1.1 {status}\r\nDate: x\r\nContent-Length: 5\r\n\r\n");
            let (head, answer) =
                answer(&text, |asked| asked.method = method, &Settings::holt()).unwrap();
            assert_eq!(answer.goes, Framing::None);
            head.contains("Content-Length: 5")
        };
        let chunked = "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (written, _) = answer(chunked, |asked| asked.old = true, &Settings::holt()).unwrap();
        assert!(!written.contains("chunked"), "HTTP/1.0 knows none");
        assert!(head("200 OK", Method::Head));
        assert!(head("304 Not Modified", Method::Get));
        assert!(!head("204 No Content", Method::Get));
    }

    #[test]
    fn what_ends_here_is_left_out() {
        let (head, answer) = plain(
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\n\
             Set-Cookie: b=2\r\nTransfer_Encoding: chunked\r\nDate: x\r\nContent-Length: 0\r\n\r\n",
        );
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: x\r\nContent-Length: 0\r\n\r\n"
        );
        assert!(!answer.reusable && answer.keep);
        assert!(
            plain("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .0
                .contains("\r\nDate: ")
        );
    }

    #[test]
    fn answers_with_two_readings_are_refused() {
        for lines in [
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(
                answer(&text, |_| {}, &Settings::holt()),
                Err(Kind::BadAnswer),
                "{lines}"
            );
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(
            answer(switch, |_| {}, &Settings::holt()),
            Err(Kind::BadAnswer)
        );
        let (head, _) = answer(switch, |asked| asked.websocket = true, &Settings::holt()).unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
    }

    #[test]
    fn redirects_to_the_target_are_led_back() {
        let settings = Settings {
            auto_rewrite: true,
            protocol_rewrite: Some("https".into()),
            ..Settings::chp()
        };
        let location = |status: u16, location: &str, settings: &Settings| {
            let text = format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nDate: x\r\n\r\n");
            let (head, _) = answer(&text, |_| {}, settings).unwrap();
            let line = head
                .lines()
                .find(|line| line.starts_with("Location: "))
                .unwrap();
            line["Location: ".len()..].to_owned()
        };
        assert_eq!(
            location(302, "http://T:81/x?y", &settings),
            "https://hub.test/x?y"
        );
        assert_eq!(location(302, "http://other/x", &settings), "http://other/x");
        assert_eq!(location(302, "/x", &settings), "/x");
        assert_eq!(location(303, "http://t:81/x", &settings), "http://t:81/x");
        assert_eq!(
            location(302, "http://t:81/x", &Settings::chp()),
            "http://t:81/x"
        );
    }
}
