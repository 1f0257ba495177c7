//! `LIKE` as servers match names with it. Pure.

/// Whether a name matches a pattern: `%` is anything, `_` any one character, and a backslash takes their meaning away. Case does not
/// matter.
pub(crate) fn is_like(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '%' => Part::Anything,
            '_' => Part::One,
            '\\' => Part::Letter(letters.next().unwrap_or('\\')),
            letter => Part::Letter(letter),
        });
    }
    // Where the last `%` stood, and what it had taken: what does not match goes on from there.
    let (mut at, mut part) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < name.len() {
        match parts.get(part) {
            Some(Part::Anything) => {
                back = Some((part, at));
                part += 1;
                continue;
            }
            Some(Part::One) => {
                at += 1;
                part += 1;
                continue;
            }
            Some(Part::Letter(letter)) if letter.to_lowercase().eq([name[at]]) => {
                at += 1;
                part += 1;
                continue;
            }
            _ => {}
        }
        let Some((anything, taken)) = back else {
            return false;
        };
        back = Some((anything, taken + 1));
        (part, at) = (anything + 1, taken + 1);
    }
    parts[part..]
        .iter()
        .all(|part| matches!(part, Part::Anything))
}

enum Part {
    Anything,
    One,
    Letter(char),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_servers_match_them() {
        for (name, pattern, wanted) in [
            ("enwiki_p", "%", true),
            ("enwiki_p", "en%", true),
            ("enwiki_p", "EN%_P", true),
            ("enwiki_p", "%wiki\\_p", true),
            ("enwikixp", "%wiki\\_p", false),
            ("enwikixp", "%wiki_p", true),
            ("mysql", "%\\_p", false),
            ("mysql", "m%", true),
            ("aXbXc", "a%b%c", true),
            ("abab", "%ab", true),
            ("abab", "ab", false),
            ("", "", true),
            ("", "%%", true),
            ("", "_", false),
        ] {
            assert_eq!(is_like(name, pattern), wanted, "{name} {pattern}");
        }
    }
}
