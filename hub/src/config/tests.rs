//! Mistakes in settings, each with its place; and that reference and code agree.

use std::path::Path;
use std::time::Duration;

use super::sections::SECTIONS;
use super::*;

mod mounts;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.toml");
    std::fs::write(&path, text).unwrap();
    let sources = Sources {
        config: Some(path.clone()),
        data_dir: Some(directory.path().to_owned()),
        environment: environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..Sources::default()
    };
    Settings::load(&sources).map_err(|problems| {
        problems
            .iter()
            .map(|problem| {
                problem
                    .to_string()
                    .replace(&path.display().to_string(), "h.toml")
            })
            .collect()
    })
}

#[test]
fn every_default_can_be_read() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.hub, HubSettings::default());
    assert_eq!(settings.public_url(), "http://127.0.0.1:8000");
    assert_eq!(settings.server.idle_timeout, None);
    assert_eq!(settings.server.start_timeout, Duration::from_secs(60));
}

#[test]
fn each_mistake_has_its_place_and_fix() {
    let cases: &[(&str, &str)] = &[
        (
            "[hub]\nnmae = \"x\"",
            "h.toml:2: hub.nmae: there is no such setting. Did you mean name?",
        ),
        (
            "[hbu]\n",
            "h.toml:1: hbu: there is no section \"hbu\". Did you mean [hub]?",
        ),
        (
            "\nlisten = \"x\"",
            "h.toml:2: listen: listen stands outside of its section. Write it below [proxy] or [replicas]",
        ),
        (
            "[hub]\nlisten = \"x\"",
            "h.toml:2: hub.listen: there is no such setting. It belongs below [proxy]",
        ),
        (
            "hub = 1",
            "h.toml:1: hub: it is a section, not a setting. Write [hub] on a line of its own, and settings below it",
        ),
        (
            "[server]\n\nidle_timeout = \"5 parsecs\"",
            "h.toml:3: server.idle_timeout: \"5 parsecs\" is not a length of time. Write a number with its unit: \"500ms\", \"30s\", \"10m\", \"2h\", \"14d\"",
        ),
        (
            "[server]\nidle_timeout = 5",
            "h.toml:2: server.idle_timeout: a number stands where a text is wanted. Put it in quotes: a time such as \"90m\" or \"2h\"; \"0\" is off",
        ),
        (
            "[server]\nmemory = \"2\"",
            "h.toml:2: server.memory: \"2\" is not a size. Write a whole number with its unit: \"512MiB\", \"2GiB\"",
        ),
        (
            "[server]\npids = -1",
            "h.toml:2: server.pids: \"-1\" is not a whole number from 0 to 4294967295. Write digits only, for example 4",
        ),
        (
            "[server]\nenvironment = { \"a b\" = \"\" }",
            "h.toml:2: server.environment: \"a b\" cannot be the name of a variable. Use letters, digits and underscores",
        ),
        (
            "[proxy]\nlisten = \"8000\"",
            "h.toml:2: proxy.listen: \"8000\" is not an address with a port. Write for example \"127.0.0.1:8000\", \"0.0.0.0:8000\" or \"[::1]:8000\"",
        ),
        (
            "[proxy]\ntrusted_proxies = [\"x\"]",
            "h.toml:2: proxy.trusted_proxies: \"x\" is neither a network nor an address. Write for example \"10.0.0.0/8\" or \"192.0.2.7\"",
        ),
        (
            "[spawner]\nkind = \"podman\"",
            "h.toml:2: spawner.kind: \"podman\" is not one of the choices. Write \"auto\", \"docker\" or \"process\"",
        ),
        (
            "[hub]\npublic_url = \"http://h/?q\"",
            "h.toml:2: hub.public_url: it has a query or a fragment. Write scheme, host and, if need be, port: \"https://hub.example.org\"",
        ),
        (
            "[proxy]\nlisten = \"0.0.0.0:80\"\n[hub]\npublic_url = \"http://h\"\n[spawner]\nkind = \"process\"",
            "h.toml:2: proxy.listen: 0.0.0.0:80 is open to other machines, but spawner.kind = \"process\" runs notebooks without isolation. Listen on 127.0.0.1, or install Docker and set spawner.kind = \"docker\"",
        ),
        (
            "[proxy]\nlisten = \"0.0.0.0:80\"",
            "settings: hub.public_url: proxy.listen is 0.0.0.0:80, every address of the machine, so nobody can tell what browsers call it. Set hub.public_url, for example \"https://hub.example.org\"",
        ),
        (
            "[docker]\nsubnet = \"8.8.8.0/24\"",
            "h.toml:2: docker.subnet: 8.8.8.0/24 is not a private IPv4 network with room for servers. Write for example \"10.89.0.0/22\"",
        ),
        (
            "[docker]\nhost = \"ssh://x\"",
            "h.toml:2: docker.host: \"ssh://x\" is not an address that Holt can speak to. Write \"unix:///var/run/docker.sock\" or \"tcp://address:port\"",
        ),
        (
            "[server]\ndefault_url = \"//evil\"",
            "h.toml:2: server.default_url: \"//evil\" is not a path of the server. Write a path such as \"/lab\" or \"/tree\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(load(text, &[]).unwrap_err(), [*expected], "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let problems = load(
        "[hub]\nname = 1\nnmae = 2\n[server]\nstop_grace = \"x\"\n[oops]\n",
        &[
            ("HOLT__PROXY__WORKERS", "many"),
            ("HOLT__SERVER__IDEL_TIMEOUT", "1h"),
            ("HOLT__X", ""),
        ],
    )
    .unwrap_err();
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(
        problems
            .iter()
            .any(|line| line.starts_with("environment HOLT__PROXY__WORKERS: proxy.workers: "))
    );
    assert!(problems.iter().any(
        |line| line.starts_with("environment HOLT__SERVER__IDEL_TIMEOUT: ")
            && line.ends_with("Did you mean idle_timeout?")
    ));
}

#[test]
fn broken_toml_is_told_with_its_lines_and_hides_nothing_else() {
    let problems = load("[hub]\nname = \n[server]\nstop_grace = \"x\"\n", &[]).unwrap_err();
    assert!(
        problems[0].starts_with("h.toml:2: this is not TOML"),
        "{problems:#?}"
    );
    assert!(
        problems
            .iter()
            .any(|line| line.starts_with("h.toml:4: server.stop_grace")),
        "{problems:#?}"
    );
}

#[test]
fn the_environment_stands_over_the_file() {
    let text = "[hub]\nname = \"file\"\nannounce_version = \"file\"";
    let settings = load(
        text,
        &[
            ("HOLT__HUB__NAME", "variable"),
            ("HOLT__SERVER__ENVIRONMENT", "{ A = \"b\" }"),
            ("HOLT__PROXY__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ],
    )
    .unwrap();
    assert_eq!(
        (
            settings.hub.name.as_str(),
            settings.hub.announce_version.as_str()
        ),
        ("variable", "file")
    );
    assert_eq!(settings.server.environment["A"], "b");
    assert_eq!(settings.proxy.trusted_proxies.len(), 2);
}

#[test]
fn a_flag_stands_over_all() {
    let sources = Sources {
        data_dir: Some("/nonexistent".into()),
        listen: Some("localhost:9".into()),
        environment: vec![("HOLT__PROXY__LISTEN".into(), "127.0.0.1:1".into())],
        ..Sources::default()
    };
    assert_eq!(
        Settings::load(&sources).unwrap().public_url(),
        "http://127.0.0.1:9"
    );
}

#[test]
fn a_config_that_is_not_there_is_a_mistake() {
    let sources = Sources {
        config: Some("/nonexistent/h.toml".into()),
        data_dir: Some("/nonexistent".into()),
        ..Sources::default()
    };
    let problems = Settings::load(&sources).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .starts_with("/nonexistent/h.toml: the file cannot be read"),
        "{problems:?}"
    );
}

#[test]
fn a_full_or_long_data_directory_is_said() {
    let long = DataDir::at(format!("/tmp/{}", "x".repeat(100)));
    assert!(
        long.prepare()
            .unwrap_err()
            .to_string()
            .contains("too long for sockets")
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(
        DataDir::at(file)
            .prepare()
            .unwrap_err()
            .to_string()
            .contains("a file stands in its place")
    );
    let fine = DataDir::at(directory.path().join("new"));
    fine.prepare().unwrap();
    assert!(fine.run().is_dir());
}

#[test]
fn one_person_is_never_two_and_two_are_never_one() {
    let realm = |name: &str, issuer: &str| {
        format!(
            "[provider.{name}]\nkind = \"oidc\"\nclient_id = \"c\"\n{issuer}\ncallback_path = \"/hub/oauth_callback/{name}\"\n\
             authorize_url = \"https://id.example/{name}/a\"\ntoken_url = \"https://id.example/t\"\nuserinfo_url = \"https://id.example/u\"\n"
        )
    };
    let named = |name: &str| realm(name, &format!("issuer = \"https://id.example/{name}\""));
    let says = |text: &str, words: &str| {
        let problems = load(text, &[]).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains(words)),
            "{words}: {problems:#?}"
        );
    };
    says(
        &(realm("ink", "") + &realm("quill", "")),
        "provider.quill.issuer: [provider.ink] has the same",
    );
    let two = named("ink") + &named("quill");
    load(
        &(two.clone() + "[access]\nadmins = [\"ink:7\"]\nallow = [\"Wren\", \"Foo:bar\"]"),
        &[],
    )
    .unwrap();
    says(
        &(two.clone() + "[access]\nadmins = [\"Wren\"]"),
        "access.admins: \"Wren\" is a name",
    );
    says(
        &(two + "[access]\nblock = [\"inc:7\"]"),
        "access.block: \"inc:7\" means an account at \"inc\", and there is no [provider.inc]",
    );
    // One wiki may be asked by both protocols.
    let wiki = |name: &str, protocol: &str| {
        format!(
            "[provider.{name}]\nclient_id = \"c\"\nprotocol = \"{protocol}\"\nindex_url = \"https://wiki.example/w/index.php\"\n\
             client_secret_file = \"/s\"\ncallback_path = \"/hub/oauth_callback/{name}\"\n"
        )
    };
    load(&(wiki("old", "oauth1") + &wiki("new", "oauth2")), &[]).unwrap();
}

/// Set `HOLT_WRITE_REFERENCE=1` to write both files anew.
#[test]
fn the_written_reference_is_that_of_the_code() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/rules");
    let files = [
        ("config.md", reference::markdown()),
        ("holt.example.toml", reference::example()),
    ];
    if std::env::var_os("HOLT_WRITE_REFERENCE").is_some() {
        std::fs::create_dir_all(&rules).unwrap();
        for (name, text) in &files {
            std::fs::write(rules.join(name), text).unwrap();
        }
    }
    let fields = SECTIONS
        .iter()
        .map(|section| section.fields.len())
        .sum::<usize>();
    assert!(fields > 20, "only {fields} settings were found");
    for (name, text) in &files {
        let written = std::fs::read_to_string(rules.join(name)).unwrap_or_default();
        assert!(
            &written == text,
            "spec/rules/{name} is not that of the code: run this test with HOLT_WRITE_REFERENCE=1"
        );
        for field in SECTIONS.iter().flat_map(|section| section.fields) {
            assert!(
                written.contains(field.key),
                "{} is not in {name}",
                field.key
            );
        }
    }
}

#[test]
fn the_example_is_lawful_with_every_mark_taken_away() {
    let text: String = reference::example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let settings = load(&text, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(settings.server, ServerSettings::default());
}

#[test]
fn replica_accounts_and_sections_belong_together() {
    let section = "[replica_section.s1]\nbackends = [\"db:3306\"]\n";
    let environment = [("HOLT__REPLICAS__ACCOUNTS", "u1 a b;# none;u2 c")];
    let settings = load(section, &environment).unwrap();
    assert!(settings.replicas.is_on());
    let accounts = settings.replica_accounts().unwrap();
    let names: Vec<&str> = accounts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["u1", "u2"]);
    assert!(settings.replica_note().unwrap().contains("2 users"));
    assert!(!format!("{settings:?}").contains("a b"));
    let shared = format!("[replicas]\nshared_account = true\n{section}");
    let note = load(&shared, &environment).unwrap().replica_note();
    assert!(note.unwrap().contains("see each other's queries"));

    for (text, variables, wanted) in [
        ("", &environment[..], "no replica server"),
        (section, &[][..], "no account to use"),
        (
            "[replica_section.s1]\nbackends = [\"db\"]",
            &environment[..],
            "\"db\" is not a host with a port",
        ),
        (
            "[replica_section.s1]",
            &environment[..],
            "the section has no server",
        ),
        (
            "[replicas]\nmap = \"dblists\"\n[replica_section.s1]\nbackends = [\"db:1\"]",
            &environment[..],
            "nothing says where the dblists are",
        ),
        (
            "[replicas]\ndefault_section = \"s9\"\n[replica_section.s1]\nbackends = [\"db:1\"]",
            &environment[..],
            "no section \"s9\"",
        ),
        (
            "[replica_section.s1]\nbackends = [\"db:1\", \"db:1\"]",
            &environment[..],
            "\"db:1\" stands there twice",
        ),
        (
            "[replica_section.s1]\nbackends = [\"db:1\"]\ndatabases = [\"x_p\"]\n[replica_section.s2]\nbackends = [\"db:2\"]\ndatabases = [\"x_p\"]",
            &environment[..],
            "\"x_p\" is in section s1 already",
        ),
        (
            "[replicas]\nconnections = 0\n[replica_section.s1]\nbackends = [\"db:1\"]",
            &environment[..],
            "0 connections",
        ),
        (
            "[replicas]\naccounts = \"u p\"",
            &[][..],
            "must not stand in the settings file",
        ),
    ] {
        let problems = load(text, variables).unwrap_err().join("\n");
        assert!(problems.contains(wanted), "{text}: {problems}");
        assert!(!problems.contains("a b"), "{problems}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "u1 a\n").unwrap();
    let named = format!(
        "[replicas]\naccounts_file = \"{}\"\n{section}",
        file.path().display()
    );
    let note = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        load(&named, &[]).unwrap().replica_file_note()
    };
    assert_eq!(note(0o600), None);
    assert!(note(0o644).unwrap().contains("chmod 600"));
    let twice = load(section, &[("HOLT__REPLICAS__ACCOUNTS", "u1 a;u1 b")]).unwrap();
    let mistake = twice.replica_accounts().unwrap_err();
    assert!(
        mistake.contains("line 2") && mistake.contains("u1 stands there twice"),
        "{mistake}"
    );
}
