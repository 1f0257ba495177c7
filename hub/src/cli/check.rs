//! `holt check`: every mistake in the settings, and nothing else.

use std::io::Write;

use super::node::how_to_run;
use super::{Failure, Overrides};
use crate::config::Settings;

pub(super) fn run(overrides: &Overrides) -> Result<(), Failure> {
    let settings = overrides.load()?;
    let file = match &settings.file {
        Some(path) => path.display().to_string(),
        None => "no settings file, only defaults and the environment".to_owned(),
    };
    let _ = writeln!(std::io::stdout(), "No mistakes ({file}).");
    for note in notes(&settings) {
        let _ = writeln!(std::io::stdout(), "{note}");
    }
    Ok(())
}

/// What is lawful and yet worth knowing, each in one line.
fn notes(settings: &Settings) -> Vec<String> {
    let mut notes: Vec<String> = settings.replica_note().into_iter().collect();
    notes.extend(settings.replica_file_note());
    notes.extend(settings.broker_note());
    notes.extend(settings.broker_callback_note());
    notes.extend(settings.providers.iter().map(|(name, provider)| {
        format!(
            "[provider.{name}]: register the hub there with the callback {}{}",
            settings.public_url(),
            provider.callback_path
        )
    }));
    let waiting = settings.mounts_that_wait().into_iter();
    let waiting = waiting.chain(crate::node::image_notes(settings));
    let waiting = waiting.chain(crate::node::source_notes(settings));
    notes.extend(waiting.map(|(name, words)| format!("[mount.{name}]: {words}")));
    if !settings.mounts.is_empty() && !rustix::process::geteuid().is_root() {
        notes.push(format!(
            "[mount]: mounting needs root. Where the hub is not root, run beside it: {}",
            how_to_run(settings)
        ));
    }
    if settings.providers.is_empty() {
        return notes;
    }
    let access = &settings.access;
    let lets_in = access.allow_all
        || ![&access.allow, &access.allow_groups, &access.admins]
            .into_iter()
            .all(Vec::is_empty)
        || settings.providers.iter().any(|(_, provider)| {
            !provider.admin_groups.is_empty() || provider.claim_admin.is_some()
        });
    if !lets_in {
        notes.push("[access]: nobody may come in by a provider: set allow_all, allow, allow_groups or admins".to_owned());
    }
    if !settings.is_local_login_on() {
        notes.push(
            "hub.local_login: names and passwords of Holt's own are off, since there is a provider; \"on\" keeps them, and `holt user link` signs in without either".to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    /// What is told of settings that are lawful.
    fn told(text: &str) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("holt.toml");
        std::fs::write(&path, text).expect("it can be written");
        let sources = Sources {
            config: Some(path),
            data_dir: Some(directory.path().to_owned()),
            ..Sources::default()
        };
        notes(&Settings::load(&sources).expect("they are lawful"))
    }

    #[test]
    fn a_mount_that_would_hold_notebooks_is_told() {
        let nfs = |options: &str| {
            format!(
                "[mount.dumps]\nkind = \"nfs4\"\nsource = \"files:/dumps\"\ntarget = \"/mnt/nfs/dumps\"\noptions = [{options}]\n"
            )
        };
        let notes = told(&nfs("\"timeo=100\""));
        assert!(
            notes[0].starts_with("[mount.dumps]: without \"soft\""),
            "{notes:?}"
        );
        for soft in ["\"soft\"", "\"softerr\""] {
            assert!(!told(&nfs(soft)).iter().any(|note| note.contains("hangs")));
        }
    }

    #[test]
    fn a_source_that_is_no_directory_is_told() {
        let folder = tempfile::tempdir().expect("a directory");
        let source = folder.path().join("dumps");
        let note = || {
            let notes = told(&format!(
                "[mount.dumps]\nsource = \"{}\"\ntarget = \"/mnt/nfs/dumps\"\n",
                source.display()
            ));
            let mut notes = notes.into_iter();
            notes.find(|note| note.starts_with("[mount.dumps]:"))
        };
        let missing = note().expect("it is not there");
        assert!(missing.contains("does not exist now"), "{missing}");
        std::fs::write(&source, "").expect("it can be written");
        let file = note().expect("it is a file");
        assert!(file.contains("is no directory"), "{file}");
        std::fs::remove_file(&source).expect("it can be removed");
        std::fs::create_dir(&source).expect("it can be made");
        assert_eq!(note(), None);
    }

    #[test]
    fn a_disk_image_of_another_size_or_larger_than_its_disk_is_told() {
        let folder = tempfile::tempdir().expect("a directory");
        let image = folder.path().join("team.img");
        let note = |quota: &str| {
            let notes = told(&format!(
                "[mount.team]\nkind = \"image\"\nsource = \"{}\"\ntarget = \"/srv/shared/team\"\nquota = \"{quota}\"\n",
                image.display()
            ));
            let mut notes = notes.into_iter();
            notes.find(|note| note.starts_with("[mount.team]:"))
        };
        assert_eq!(note("16MiB"), None);
        let large = note("1000TiB").expect("no disk is so large");
        assert!(large.contains("whoever writes meets errors"), "{large}");
        let file = std::fs::File::create(&image).expect("it can be made");
        file.set_len(16 << 20).expect("it can be that large");
        assert_eq!(note("16MiB"), None);
        let other = note("20MiB").expect("it has another size");
        assert!(other.contains("is 16MiB large"), "{other}");
    }

    #[test]
    fn what_is_lawful_and_lets_nobody_in_is_told() {
        assert!(told("").is_empty());
        let wiki = "[hub]\npublic_url = \"https://hub.example\"\n[provider.wiki]\nclient_id = \"c\"\n\
                    index_url = \"https://wiki.example/w/index.php\"\n";
        let notes = told(wiki);
        assert!(notes[0].ends_with("the callback https://hub.example/hub/oauth_callback"));
        assert!(notes[1].contains("nobody may come in by a provider"));
        assert!(notes[2].contains("`holt user link`"));
        let apart = format!("{wiki}[broker]\nprovider = \"wiki\"\nclient_id = \"d\"\n");
        assert!(
            told(&apart)[0].contains("the callback https://hub.example/hub/wiki/callback"),
            "{:?}",
            told(&apart)
        );
        let notes = told(&format!("{wiki}[access]\nadmins = [\"wiki:7\"]\n"));
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}
