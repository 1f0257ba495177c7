//! Bodies on the wire: how much of one is still to come, be it counted beforehand or in chunks.
//!
//! **Invariant:** content is counted and never looked at, so that a GiB costs next to nothing.

use anyhow::{Context, Result, ensure};

use crate::wire::{HEAD_LIMIT, field};

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunks(Chunks),
}

impl Body {
    /// As its head tells; without a word of it there is none.
    pub(crate) fn of(head: &[u8]) -> Result<Self> {
        if let Some(coding) = field(head, "transfer-encoding") {
            ensure!(coding.eq_ignore_ascii_case("chunked"), "coding {coding}");
            return Ok(Self::Chunks(Chunks::default()));
        }
        let length = field(head, "content-length").unwrap_or("0");
        Ok(Self::Length(length.parse().context("Content-Length")?))
    }

    /// Takes what came, and tells how many of these bytes were content.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<u64> {
        match self {
            Self::Length(left) => {
                let came = bytes.len() as u64;
                ensure!(came <= *left, "more came than the body has");
                *left -= came;
                Ok(came)
            }
            Self::Chunks(chunks) => chunks.take(bytes),
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.step == Step::Whole,
        }
    }
}

/// A body in chunks, of which only the lengths are looked at.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    step: Step,
    /// The line that has begun.
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Size,
    Data(u64),
    AfterData,
    Trailer,
    Whole,
}

impl Chunks {
    fn take(&mut self, mut bytes: &[u8]) -> Result<u64> {
        let mut content = 0;
        while !bytes.is_empty() {
            if let Step::Data(left) = self.step {
                let part = left.min(bytes.len() as u64);
                content += part;
                bytes = &bytes[usize::try_from(part)?..];
                self.step = match left - part {
                    0 => Step::AfterData,
                    left => Step::Data(left),
                };
                continue;
            }
            ensure!(self.step != Step::Whole, "more came than the body has");
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                ensure!(self.line.len() < HEAD_LIMIT, "a line has no end");
                return Ok(content);
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.step = self.after_line()?;
            self.line.clear();
        }
        Ok(content)
    }

    fn after_line(&self) -> Result<Step> {
        let line = std::str::from_utf8(&self.line)?.trim_end();
        Ok(match self.step {
            Step::Size => match u64::from_str_radix(line, 16).context("size of a chunk")? {
                0 => Step::Trailer,
                size => Step::Data(size),
            },
            Step::AfterData => {
                ensure!(line.is_empty(), "no line ends the chunk");
                Step::Size
            }
            Step::Trailer if line.is_empty() => Step::Whole,
            other => other,
        })
    }
}
