//! The comment that begins every statement on its way to a backend, and says whose it is. Pure.
//!
//! `/* holt user=7 server=name launch=id */ `, always in this order and as the first bytes, so that whoever looks at a process
//! list finds the person, and what looks like it in the statement itself comes too late.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands as it is in a value: nothing that could end a comment.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The comment, with a space behind it.
pub(crate) fn comment(user: i64, server: &str, launch: &str) -> String {
    let escape = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    format!(
        "/* holt user={user} server={} launch={} */ ",
        escape(server),
        escape(launch)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_in_a_name_ends_or_forges_it(server in ".*", launch in ".*") {
            let text = comment(7, &server, &launch);
            prop_assert!(text.starts_with("/* holt user=7 server="));
            prop_assert_eq!(text.find("*/"), Some(text.len() - 3));
            prop_assert_eq!(text.matches("/*").count(), 1);
            prop_assert!(text.bytes().all(|byte| (b' '..0x7F).contains(&byte)));
            prop_assert_eq!(text.matches(' ').count(), 6);
        }
    }
}
