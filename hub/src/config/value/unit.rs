//! Values with units: lengths of time and numbers of bytes.

use std::time::Duration;

use super::{Refusal, Value};

impl Value for Duration {
    const FORM: &'static str = "a time such as \"500ms\", \"30s\", \"10m\", \"2h\" or \"14d\"";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        parse_duration(text).ok_or_else(|| {
            Refusal::new(
                format!("{text:?} is not a length of time"),
                "Write a number with its unit: \"500ms\", \"30s\", \"10m\", \"2h\", \"14d\"",
            )
        })
    }
}

/// `1h30m`, `30s`, `0`; no fractions, at most a hundred years.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let milliseconds = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
    }
    (!text.is_empty() && total <= Duration::from_secs(100 * 365 * 86_400)).then_some(total)
}

/// A length of time, or none: `"0"` switches off.
impl Value for Option<Duration> {
    const FORM: &'static str = "a time such as \"90m\" or \"2h\"; \"0\" is off";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        Duration::from_text(text).map(|duration| (!duration.is_zero()).then_some(duration))
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Value for Size {
    const FORM: &'static str = "a size such as \"512MiB\" or \"2GiB\"";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let unit: Option<u64> = match text[digits..].trim_start() {
            "B" => Some(1),
            "kB" | "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            "KiB" | "K" => Some(1 << 10),
            "MiB" | "M" => Some(1 << 20),
            "GiB" | "G" => Some(1 << 30),
            "TiB" | "T" => Some(1 << 40),
            _ => None,
        };
        text[..digits]
            .parse::<u64>()
            .ok()
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| {
                Refusal::new(
                    format!("{text:?} is not a size"),
                    "Write a whole number with its unit: \"512MiB\", \"2GiB\"",
                )
            })
    }
}

impl Value for Option<Size> {
    const FORM: &'static str = "a size such as \"512MiB\" or \"2GiB\"; \"\" is no limit";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "" | "0" => Ok(None),
            _ => Size::from_text(text).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("14d", Some(1_209_600_000)),
            ("30", None),
            ("", None),
            ("s", None),
            ("5 parsecs", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("999999999999d", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(Duration::from_text(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_carry_units() {
        for (text, expected) in [
            ("2GiB", Some(2 << 30)),
            ("512 MiB", Some(512 << 20)),
            ("1GB", Some(1_000_000_000)),
            ("2", None),
            ("GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(
                Size::from_text(text).ok().map(|size| size.0),
                expected,
                "{text:?}"
            );
        }
    }
}
