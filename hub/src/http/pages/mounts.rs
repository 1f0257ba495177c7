//! How the mounts that servers share are: lines for the home page, and numbers for whoever watches the hub.
//!
//! `holt node` writes it down; here it is read, and never is a mount itself touched.

use metrics::{counter, gauge};
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::HubState;
use crate::metrics::{
    MOUNT_ANSWER_SECONDS, MOUNT_FAILURES, MOUNT_HEALS, MOUNT_MISSING, MOUNT_STUCK, MOUNT_UP,
    NODE_UP,
};
use crate::node::{Condition, MountStatus, Status, now};
use crate::store::users::User;

/// One mount on the home page.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct MountLine {
    pub(in crate::http) name: String,
    pub(in crate::http) target: String,
    pub(in crate::http) dot: &'static str,
    /// How it is, and since when.
    pub(in crate::http) words: String,
    /// What is being done.
    pub(in crate::http) doing: Option<String>,
}

/// The lines of the mounts that a user gets.
pub(in crate::http) async fn lines(state: &HubState, user: &User) -> Vec<MountLine> {
    let names = state.settings.mount_users.of_user(user.id, &user.name);
    if names.is_empty() {
        return Vec::new();
    }
    let status = read(state).await;
    let now = now();
    let mut lines: Vec<_> = names
        .iter()
        .map(|name| line(name, status.as_ref(), now))
        .collect();
    if user.admin {
        for line in &mut lines {
            line.add_problem(status.as_ref());
        }
    }
    lines
}

impl MountLine {
    /// What is wrong in the node's words, which name servers and paths: for those who administer.
    fn add_problem(&mut self, status: Option<&Status>) {
        let mounts = status.map(|status| &status.mounts[..]).unwrap_or_default();
        let mount = mounts.iter().find(|mount| mount.name == self.name);
        let Some(mount) = mount else { return };
        let problem = match mount.condition {
            Condition::Up => {
                let missing = mount.missing.first().map(|missing| &missing.problem);
                missing.or(mount.notes.first())
            }
            _ => mount.problem.as_ref(),
        };
        if let Some(problem) = problem {
            let doing = self.doing.get_or_insert_default();
            let space = if doing.is_empty() { "" } else { " " };
            doing.push_str(&format!("{space}What is wrong: {problem}."));
        }
    }
}

/// Brings the numbers up to date.
pub(in crate::http) async fn count(state: &HubState) {
    if state.settings.mount_users.0.is_empty() {
        return;
    }
    // One that cannot be read says nothing of any mount: none counts as there.
    let status = read(state).await.unwrap_or_default();
    let is_fresh = status.is_fresh(now());
    gauge!(NODE_UP).set(f64::from(u8::from(is_fresh)));
    for (name, _) in &state.settings.mount_users.0 {
        if !status.mounts.iter().any(|mount| mount.name == *name) {
            gauge!(MOUNT_UP, "mount" => name.clone()).set(0.0);
        }
    }
    for mount in &status.mounts {
        let name = mount.name.clone();
        let is_up = is_fresh && mount.condition == Condition::Up;
        gauge!(MOUNT_UP, "mount" => name.clone()).set(f64::from(u8::from(is_up)));
        if let Some(micros) = mount.answer_micros {
            let seconds = std::time::Duration::from_micros(micros).as_secs_f64();
            gauge!(MOUNT_ANSWER_SECONDS, "mount" => name.clone()).set(seconds);
        }
        counter!(MOUNT_HEALS, "mount" => name.clone()).absolute(mount.heals);
        counter!(MOUNT_FAILURES, "mount" => name.clone()).absolute(mount.failures);
        let missing = u32::try_from(mount.missing.len()).unwrap_or(u32::MAX);
        gauge!(MOUNT_MISSING, "mount" => name.clone()).set(f64::from(missing));
        let stuck = u32::try_from(mount.stuck).unwrap_or(u32::MAX);
        gauge!(MOUNT_STUCK, "mount" => name).set(f64::from(stuck));
    }
}

async fn read(state: &HubState) -> Option<Status> {
    let place = state.settings.mounts.clone();
    // A small file on a local disk, but a disk all the same.
    tokio::task::spawn_blocking(move || Status::read(&place))
        .await
        .ok()
        .flatten()
}

fn line(name: &str, status: Option<&Status>, now: u64) -> MountLine {
    let mount = status.and_then(|status| status.mounts.iter().find(|mount| mount.name == name));
    let Some((status, mount)) = status.zip(mount) else {
        return MountLine {
            name: name.to_owned(),
            target: name.to_owned(),
            dot: "failed",
            words: "Not there".to_owned(),
            doing: Some("Nobody has mounted it yet: the operator starts `holt node`.".to_owned()),
        };
    };
    let line = MountLine {
        name: name.to_owned(),
        target: mount.target.clone(),
        dot: "ready",
        words: format!("There since {}", moment(mount.since, now)),
        doing: None,
    };
    if !status.is_fresh(now) {
        return MountLine {
            dot: "stopped",
            words: format!("Not looked after since {}", moment(status.written, now)),
            doing: Some("What is there stays, but if it fails nobody mounts it again: the operator starts `holt node`.".to_owned()),
            ..line
        };
    }
    match mount.condition {
        Condition::Up => MountLine {
            doing: without(mount),
            ..line
        },
        Condition::Mounting => MountLine {
            dot: "starting",
            words: "Being mounted".to_owned(),
            ..line
        },
        Condition::Down => MountLine {
            dot: "failed",
            words: format!("Not there since {}", moment(mount.since, now)),
            doing: Some(doing(mount, now)),
            ..line
        },
        Condition::Refused => MountLine {
            dot: "failed",
            words: format!("Not there since {}", moment(mount.since, now)),
            doing: Some("Something is in its place; the operator has to move it away.".to_owned()),
            ..line
        },
    }
}

/// What is left out of a mount that is there.
fn without(mount: &MountStatus) -> Option<String> {
    let first = mount.missing.first()?;
    let more = match mount.missing.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(format!(
        "Without {}{more}, which does not answer; it is tried again, and running servers will see it.",
        first.path
    ))
}

/// The problem in the node's words is the operator's; people read what is done about it.
fn doing(mount: &MountStatus, now: u64) -> String {
    match mount
        .next_try
        .map(|at| at.saturating_sub(now).div_ceil(1000))
    {
        None | Some(0) => "It is being mounted again.".to_owned(),
        Some(seconds) => {
            format!("It is mounted again in {seconds} s; running servers will see it.")
        }
    }
}

/// `12:03 UTC` today, else with the date.
fn moment(at: u64, now: u64) -> String {
    let format = |at: u64| {
        let seconds = i64::try_from(at / 1000).unwrap_or_default();
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    let (at, now) = (format(at), format(now));
    let text = if at.date() == now.date() {
        at.format(format_description!("[hour]:[minute] UTC"))
    } else {
        at.format(format_description!(
            "[year]-[month]-[day] [hour]:[minute] UTC"
        ))
    };
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Missing;

    fn boot_of_now() -> String {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        text.trim().to_owned()
    }

    fn status(condition: Condition) -> Status {
        let mount = MountStatus {
            name: "dumps".into(),
            target: "/mnt/nfs/dumps".into(),
            condition,
            since: 1_800_000_000_000,
            problem: Some("it did not answer within 5 s".into()),
            next_try: Some(1_800_000_070_000),
            answer_micros: None,
            heals: 1,
            failures: 3,
            stuck: 1,
            made_from: String::new(),
            mark: None,
            image: None,
            missing: Vec::new(),
            notes: Vec::new(),
        };
        Status {
            mounts: vec![mount],
            ..Status::default()
        }
    }

    #[test]
    fn a_line_says_since_when_and_what_is_done() {
        let now = 1_800_000_060_000;
        let nobody = line("dumps", None, now);
        assert!(nobody.doing.unwrap().contains("holt node"));
        let stale = line("dumps", Some(&status(Condition::Up)), now);
        assert!(stale.words.starts_with("Not looked after"), "{stale:?}");
        let mut partial = status(Condition::Up);
        partial.written = now;
        partial.boot = boot_of_now();
        partial.holds = 60_000;
        assert_eq!(line("dumps", Some(&partial), now).doing, None);
        for path in ["far", "near"] {
            partial.mounts[0].missing.push(Missing {
                path: path.into(),
                problem: "it is stale".into(),
                since: now,
            });
        }
        let mut without = line("dumps", Some(&partial), now);
        assert_eq!(without.dot, "ready");
        without.add_problem(Some(&partial));
        let doing = without.doing.unwrap();
        assert!(
            doing.starts_with("Without far and 1 more") && doing.ends_with("it is stale."),
            "{doing}"
        );
        let down = status(Condition::Down);
        assert_eq!(
            super::doing(&down.mounts[0], now),
            "It is mounted again in 10 s; running servers will see it."
        );
        assert_eq!(
            super::doing(&down.mounts[0], now + 20_000),
            "It is being mounted again."
        );
        assert_eq!(moment(1_800_000_000_000, now), "08:00 UTC");
        assert_eq!(moment(1_790_000_000_000, now), "2026-09-21 14:13 UTC");
    }
}
