//! Scopes: what a credential may do, and to whom. Pure.
//!
//! The names, what each includes, and the filters are JupyterHub's; the built-in roles are `user` (own things) and `admin`.
//! A right is a scope with a reach; what is asked for must be held with a reach that covers it.

use std::collections::BTreeSet;

/// Whom a right reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Everybody and everything.
    All,
    /// One user and their servers.
    User(String),
    /// One server: owner and name.
    Server(String, String),
}

/// What an action is done to.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The hub itself.
    Hub,
    /// A user.
    User(&'a str),
    /// A server: owner and name.
    Server(&'a str, &'a str),
}

/// The answer to a question of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Allowed,
    /// They do not hold the scope at all.
    NotHeld,
    /// They hold it, but not for this object, whose existence is not their business.
    OutOfReach,
}

/// What a credential may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    held: BTreeSet<(String, Reach)>,
}

/// What `self` stands for, each for the owner alone.
const OWN: [&str; 7] = [
    "read:users",
    "users:shares",
    "read:shares",
    "users:activity",
    "servers",
    "tokens",
    "access:servers",
];

/// What administrators have.
const ADMIN: [&str; 16] = [
    "admin-ui",
    "admin:users",
    "admin:servers",
    "admin:services",
    "tokens",
    "admin:groups",
    "list:services",
    "read:services",
    "read:hub",
    "proxy",
    "shutdown",
    "access:services",
    "access:servers",
    "read:roles",
    "read:metrics",
    "shares",
];

/// What a scope includes, one level down.
fn included(scope: &str) -> &'static [&'static str] {
    match scope {
        "admin:users" => &[
            "admin:auth_state",
            "users",
            "read:roles:users",
            "delete:users",
        ],
        "users" => &["read:users", "list:users", "users:activity"],
        "list:users" | "read:servers" => &["read:users:name"],
        "read:users" => &[
            "read:users:name",
            "read:users:groups",
            "read:users:activity",
        ],
        "users:activity" => &["read:users:activity"],
        "read:roles" => &[
            "read:roles:users",
            "read:roles:services",
            "read:roles:groups",
        ],
        "admin:servers" => &["admin:server_state", "servers"],
        "servers" => &["read:servers", "delete:servers", "start:servers"],
        "tokens" => &["read:tokens"],
        "admin:groups" => &["groups", "read:roles:groups", "delete:groups"],
        "groups" => &["read:groups", "list:groups"],
        "list:groups" | "read:groups" => &["read:groups:name"],
        "admin:services" => &["list:services", "read:services", "read:roles:services"],
        "list:services" | "read:services" => &["read:services:name"],
        "users:shares" => &["read:users:shares"],
        "groups:shares" => &["read:groups:shares"],
        "shares" => &[
            "access:servers",
            "read:shares",
            "users:shares",
            "groups:shares",
        ],
        _ => &[],
    }
}

/// Whether a scope with this name exists (without filter).
#[must_use]
pub fn exists(scope: &str) -> bool {
    matches!(
        scope,
        "self" | "inherit" | "admin:auth_state" | "users:activity" | "(no_scope)"
    ) || OWN.contains(&scope)
        || ADMIN
            .iter()
            .any(|known| *known == scope || Rights::closure(known).contains(scope))
}

impl Rights {
    /// All that a user may do.
    #[must_use]
    pub fn of_user(name: &str, admin: bool) -> Self {
        let mut rights = Self::default();
        for scope in OWN {
            rights.add(scope, &Reach::User(name.to_owned()));
        }
        if admin {
            for scope in ADMIN {
                rights.add(scope, &Reach::All);
            }
        }
        rights
    }

    /// Turns kept scopes into rights. Bare filters mean the owner and the server given here; a filter that applies to nothing, and a
    /// scope that does not exist, give nothing.
    #[must_use]
    pub fn resolve(
        scopes: &[String],
        owner: &str,
        owner_is_admin: bool,
        server: Option<(&str, &str)>,
    ) -> Self {
        let mut rights = Self::default();
        for text in scopes {
            let (scope, filter) = text
                .split_once('!')
                .map_or((text.as_str(), None), |(s, f)| (s, Some(f)));
            match scope {
                "inherit" => {
                    rights
                        .held
                        .extend(Self::of_user(owner, owner_is_admin).held);
                    continue;
                }
                "self" => {
                    rights.held.extend(Self::of_user(owner, false).held);
                    continue;
                }
                _ => {}
            }
            let reach = match filter {
                None => Reach::All,
                Some("user") => Reach::User(owner.to_owned()),
                Some("server") => match server {
                    Some((owner, name)) => Reach::Server(owner.to_owned(), name.to_owned()),
                    None => continue,
                },
                Some(filter) => {
                    match (filter.strip_prefix("user="), filter.strip_prefix("server=")) {
                        (Some(user), _) => Reach::User(user.to_owned()),
                        // A server's name has no slash, so the last one parts owner and server.
                        (_, Some(server)) => match server.rsplit_once('/') {
                            Some((owner, name)) => Reach::Server(owner.to_owned(), name.to_owned()),
                            None => continue,
                        },
                        _ => continue,
                    }
                }
            };
            rights.add(scope, &reach);
        }
        rights
    }

    /// What both have: rights of a token, cut to what its owner has now.
    #[must_use]
    pub fn within(&self, owner: &Self) -> Self {
        let mut held = BTreeSet::new();
        for (scope, reach) in &self.held {
            for (other, limit) in &owner.held {
                if scope == other {
                    held.extend(narrower(reach, limit).map(|reach| (scope.clone(), reach)));
                }
            }
        }
        Self { held }
    }

    /// Whether this may be done to that.
    #[must_use]
    pub fn may(&self, scope: &str, target: Target<'_>) -> Verdict {
        let mut verdict = Verdict::NotHeld;
        for (held, reach) in &self.held {
            if held == scope {
                if covers(reach, target) {
                    return Verdict::Allowed;
                }
                verdict = Verdict::OutOfReach;
            }
        }
        verdict
    }

    /// Whether this may be done to that, with two answers only.
    #[must_use]
    pub fn allows(&self, scope: &str, target: Target<'_>) -> bool {
        self.may(scope, target) == Verdict::Allowed
    }

    /// As the API writes them, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.held
            .iter()
            .map(|(scope, reach)| match reach {
                Reach::All => scope.clone(),
                Reach::User(user) => format!("{scope}!user={user}"),
                Reach::Server(owner, name) => format!("{scope}!server={owner}/{name}"),
            })
            .collect()
    }

    fn add(&mut self, scope: &str, reach: &Reach) {
        for scope in Self::closure(scope) {
            // A server is not a user: what tells of its owner is not given with it.
            if !matches!(reach, Reach::Server(..)) || !scope.starts_with("read:users") {
                self.held.insert((scope, reach.clone()));
            }
        }
    }

    fn closure(scope: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut todo = vec![scope];
        while let Some(scope) = todo.pop() {
            if all.insert(scope.to_owned()) {
                todo.extend(included(scope));
            }
        }
        all
    }
}

fn covers(reach: &Reach, target: Target<'_>) -> bool {
    match (reach, target) {
        (Reach::All, _) => true,
        (Reach::User(user), Target::User(name) | Target::Server(name, _)) => user == name,
        (Reach::Server(owner, name), Target::Server(o, n)) => owner == o && name == n,
        (Reach::User(_) | Reach::Server(..), _) => false,
    }
}

fn narrower(one: &Reach, other: &Reach) -> Option<Reach> {
    match (one, other) {
        (Reach::All, reach) | (reach, Reach::All) => Some(reach.clone()),
        (Reach::User(a), Reach::User(b)) => (a == b).then(|| one.clone()),
        (Reach::Server(..), Reach::Server(..)) => (one == other).then(|| one.clone()),
        (Reach::User(user), server @ Reach::Server(owner, _))
        | (server @ Reach::Server(owner, _), Reach::User(user)) => {
            (user == owner).then(|| server.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_user_may_do_everything_of_their_own_and_nothing_of_others() {
        let rights = Rights::of_user("rook", false);
        assert_eq!(
            rights.may("start:servers", Target::Server("rook", "lab")),
            Verdict::Allowed
        );
        assert_eq!(
            rights.may("start:servers", Target::Server("pawn", "")),
            Verdict::OutOfReach
        );
        assert_eq!(rights.may("admin:users", Target::Hub), Verdict::NotHeld);
        let admin = Rights::of_user("king", true);
        assert_eq!(
            admin.may("access:servers", Target::Server("pawn", "")),
            Verdict::Allowed
        );
    }

    #[test]
    fn a_visitors_token_names_the_server_it_is_for() {
        let asked = scopes(&[
            "access:servers!server",
            "read:users:name!user",
            "read:users:groups!user",
        ]);
        let own = Rights::resolve(&asked, "rook", false, Some(("rook", "")))
            .within(&Rights::of_user("rook", false));
        assert_eq!(
            own.texts(),
            [
                "access:servers!server=rook/",
                "read:users:groups!user=rook",
                "read:users:name!user=rook"
            ]
        );
        let foreign = Rights::resolve(&asked, "rook", false, Some(("pawn", "")));
        assert!(
            !foreign
                .within(&Rights::of_user("rook", false))
                .texts()
                .iter()
                .any(|s| s.starts_with("access"))
        );
        let admin = foreign.within(&Rights::of_user("rook", true));
        assert!(
            admin
                .texts()
                .contains(&"access:servers!server=pawn/".to_owned())
        );
    }

    #[test]
    fn a_server_filter_gives_nothing_about_the_owner() {
        let rights = Rights::resolve(&scopes(&["servers!server=a/b"]), "x", false, None);
        assert_eq!(
            rights.texts(),
            [
                "delete:servers!server=a/b",
                "read:servers!server=a/b",
                "servers!server=a/b",
                "start:servers!server=a/b"
            ]
        );
    }

    #[test]
    fn nonsense_gives_nothing() {
        let rights = Rights::resolve(
            &scopes(&["servers!group=x", "servers!server", "servers!server=a"]),
            "x",
            true,
            None,
        );
        assert!(rights.texts().is_empty());
        assert!(!exists("everything"));
        assert!(exists("read:users:name") && exists("admin:auth_state") && exists("inherit"));
    }
}
