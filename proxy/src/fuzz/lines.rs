//! A head that we took or wrote, read in the plainest way: what any next hop may count on.

const LENGTH: &str = "content-length";
const CODING: &str = "transfer-encoding";

/// How a body ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Chunks,
    Length(Option<u64>),
}

/// Field lines: names in lower case, and values.
#[derive(Debug)]
pub(super) struct Plain(Vec<(String, Vec<u8>)>);

impl Plain {
    /// Reads a head that we took.
    ///
    /// # Panics
    /// When a line could end elsewhere for somebody, or the body's end is said in more than one way.
    pub(super) fn read(head: &[u8]) -> Self {
        let shown = String::from_utf8_lossy(head);
        assert!(head.ends_with(b"\r\n\r\n"), "it has no end: {shown:?}");
        let mut fields = Vec::new();
        for (at, line) in head[..head.len() - 4]
            .split(|byte| *byte == b'\n')
            .enumerate()
        {
            // Of the last one the end was cut off.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert!(
                !line.is_empty() && !line.iter().any(|byte| matches!(byte, b'\r' | 0)),
                "line {at} has two readings: {shown:?}"
            );
            if at == 0 {
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let colon = colon.unwrap_or_else(|| panic!("line {at} is no field: {shown:?}"));
            let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
            assert!(
                !name.is_empty() && !name.contains([' ', '\t']),
                "line {at} has no name: {shown:?}"
            );
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        assert_eq!(
            head.iter().filter(|byte| **byte == b'\n').count(),
            fields.len() + 2,
            "a line ends with LF alone: {shown:?}"
        );
        let crs = head.windows(2).filter(|two| *two == b"\r\n").count();
        assert_eq!(
            crs,
            fields.len() + 2,
            "a line ends with LF alone: {shown:?}"
        );
        let plain = Plain(fields);
        assert!(
            plain.count(LENGTH) + plain.count(CODING) <= 1,
            "the body's end is said twice: {shown:?}"
        );
        for length in plain.all(LENGTH) {
            assert!(
                !length.is_empty() && length.iter().all(u8::is_ascii_digit),
                "the length is no number: {shown:?}"
            );
        }
        for coding in plain.all(CODING) {
            assert!(coding.eq_ignore_ascii_case(b"chunked"), "{shown:?}");
        }
        plain
    }

    /// Reads a head that we wrote.
    ///
    /// # Panics
    /// When somebody takes a field for another one.
    pub(super) fn read_ours(head: &[u8]) -> Self {
        let plain = Plain::read(head);
        for (name, _) in &plain.0 {
            let dashed = name.replace('_', "-");
            assert!(
                *name == dashed || ![LENGTH, CODING].contains(&dashed.as_str()),
                "somebody takes {name} for another: {}",
                head.escape_ascii()
            );
        }
        plain
    }

    /// How the body ends by these lines alone: in chunks, or after so many bytes where a number is said.
    pub(super) fn body(&self) -> Body {
        if self.count(CODING) > 0 {
            return Body::Chunks;
        }
        let number = self.all(LENGTH).next();
        let text = number.map(String::from_utf8_lossy);
        Body::Length(text.map(|text| text.parse().expect("it is a number that fits")))
    }

    /// The values of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &&(String, Vec<u8>)| field.0 == name;
        self.0.iter().filter(named).map(|(_, value)| &value[..])
    }

    /// How often a field is there.
    pub(super) fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
