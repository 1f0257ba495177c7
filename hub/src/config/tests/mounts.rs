//! Mistakes in mounts and groups, and what may be mounted.

use super::*;

#[test]
fn mistakes_of_mounts_are_told_with_their_fix() {
    let mount = |lines: &str| {
        format!("[mount.dumps]\nsource = \"/srv/dumps\"\ntarget = \"/mnt/nfs/dumps\"\n{lines}")
    };
    assert_eq!(
        load(&mount("links = [\"/public/dumps/public\"]"), &[])
            .unwrap()
            .mounts
            .len(),
        1
    );
    let cases: &[(String, &str)] = &[
        (
            "[mount.dumps]".to_owned(),
            "mount.dumps.source: there is nothing to mount",
        ),
        (
            "[mount.dumps]\nsource = \"/x\"".to_owned(),
            "mount.dumps.target: \"\" is no path in a folder",
        ),
        (
            "[mount.dumps]\nsource = \"x\"\ntarget = \"/mnt/a/b\"".to_owned(),
            "source: \"x\" begins nowhere",
        ),
        (
            "[mount.dumps]\nsource = \"/x\"\ntarget = \"/etc/dumps\"".to_owned(),
            "would hide what servers have in /etc",
        ),
        (
            "[mount.dumps]\nsource = \"/x\"\ntarget = \"/home/paws/dumps\"".to_owned(),
            "would hide what servers have in /home",
        ),
        (
            mount("links = [\"/mnt/nfs/dumps/again\"]"),
            "lies in the mount itself",
        ),
        (
            mount("links = [\"/mnt/nfs/dumps\"]"),
            "links: /mnt/nfs/dumps",
        ),
        (
            mount("kind = \"nfs\"\noptions = [\"soft,timeo=20\"]"),
            "is not one option",
        ),
        (
            mount("kind = \"nfs\"\noptions = [\"dev\"]"),
            "is not the options' to say",
        ),
        (
            mount("kind = \"nfs\"\noptions = [\"X-mount.subdir=private\"]"),
            "\"X-mount.subdir=private\" is not the options' to say",
        ),
        (
            mount("kind = \"nfs\"\noptions = [\"rshared\"]"),
            "\"rshared\" is not the options' to say",
        ),
        (
            mount("kind = \"nfs\"\noptions = [\"defaults\"]"),
            "\"defaults\" is not the options' to say",
        ),
        (
            mount("kind = \"ext4\"\noptions = [\"loop=/dev/loop7\"]"),
            "\"loop=/dev/loop7\" is not the options' to say",
        ),
        (
            mount("kind = \"cifs\"\noptions = [\"password=x\"]"),
            "would stand in the list of processes",
        ),
        (
            mount("kind = \"nfs4\"\noptions = [\"soft\", \"bg\"]"),
            "options: \"bg\" goes on mounting in the background",
        ),
        (mount("options = [\"noatime\"]"), "kind = \"bind\" has none"),
        (mount("owner = \"1:1\""), "nobody can write there"),
        (
            mount("read_only = false\nowner = \"paws\""),
            "are no two numbers",
        ),
        (mount("quota = \"1GiB\""), "has its own way of limits"),
        (
            mount("kind = \"image\""),
            "a file system in a file needs a size",
        ),
        (mount("users = [\"#x\"]"), "is no number of a user"),
        (
            mount("[mount.team]\nsource = \"/y\"\ntarget = \"/mnt/nfs/team\"\nusers = [\"Rook\"]"),
            "which is for other people",
        ),
        (
            mount("[mount.team]\nsource = \"/y\"\ntarget = \"/mnt/nfs/dumps\""),
            "/mnt/nfs/dumps is used twice",
        ),
        (
            mount("[mount.team]\nsource = \"/y\"\ntarget = \"/mnt/nfs/a/team\""),
            "lies in /mnt/nfs, which holds mounts and links alone",
        ),
        (
            mount("groups = [\"team\"]"),
            "mount.dumps.groups: there is no group \"team\"",
        ),
        (
            mount("groups = [\"taem\"]\n[group.team]\nusers = [\"Rook\"]"),
            "The groups are team",
        ),
        (
            "[group.team]\nusers = [\"#x\"]".to_owned(),
            "group.team.users: \"#x\" is no number of a user",
        ),
        (
            "[group]\nteam = [\"Rook\"]".to_owned(),
            "group.team: there may be several sections [group], each with a name",
        ),
        (
            mount(
                "groups = [\"team\"]\n[group.team]\n[mount.other]\nsource = \"/y\"\ntarget = \"/mnt/nfs/other\"",
            ),
            "Write the same users and groups",
        ),
        (
            mount("[mount.ftp]\nkind = \"fuse.curlftpfs\"\nsource = \"ftp://me:hush@host/\"\ntarget = \"/mnt/nfs/ftp\""),
            "mount.ftp.source: a password in it would stand",
        ),
        (
            mount("[mount.ftp]\nsource = \"me:hush@host:/x\"\ntarget = \"/mnt/nfs/ftp\""),
            "mount.ftp.source: a password in it would stand",
        ),
        (
            mount("kind = \"cifs\"\noptions = [\"soft,password=hush\"]"),
            "mount.dumps.options: soft,password would stand in the list of processes",
        ),
        (
            "[mount.own]\nsource = \"/srv/x/../holt/data/homes\"\ntarget = \"/mnt/nfs/own\"\n[node]\ndirectory = \"/srv/holt/data\"".to_owned(),
            "where Holt keeps its own files",
        ),
        (
            "[node]\ncheck_every = \"0\"".to_owned(),
            "node.check_every: no mount can be watched with that",
        ),
    ];
    for (text, expected) in cases {
        let problems = load(text, &[]).unwrap_err();
        assert!(
            problems.iter().any(|line| line.contains(expected)),
            "{text}: no {expected:?} in {problems:#?}"
        );
        assert!(
            !problems.iter().any(|line| line.contains("hush")),
            "a secret is told: {problems:#?}"
        );
    }
}

#[test]
fn a_directory_that_holds_holts_own_or_is_in_it_is_shared_with_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let link = directory.path().join("link");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let is_refused = |data_dir: &std::path::Path, source: &std::path::Path| {
        let path = directory.path().join("h.toml");
        let text = format!("[mount.own]\nsource = {source:?}\ntarget = \"/mnt/nfs/own\"");
        std::fs::write(&path, text).unwrap();
        let sources = Sources {
            config: Some(path),
            data_dir: Some(data_dir.to_owned()),
            ..Sources::default()
        };
        match Settings::load(&sources) {
            Ok(_) => false,
            Err(problems) => {
                assert!(
                    problems[0].reason.contains("lie in each other"),
                    "{problems:?}"
                );
                true
            }
        }
    };
    for data_dir in [&data, &link] {
        assert!(is_refused(data_dir, &data));
        assert!(is_refused(data_dir, &data.join("homes")));
        assert!(is_refused(data_dir, directory.path()));
        assert!(!is_refused(data_dir, &directory.path().join("data2")));
        // What `holt dumps fetch` got.
        assert!(!is_refused(data_dir, &data.join("dumps")));
    }
}

#[test]
fn nothing_is_mounted_out_of_what_notebooks_write() {
    let text = |written: &str, source: &str| {
        format!(
            "[mount.team]\nsource = \"/srv/team\"\ntarget = \"/mnt/a/team\"\nread_only = {written}\n\
             [mount.pub]\nsource = \"{source}\"\ntarget = \"/mnt/b/pub\""
        )
    };
    for (written, source, is_well) in [
        ("false", "/srv/team/pub", false),
        ("false", "/srv/x/../team/pub", false),
        ("false", "/srv/team", true),
        ("false", "/srv/teams", true),
        ("true", "/srv/team/pub", true),
    ] {
        let loaded = load(&text(written, source), &[]);
        assert_eq!(loaded.is_ok(), is_well, "{source}: {loaded:?}");
        if let Err(problems) = loaded {
            assert!(problems.join("\n").contains("which notebooks write"));
        }
    }
}

#[test]
fn people_of_a_mount_are_its_users_and_those_of_its_groups() {
    let text = |lines: &str| {
        format!(
            "[group.team]\nusers = [\"Rook\", \"#7\"]\n[group.empty]\n[mount.dumps]\nsource = \"/srv/dumps\"\ntarget = \"/mnt/nfs/dumps\"\n{lines}"
        )
    };
    let people = |lines: &str| {
        let settings = load(&text(lines), &[]).unwrap();
        settings.people_of(&settings.mounts[0].1)
    };
    assert_eq!(people(""), None);
    assert_eq!(people("groups = [\"empty\"]"), Some(vec![]));
    let both = people("users = [\"Heron\"]\ngroups = [\"team\", \"empty\"]");
    assert_eq!(both, Some(vec!["Heron".into(), "Rook".into(), "#7".into()]));
}

#[test]
fn notebooks_write_in_no_directory_of_the_systems_and_two_mounts_have_no_file_together() {
    let mount = |source: &str, read_only: bool| {
        let text = format!(
            "[mount.team]\nsource = \"{source}\"\ntarget = \"/srv/shared/team\"\nread_only = {read_only}"
        );
        load(&text, &[])
            .map(drop)
            .map_err(|problems| problems.join("\n"))
    };
    for source in [
        "/etc",
        "/etc/ssh",
        "/usr",
        "/var",
        "/root",
        "/home",
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/srv/../etc/",
        "/usr/local/bin",
    ] {
        let said = mount(source, false).unwrap_err();
        assert!(
            said.contains("mount.team.source: notebooks would write in")
                && said.contains("or set read_only = true"),
            "{source}: {said}"
        );
    }
    // It also holds Holt's own.
    assert!(mount("/", false).is_err());
    for source in [
        "/srv/team",
        "/home/team/shared",
        "/var/lib/team",
        "/etcetera",
    ] {
        assert_eq!(mount(source, false), Ok(()), "{source}");
    }
    assert_eq!(mount("/etc/ssl/certs", true), Ok(()));

    let image = |name: &str, source: &str| {
        format!(
            "[mount.{name}]\nkind = \"image\"\nsource = \"{source}\"\ntarget = \"/srv/shared/{name}\"\nquota = \"1GiB\"\n"
        )
    };
    let two = |other: &str| {
        load(
            &[image("one", "/srv/a.img"), image("two", other)].concat(),
            &[],
        )
    };
    let said = two("/srv/x/../a.img").unwrap_err().join("\n");
    assert!(
        said.contains("mount.one.source: [mount.two] has the same file"),
        "{said}"
    );
    assert!(two("/srv/b.img").is_ok());
}
