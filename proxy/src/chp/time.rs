//! Moments as the REST API writes and reads them.

use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Writes milliseconds since 1970 like `2024-01-31T08:05:09.007Z`.
///
/// Digit by digit: a listing holds one for each of ten thousand routes.
pub(super) fn write_moment(out: &mut String, ms: u64) {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.to_hms();
    for (number, digits, after) in [
        (year.unsigned_abs(), 4, '-'),
        (u8::from(month).into(), 2, '-'),
        (day.into(), 2, 'T'),
        (hour.into(), 2, ':'),
        (minute.into(), 2, ':'),
        (second.into(), 2, '.'),
        (u32::try_from(ms % 1000).unwrap_or(0), 3, 'Z'),
    ] {
        write_digits(out, number, digits);
        out.push(after);
    }
}

fn write_digits(out: &mut String, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

/// Reads a moment in the ways that scripts write one: ISO 8601 in all its lengths, or as mail and HTTP do.
///
/// The answer is in milliseconds since 1970. Without a zone it is UTC.
pub(super) fn read_moment(text: &str) -> Option<i64> {
    let text = text.trim();
    let moment = iso(text)
        .or_else(|| OffsetDateTime::parse(text, &Rfc2822).ok())
        .or_else(|| words(text))?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

fn iso(text: &str) -> Option<OffsetDateTime> {
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, ""),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| number(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| number(day, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date =
        Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    if rest.is_empty() {
        return (date_ends(text)).then(|| date.midnight().assume_utc());
    }
    let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(at);
    let moment = PrimitiveDateTime::new(date, time_of_day(clock)?);
    Some(moment.assume_offset(offset(zone)?))
}

/// A date alone does not end in the letter that a time would follow.
fn date_ends(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
}

fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.trim().split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let seconds = parts.next().unwrap_or("00");
    if parts.next().is_some() {
        return None;
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let second = number(whole, 2)?;
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis: String = fraction.chars().chain("00".chars()).take(3).collect();
    let small = |number: u32| u8::try_from(number).ok();
    Time::from_hms_milli(
        small(hour)?,
        small(minute)?,
        small(second)?,
        millis.parse().ok()?,
    )
    .ok()
}

fn offset(text: &str) -> Option<UtcOffset> {
    if matches!(text, "" | "Z" | "z") {
        return Some(UtcOffset::UTC);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits = rest.replace(':', "");
    let hours = i8::try_from(number(digits.get(..2)?, 2)?).ok()?;
    let minutes = i8::try_from(number(digits.get(2..)?, 2)?).ok()?;
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

/// `1 Jan 2024` and `Jan 1, 2024`, at midnight.
fn words(text: &str) -> Option<OffsetDateTime> {
    let day_first = format_description!("[day padding:none] [month repr:short] [year]");
    let month_first = format_description!("[month repr:short] [day padding:none], [year]");
    Date::parse(text, day_first)
        .or_else(|_| Date::parse(text, month_first))
        .ok()
        .map(|date| date.midnight().assume_utc())
}

fn number(text: &str, digits: usize) -> Option<u32> {
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(ms: u64) -> String {
        let mut out = String::new();
        write_moment(&mut out, ms);
        out
    }

    #[test]
    fn moments_are_written_with_milliseconds() {
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(1_706_688_309_007), "2024-01-31T08:05:09.007Z");
    }

    #[test]
    fn moments_are_read_as_scripts_write_them() {
        let day = 1_704_067_200_000;
        for (text, ms) in [
            ("2024", Some(day)),
            ("2024-01", Some(day)),
            ("2024-01-01", Some(day)),
            ("2024-01-01T00:00Z", Some(day)),
            ("2024-01-01t00:00:00z", Some(day)),
            ("2024-01-01 00:00", Some(day)),
            ("2024-01-01T00:00:00.123456Z", Some(day + 123)),
            ("2024-01-01T00:00:00.5+00:00", Some(day + 500)),
            ("2024-01-01T01:00:00+0100", Some(day)),
            ("Mon, 01 Jan 2024 00:00:00 GMT", Some(day)),
            ("1 Jan 2024", Some(day)),
            ("Jan 1, 2024", Some(day)),
            ("1960-01-01", Some(-315_619_200_000)),
            ("2024-01-01T00:00:00 00:00", None),
            ("2024-13-01", None),
            ("2024-01-01T", None),
            ("20240101", None),
            ("1700000000", None),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(read_moment(text), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0_u64..253_402_300_800_000) {
            prop_assert_eq!(read_moment(&written(ms)), Some(i64::try_from(ms).unwrap()));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = read_moment(&text);
        }
    }
}
