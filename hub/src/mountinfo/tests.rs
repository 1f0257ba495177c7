//! The table, in the kernel's words and in any order.

use proptest::prelude::*;

use super::*;

const TEXT: &[u8] = b"\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
60 21 254:0 /t/mounts /t/mounts rw,relatime shared:2 - ext4 /dev/vda rw
61 60 0:40 / /t/mounts/mnt+nfs/dumps ro,nosuid,nodev shared:3 master:1 - nfs4 server:/dumps\\040x rw
62 61 0:41 /sub /t/mounts/mnt+nfs/dumps/a\\040b ro shared:4 - tmpfs none rw
63 61 0:42 / /t/mounts/mnt+nfs/dumps/a\\040b rw - tmpfs none rw
rubbish
";

#[test]
fn a_name_in_letters_of_another_time_hides_no_mount() {
    let table = Table::parse(b"61 60 0:40 / /t/a rw shared:3 - nfs4 d\xe4tei:/x rw\n");
    let seen = table.at(Path::new("/t/a")).unwrap();
    assert!(seen.has("rw") && seen.source.ends_with(":/x"));
}

#[test]
fn what_is_moved_over_a_place_is_seen_wherever_the_list_has_it() {
    // Made first, moved over the place, over its folder, or over all; with what it was before it hides.
    let lines = [
        "1 0 254:0 / / rw - ext4 x rw",
        "60 1 254:0 /d/m /d/m rw shared:2 - ext4 x rw",
        "70 60 0:50 / /d/m/f/dumps ro - nfs4 a:/d rw",
        "80 70 0:50 / /d/m/f/dumps ro - nfs4 a:/d rw",
    ];
    let [place, folder, all] = ["/d/m/f/dumps", "/d/m/f", "/d/m"].map(Path::new);
    let orders = [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 4, 0, 3, 1],
        [0, 4, 1, 3, 2],
    ];
    for (old, point) in [
        ("20 80 0:40 / /d/m/f/dumps rw - fuse o rw", place),
        ("20 60 0:40 / /d/m/f rw - fuse o rw", folder),
        ("20 60 0:40 / /d/m rw - fuse o rw", all),
    ] {
        for order in orders {
            let all_lines: Vec<_> = lines.into_iter().chain([old]).collect();
            let text: Vec<_> = order.iter().map(|at| all_lines[*at]).collect();
            let table = Table::parse(text.join("\n").as_bytes());
            let id = |found: Option<&Mounted>| found.map(|mount| mount.id);
            assert_eq!(id(table.at(point)), Some(20), "{text:?}");
            assert_eq!(id(table.of(&point.join("x"))), Some(20), "{text:?}");
            // Hidden or not, the topmost of the place is known.
            let expected = if point == place { 20 } else { 80 };
            assert_eq!(id(table.at(place)), Some(expected), "{text:?}");
            let below = table.below(all);
            assert!(below.iter().any(|mount| mount.id == expected), "{text:?}");
            assert!(!below.iter().any(|mount| mount.id == 70), "{text:?}");
            assert_eq!(
                id(table.cover(place, Path::new("/d"))),
                Some(20),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_dead_one_that_is_mounted_on_itself_covers_all_the_same() {
    let table = Table::parse(
        b"1 0 254:0 / / rw - ext4 x rw\n\
              62 61 0:40 / /d/m rw - fuse o rw\n\
              60 1 254:0 /d/m /d/m rw - ext4 x rw\n\
              61 60 0:40 / /d/m rw - fuse o rw\n",
    );
    let cover = table.cover(Path::new("/d/m/x"), Path::new("/d"));
    assert_eq!(cover.map(|mount| mount.id), Some(62));
}

#[test]
fn the_last_mount_of_a_place_is_the_one_seen() {
    let table = Table::parse(TEXT);
    let seen = table.at(Path::new("/t/mounts/mnt+nfs/dumps/a b")).unwrap();
    assert_eq!((seen.id, seen.device.as_str()), (63, "0:42"));
    let dumps = table.at(Path::new("/t/mounts/mnt+nfs/dumps")).unwrap();
    assert!(dumps.is_shared && dumps.is_slave && dumps.has("nosuid"));
    assert_eq!(
        (&*dumps.kind, &*dumps.source),
        ("nfs4", "server:/dumps\\040x")
    );
    assert!(table.at(Path::new("/t")).is_none());
    assert_eq!(table.of(Path::new("/t/mounts/x")).unwrap().id, 60);
    assert_eq!(table.of(Path::new("/elsewhere")).unwrap().id, 21);
    let below = table.below(Path::new("/t/mounts/mnt+nfs/dumps"));
    assert_eq!(below.iter().map(|mount| mount.id).collect::<Vec<_>>(), [63]);
}

/// A node's directory with a staging directory, both on themselves; a dead one over a folder, one over all, one beside.
#[test]
fn what_covers_a_way_is_found_and_a_directory_on_itself_does_not() {
    let own = "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
                   60 21 254:0 /d/mounts /d/mounts rw shared:2 - ext4 /dev/vda rw\n\
                   61 60 254:0 /d/mounts/.staging /d/mounts/.staging rw - ext4 /dev/vda rw\n";
    let home = Path::new("/d");
    let found = |more: &str, path: &str| {
        let table = Table::parse(format!("{own}{more}").as_bytes());
        table.cover(Path::new(path), home).map(|mount| mount.id)
    };
    for path in ["/d/mounts", "/d/mounts/.staging/x", "/d/mounts/mnt+nfs"] {
        assert_eq!(found("", path), None, "{path}");
    }
    let folder = "70 60 0:50 / /d/mounts/mnt+nfs rw - fuse.x x rw\n";
    assert_eq!(found(folder, "/d/mounts"), None);
    assert_eq!(found(folder, "/d/mounts/mnt+nfs/dumps"), Some(70));
    let all = format!("{folder}71 60 0:51 / /d/mounts rw - tmpfs x rw\n");
    assert_eq!(found(&all, "/d/mounts/mnt+nfs"), Some(71));
    // Without a node: only what may hang is in the way.
    let mounts = "80 21 0:52 / /e/mounts rw - nfs4 x rw\n81 21 0:53 / /e rw - tmpfs x rw\n";
    assert_eq!(found(mounts, "/e/mounts/f"), Some(80));
    assert_eq!(found(mounts, "/e/f"), None);
    // What the home is in is as good as the home.
    let around = "90 21 0:54 / /d rw - nfs4 x rw\n";
    assert_eq!(found(around, "/d/mounts"), None);
}

#[test]
fn links_are_followed_as_far_as_nothing_is_in_the_way() -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    let top = directory.path().canonicalize()?;
    std::fs::create_dir_all(top.join("a/b"))?;
    std::os::unix::fs::symlink("a/b/..", top.join("to"))?;
    std::os::unix::fs::symlink("round", top.join("round"))?;
    let home = Path::new("/");
    let line = |point: &str| {
        let text = format!("7 1 0:50 / {}/{point} rw - fuse x rw\n", top.display());
        Table::parse(text.as_bytes())
    };
    let free = line("elsewhere");
    assert_eq!(
        free.without_links(&top.join("to/b/new"), home).ok(),
        Some(top.join("a/b/new"))
    );
    assert!(free.without_links(&top.join("round/x"), home).is_ok());
    let covered = line("a");
    let found = covered.without_links(&top.join("to/b"), home);
    assert_eq!(found.map_err(|mount| mount.id), Err(7));
    Ok(())
}

#[test]
fn what_is_hidden_below_a_later_mount_is_met_by_nobody() {
    let table = Table::parse(
        b"1 0 254:0 / / rw - ext4 x rw\n\
              2 1 0:50 / /srv/dumps rw - nfs4 a:/d rw\n\
              3 1 0:51 / /srv rw - tmpfs x rw\n\
              4 2 0:52 / /srv/dumps/in rw - tmpfs x rw\n\
              5 3 0:53 / /srv rw - tmpfs y rw\n",
    );
    let met = |path: &str| table.met(Path::new(path)).unwrap().id;
    assert_eq!(met("/srv/dumps/in/x"), 5);
    assert_eq!(met("/srvx"), 1);
    let table = Table::parse(
        b"1 0 254:0 / / rw - ext4 x rw\n\
              3 1 0:51 / /srv rw - tmpfs x rw\n\
              4 3 0:52 / /srv/dumps rw - tmpfs x rw\n",
    );
    let met = |path: &str| table.met(Path::new(path)).unwrap().id;
    assert_eq!((met("/srv/dumps/x"), met("/srv/x")), (4, 3));
    assert!(Table::default().met(Path::new("/")).is_none());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        Table::parse(&bytes).met(Path::new("/srv"));
    }
}
