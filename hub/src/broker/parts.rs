//! The parts of a multipart body, looked at on their way to the wiki's `api.php`.
//!
//! PHP reads part heads generously: any quotes, folded lines, the last of two names. So only what clients write is let through, and all
//! else ends the body. Rows of 5 KiB and more are cut by PHP, which then finds marks inside of them, and in a file that it does not keep it
//! takes a mark at the very beginning for one too: so heads are shorter here, nothing but line ends follows the last mark, and no content
//! has the boundary but at the beginning of a line. Followed: `main/rfc1867.c` of PHP 8.
//! **Invariant:** a part that decides is known before anything is sent, or the wiki never gets the head of that part whole.

use super::refusal::Bad;
use super::request::{NAMES, check_name};

/// Of one part's head.
const HEAD: usize = 4 << 10;
/// Of a value that decides.
const VALUE: usize = 512;
/// Parts whose values decide what may be asked.
const DECISIVE: [&str; 2] = ["action", "title"];

/// What is known of a multipart body so far. It holds names, the head under way, and what decides; never contents.
#[derive(Debug)]
pub(super) struct Parts {
    /// What parts them: a line end, two dashes and the boundary.
    mark: Vec<u8>,
    at: At,
    /// Bytes of the mark that were just seen.
    matched: usize,
    /// Bytes of the mark without its line end that were just seen in a content.
    within: usize,
    /// For each beginning of that: how long its longest other beginning is that it ends with (Knuth, Morris, Pratt).
    again: Vec<usize>,
    /// What of a head, or behind a mark, was seen.
    held: Vec<u8>,
    /// Names that are taken, by the address too.
    names: Vec<String>,
    /// The part under way, if it decides.
    value: Option<(String, Vec<u8>)>,
    found: Vec<(String, String)>,
    is_late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Mark,
    Head,
    Content,
    End,
}

impl Parts {
    /// Of a body that this boundary parts; `taken` are the names in the address.
    pub(super) fn new(boundary: &str, taken: impl IntoIterator<Item = String>) -> Self {
        let mark = format!("\n--{boundary}").into_bytes();
        Self {
            again: again(&mark[1..]),
            mark,
            at: At::Start,
            matched: 1,
            within: 0,
            held: Vec::new(),
            names: taken.into_iter().collect(),
            value: None,
            found: Vec::new(),
            is_late: false,
        }
    }

    /// Looks at what came. After an error nothing more may be sent, these bytes neither.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match self.at {
                At::Start => {
                    if byte != self.mark[self.matched] {
                        return Err(Bad::Parts("it does not begin with its boundary"));
                    }
                    self.matched += 1;
                    self.is_marked()?;
                }
                At::Mark => {
                    self.held.push(byte);
                    self.at = match self.held.as_slice() {
                        b"\n" | b"\r\n" => At::Head,
                        b"--" => At::End,
                        b"\r" | b"-" => continue,
                        _ => return Err(Bad::Parts("something follows its boundary in the line")),
                    };
                    self.held.clear();
                }
                At::Head => {
                    self.held.push(byte);
                    if self.held.len() > HEAD {
                        return Err(Bad::Parts("the head of a part is too long"));
                    }
                    let is_whole = matches!(self.held.as_slice(), b"\n" | b"\r\n")
                        || self.held.ends_with(b"\n\n")
                        || self.held.ends_with(b"\n\r\n");
                    if is_whole {
                        self.head()?;
                    }
                }
                At::Content => {
                    match &mut self.value {
                        Some((_, value)) => {
                            value.push(byte);
                            if value.len() > VALUE + self.mark.len() {
                                return Err(Bad::Parts("\"action\" or \"title\" is too long"));
                            }
                        }
                        None if self.matched == 0
                            && self.within == 0
                            && !matches!(byte, b'\n' | b'-') =>
                        {
                            let next = rest.iter().position(|byte| matches!(byte, b'\n' | b'-'));
                            rest = &rest[next.unwrap_or(rest.len())..];
                            continue;
                        }
                        None => {}
                    }
                    self.matched = if byte == self.mark[self.matched] {
                        self.matched + 1
                    } else {
                        usize::from(byte == b'\n')
                    };
                    let is_within = self.is_within(byte);
                    if is_within && self.matched < self.mark.len() {
                        return Err(Bad::Parts("its boundary stands within a part"));
                    }
                    self.is_marked()?;
                }
                At::End if matches!(byte, b'\r' | b'\n') => {}
                At::End => return Err(Bad::Parts("something follows its end")),
            }
        }
        Ok(())
    }

    /// Says that there is no more.
    pub(super) fn end(&self) -> Result<(), Bad> {
        if self.is_over() {
            Ok(())
        } else {
            Err(Bad::Parts("its end is missing"))
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == At::End
    }

    /// What decides, as far as it has come.
    pub(super) fn found(&self) -> &[(String, String)] {
        &self.found
    }

    /// From here on nothing that decides may come.
    pub(super) fn decided(&mut self) {
        self.is_late = true;
    }

    /// Whether the boundary has just been seen whole in a content, wherever in a line.
    fn is_within(&mut self, byte: u8) -> bool {
        let pattern = &self.mark[1..];
        while self.within > 0 && pattern[self.within] != byte {
            self.within = self.again[self.within - 1];
        }
        if pattern[self.within] == byte {
            self.within += 1;
        }
        if self.within < pattern.len() {
            return false;
        }
        self.within = 0;
        true
    }

    /// Where the whole mark has been seen, the part before it is over.
    fn is_marked(&mut self) -> Result<(), Bad> {
        if self.matched < self.mark.len() {
            return Ok(());
        }
        self.at = At::Mark;
        self.matched = 0;
        if let Some((name, mut value)) = self.value.take() {
            if self.is_late {
                return Err(LATE);
            }
            value.truncate(value.len() - self.mark.len());
            let value = String::from_utf8_lossy(&value).into_owned();
            self.found.push((name, value));
        }
        Ok(())
    }

    /// A head is there whole.
    fn head(&mut self) -> Result<(), Bad> {
        let (name, is_file) = named(&self.held)?;
        self.held.clear();
        self.at = At::Content;
        self.within = 0;
        check_name(&name)?;
        if self.names.contains(&name) {
            return Err(Bad::Parameter(
                "one comes twice; join several values with \"|\"",
            ));
        }
        if self.names.len() >= NAMES {
            return Err(Bad::Parameter("there are too many"));
        }
        if DECISIVE.contains(&name.as_str()) {
            if self.is_late {
                return Err(LATE);
            }
            if is_file {
                return Err(Bad::Parts("\"action\" or \"title\" is a file"));
            }
            self.value = Some((name.clone(), Vec::new()));
        }
        self.names.push(name);
        Ok(())
    }
}

fn again(pattern: &[u8]) -> Vec<usize> {
    let mut again = vec![0; pattern.len()];
    let mut length = 0;
    for at in 1..pattern.len() {
        while length > 0 && pattern[at] != pattern[length] {
            length = again[length - 1];
        }
        if pattern[at] == pattern[length] {
            length += 1;
        }
        again[at] = length;
    }
    again
}

const LATE: Bad = Bad::Parts("\"action\" or \"title\" comes too late; put it first");
const HEADS: Bad = Bad::Parts(
    "the head of a part is not in the plain form: Content-Disposition: form-data; name=\"x\"; filename=\"y\"",
);

/// The name in a part's head, and whether the part is a file.
fn named(head: &[u8]) -> Result<(String, bool), Bad> {
    let mut lines: Vec<(String, Vec<u8>)> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(HEADS);
        }
        match (line.first(), lines.last_mut()) {
            (None, _) => {}
            // Folded: it goes on.
            (Some(b' ' | b'\t'), Some((_, value))) => value.extend_from_slice(line),
            (Some(b' ' | b'\t'), None) => return Err(HEADS),
            (Some(_), _) => {
                let colon = line.iter().position(|byte| *byte == b':').ok_or(HEADS)?;
                let (name, value) = (&line[..colon], &line[colon + 1..]);
                if name.is_empty()
                    || !name
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
                {
                    return Err(HEADS);
                }
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                lines.push((name, value.trim_ascii_start().to_vec()));
            }
        }
    }
    let mut dispositions = lines
        .iter()
        .filter(|(name, _)| name == "content-disposition");
    let (Some((_, value)), None) = (dispositions.next(), dispositions.next()) else {
        return Err(HEADS);
    };
    disposition(&String::from_utf8_lossy(value)).ok_or(HEADS)
}

/// `form-data; name="x"`, with the name of a file behind it or not.
fn disposition(value: &str) -> Option<(String, bool)> {
    let (name, mut rest) = value.strip_prefix("form-data; name=\"")?.split_once('"')?;
    let is_file = !rest.is_empty();
    while !rest.is_empty() {
        rest = if let Some(after) = rest.strip_prefix("; filename=\"") {
            let (file, after) = after.split_once('"')?;
            // PHP takes it for a quote that does not end.
            if file.ends_with('\\') {
                return None;
            }
            after
        } else {
            let after = rest.strip_prefix("; filename*=")?;
            let end = after.find(';').unwrap_or(after.len());
            let (charset, file) = after[..end].split_once("''")?;
            let is_plain = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"%-._~".contains(&byte))
            };
            if !is_plain(charset) || !is_plain(file) {
                return None;
            }
            &after[end..]
        };
    }
    Some((name.to_owned(), is_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(body: &[u8], piece: usize) -> Result<Parts, Bad> {
        let mut parts = Parts::new("b", ["format".to_owned()]);
        for piece in body.chunks(piece) {
            parts.take(piece)?;
        }
        parts.end()?;
        Ok(parts)
    }

    fn one(head: &str) -> String {
        format!("--b\r\n{head}\r\n\r\nquery\r\n--b--\r\n")
    }

    #[test]
    fn what_clients_write_is_read_however_it_is_cut() {
        let file = "x\r\n--c\r\n--\r\n-b-b\n\n--".repeat(3);
        for body in [
            // requests, httpx
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nupload\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"it's; name=y \\ \u{fc}.png\"\r\nContent-Type: image/png\r\n\r\n{file}\r\n--b--\r\n"
            ),
            // aiohttp
            format!(
                "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nupload\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"; filename*=utf-8''a%20b.png\r\n\r\n{file}\r\n--b--"
            ),
            // pywikibot
            format!(
                "--b\nContent-Type: text/plain\nMIME-Version: 1.0\nContent-disposition: form-data; name=\"action\"\n\nupload\n--b\nContent-Type: text/plain\nMIME-Version: 1.0\nContent-disposition: form-data; name=\"text\"\n\n\n--b\nContent-Type: image/png\nMIME-Version: 1.0\nContent-disposition: form-data; name=\"chunk\";\n filename=\"FAKE-NAME\"\nContent-Transfer-Encoding: binary\n\n{file}\n--b--\n"
            ),
        ] {
            for piece in [1, 2, 3, 7, 4096] {
                let parts = look(body.as_bytes(), piece).expect(&body);
                assert_eq!(parts.found().len(), 1, "{body}");
                assert_eq!(parts.found()[0].0, "action");
                assert_eq!(parts.found()[0].1.trim_end(), "upload");
            }
        }
    }

    #[test]
    fn what_php_could_read_otherwise_is_refused() {
        for head in [
            "Content-Disposition: form-data; NAME=\"action\"",
            "Content-Disposition: form-data; name='action'",
            "Content-Disposition: form-data; name= \"action\"",
            "Content-Disposition: form-data; name=\" action\"",
            "Content-Disposition: form-data; name=action; x=y",
            "Content-Disposition: form-data; name=action",
            "Content-Disposition: form-data; x=y; name=\"action\"",
            "Content-Disposition: form-data; filename=\"x\"; name=\"action\"",
            "Content-Disposition: form-data; name=\"x\"; name=\"action\"",
            "Content-Disposition: form-data; name=\"x\"; filename=\"y\\\"; name=\"action\"",
            "Content-Disposition: form-data; name=\"action\"; filename=\"y\"",
            "Content-Disposition: form-data;name=\"action\"",
            "Content-Disposition: form-data; name=\"action[]\"",
            "Content-Disposition: form-data; name=\"act\\ion\"",
            "Content-Disposition: form-data; name=\"access_token\"",
            "Content-Disposition: form-data; name=\"OAuth_token\"",
            "Content-Disposition: form-data; name=\"oauth.token\"",
            "Content-Disposition: form-data; name=\"format\"",
            "Content-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"action\"",
            "Content-Disposition: form-data; name=\"x\"\r\nnothing",
            "Content-Disposition: form-data; name=\"x\"\r\nA: \0",
            "Content-Disposition: form-data; name=\"x\"\r\nA: b\rc: d",
            "Content-Disposition : form-data; name=\"action\"",
            " Content-Disposition: form-data; name=\"action\"",
            "Content-Disposition: attachment; name=\"action\"",
            "Content-Type: text/plain",
            "",
        ] {
            assert!(look(one(head).as_bytes(), 4096).is_err(), "{head}");
        }
        let plain = "Content-Disposition: form-data; name=\"x\"";
        let long = format!("{plain}\r\nA: {}", "x".repeat(HEAD));
        assert!(look(one(&long).as_bytes(), 4096).is_err());
        let action = "Content-Disposition: form-data; name=\"action\"";
        for body in [
            format!("--b\r\n{action}\r\n\r\nquery\r\n--b\r\n{action}\r\n\r\nlogin\r\n--b--"),
            format!("\r\n{}", one(plain)),
            format!("x\r\n{}", one(plain)),
            format!("{}{}", one(plain), one(action)),
            format!("--b\r\n{plain}\r\n\r\nx\r\n--bx\r\n{action}\r\n\r\nlogin\r\n--b--"),
            format!("--b\r\n{plain}\r\n\r\nx\r\n--b\0\r\n{action}\r\n\r\nlogin\r\n--b--"),
            format!("--b \r\n{plain}\r\n\r\nx\r\n--b--"),
            format!("--b\r\n{plain}\r\n\r\nx"),
            format!("--b\r\n{action}\r\n\r\n{}\r\n--b--", "x".repeat(2 * VALUE)),
            String::new(),
        ] {
            assert!(look(body.as_bytes(), 4096).is_err(), "{body:?}");
        }
    }

    /// PHP keeps no file without a name, above its size or past its number, and then looks for marks row by row, rows being 5 KiB.
    #[test]
    fn the_boundary_stands_at_the_beginning_of_a_line_or_nowhere() {
        let hidden =
            "--b\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nlogin\r\n--b--\r\n";
        let head = "--b\r\nContent-Disposition: form-data; name=\"x\"; filename=\"";
        for (file, before) in [("", 0), ("", 5120), ("y", 15358), ("y", 0), ("y", 1)] {
            let body = format!("{head}{file}\"\r\n\r\n{}{hidden}", "A".repeat(before));
            for piece in [1, 3, 4096] {
                assert!(look(body.as_bytes(), piece).is_err(), "{file:?} {before}");
            }
        }
        // However many dashes are before it.
        for (boundary, content, is_lawful) in [
            ("---b", "x----b", true),
            ("---b", "x-----b", false),
            ("---b", "x--------b", false),
            ("---b", "x----\n---b", true),
            ("-a-a-b", "--a---a-a-a-b", true),
            ("-a-a-b", "---a---a-a-b", false),
        ] {
            let body = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n{content}\r\n--{boundary}--"
            );
            let mut parts = Parts::new(boundary, []);
            let taken = parts.take(body.as_bytes()).and_then(|()| parts.end());
            assert_eq!(taken.is_ok(), is_lawful, "{content}");
        }
    }

    #[test]
    fn what_decides_comes_first_or_not_at_all() {
        let whole = one("Content-Disposition: form-data; name=\"action\"");
        // In the midst of a mark, of a head and of the value.
        for seen in [0, 2, 10, 60] {
            let mut parts = Parts::new("b", []);
            parts
                .take(&whole.as_bytes()[..seen])
                .expect("the beginning");
            parts.decided();
            assert!(parts.take(&whole.as_bytes()[seen..]).is_err(), "{seen}");
        }
    }
}
