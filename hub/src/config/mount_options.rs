//! What may be said to the program `mount`: options of a mount.

use super::MountSettings;

pub(super) fn check_options(
    mount: &MountSettings,
    refuse: &mut impl FnMut(&'static str, String, &str),
) {
    for option in &mount.options {
        let name = option
            .split(|letter: char| !letter.is_ascii_alphanumeric() && !"_-,.".contains(letter))
            .next()
            .unwrap_or_default();
        // First, and told without its value.
        if is_secret(option) {
            refuse(
                "options",
                format!("{name} would stand in the list of processes"),
                "Name a file of credentials instead, as that type of mount has it: \"credentials=/etc/holt/dumps.credentials\"",
            );
        } else if option == "bg" && mount.kind.starts_with("nfs") {
            refuse(
                "options",
                "\"bg\" goes on mounting in the background, where nobody knows when that ends"
                    .to_owned(),
                "Take it out: the node tries again by itself",
            );
        } else if option.contains(',') || option.starts_with('-') {
            refuse(
                "options",
                format!("{option:?} is not one option"),
                "Write each as a text of its own: [\"soft\", \"timeo=100\"]",
            );
        } else if is_holts(name) {
            refuse(
                "options",
                format!("{option:?} is not the options' to say"),
                "Take it out: read_only, exec, kind and users are settings of their own, what is in a directory is mounted by kind = \"bind\", a file by kind = \"image\"; set-user-id programs and devices are always off",
            );
        }
    }
}

/// Whether an option says what settings of Holt's own say, or has `mount` do more than mount: change flags, make directories, show another
/// directory than the topmost. Source: mount(8).
fn is_holts(name: &str) -> bool {
    const HOLTS: [&str; 26] = [
        "bind",
        "defaults",
        "dev",
        "exec",
        "group",
        "loop",
        "move",
        "noexec",
        "offset",
        "owner",
        "private",
        "rbind",
        "remount",
        "ro",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "rw",
        "shared",
        "sizelimit",
        "slave",
        "suid",
        "unbindable",
        "user",
        "users",
    ];
    let lower = name.to_ascii_lowercase();
    HOLTS.contains(&name) || lower.starts_with("x-mount.")
}

/// Whether an option holds a secret, rather than the name of a file with one: `password2=x`, `username=me%secret`. Or several options, one of
/// which does.
pub(super) fn is_secret(options: &str) -> bool {
    options.split(',').any(|option| {
        let option = option.to_ascii_lowercase();
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        let is_word = ["pass", "secret", "token"]
            .iter()
            .any(|word| name.contains(word));
        let is_file = matches!(name, "credentials" | "secretfile");
        (is_word && !is_file) || (name.starts_with("user") && value.contains('%'))
    })
}
