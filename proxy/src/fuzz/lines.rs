//! A head that we wrote, read in the plainest way: what any next hop may count on.

/// Field lines: names in lower case, and values.
#[derive(Debug)]
pub(super) struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    /// Reads a head, and checks what holds of every one that we write.
    ///
    /// # Panics
    /// When a line could end elsewhere for somebody, or the body's end is said twice.
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
        let written = Written(fields);
        let (length, coding) = ("content-length", "transfer-encoding");
        assert!(
            written.count(length) + written.count(coding) <= 1,
            "the body's end is said twice: {shown:?}"
        );
        for (name, _) in &written.0 {
            let dashed = name.replace('_', "-");
            assert!(
                *name == dashed || ![length, coding].contains(&dashed.as_str()),
                "somebody takes {name} for another: {shown:?}"
            );
        }
        written
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
