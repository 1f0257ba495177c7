//! People with an account on the wiki, and how each of them stands.

use super::state::State;

/// Rights of an ordinary account, as recorded.
const RIGHTS: &str = "createaccount read edit createpage createtalk viewmyprivateinfo editmyprivateinfo editmyoptions \
    centralauth-merge move move-subpages move-rootuserpages move-categorypages movefile upload reupload reupload-shared minoredit \
    editmyusercss editmyuserjson editmyuserjs editmyuserjsredirect applychangetags changetags editcontentmodel viewmywatchlist \
    editmywatchlist mwoauthproposeconsumer mwoauthupdateownconsumer mwoauthmanagemygrants autoconfirmed editsemiprotected";

/// What a session of OAuth 2.0 with grants to edit keeps of them, as recorded.
const GRANTED: &str = "read edit createpage createtalk move move-subpages move-rootuserpages move-categorypages upload minoredit \
    applychangetags changetags editcontentmodel autoconfirmed editsemiprotected";

/// An account. Everything may be changed at any time; tokens stay what they are.
#[derive(Debug, Clone)]
pub struct Account {
    /// The number that never changes and is the same on all wikis.
    pub sub: u64,
    /// The number on this wiki alone, which means nothing elsewhere.
    pub local_id: u64,
    /// The present name, byte for byte.
    pub name: String,
    /// Edits on this wiki.
    pub edit_count: i64,
    /// `YYYYMMDDHHMMSS`; old accounts have none.
    pub registered: Option<String>,
    /// The wiki it began on; `None` is said as `null`.
    pub home: Option<String>,
    /// Groups on this wiki, implicit ones included.
    pub groups: Vec<String>,
    /// Rights on this wiki.
    pub rights: Vec<String>,
    /// Blocked on this wiki.
    pub blocked: bool,
    /// Whether the address of e-mail was confirmed.
    pub confirmed_email: bool,
    /// The address; shown only with the grant for it.
    pub email: String,
    /// The real name; shown only with the grant for it.
    pub real_name: String,
    /// Locked on all wikis.
    pub locked: bool,
    /// Whether, and from whom, it is hidden.
    pub hidden: Hidden,
    /// Whether the account here belongs to the central one; else `sub` is said as `""`, or `"0"` by newer releases.
    pub attached: bool,
}

/// How much of an account is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// Nothing.
    No,
    /// Left out of public lists: missing for the public, but it identifies with its name.
    FromLists,
    /// Suppressed: missing for the public, and it identifies without a name.
    Suppressed,
}

impl Account {
    pub(super) fn new(sub: u64, local_id: u64, name: &str) -> Self {
        Self {
            sub,
            local_id,
            name: name.to_owned(),
            edit_count: 0,
            registered: Some("20261121073101".to_owned()),
            home: Some("peerwiki".to_owned()),
            groups: ["*", "user", "autoconfirmed"].map(str::to_owned).to_vec(),
            rights: RIGHTS.split_whitespace().map(str::to_owned).collect(),
            blocked: false,
            confirmed_email: true,
            email: format!("u{sub}@example.org"),
            real_name: String::new(),
            locked: false,
            hidden: Hidden::No,
            attached: true,
        }
    }

    /// `YYYY-MM-DDTHH:MM:SSZ`.
    pub(super) fn registration(&self) -> Option<String> {
        let digits = self.registered.as_deref()?;
        let part = |from: usize, to: usize| digits.get(from..to);
        Some(format!(
            "{}-{}-{}T{}:{}:{}Z",
            part(0, 4)?,
            part(4, 6)?,
            part(6, 8)?,
            part(8, 10)?,
            part(10, 12)?,
            part(12, 14)?
        ))
    }

    /// The rights that are left in a session with such grants.
    pub(super) fn rights_with(&self, grants: &[String]) -> Vec<String> {
        if self.locked || !grants.iter().any(|grant| grant.starts_with("edit")) {
            return Vec::new();
        }
        let granted: Vec<&str> = GRANTED.split_whitespace().collect();
        self.rights
            .iter()
            .filter(|right| granted.contains(&right.as_str()))
            .cloned()
            .collect()
    }
}

impl State {
    /// Creates the account, or changes its name.
    pub(super) fn put_account(&mut self, sub: u64, name: &str) {
        let next = 3 + self.accounts.len() as u64;
        self.accounts
            .entry(sub)
            .and_modify(|account| name.clone_into(&mut account.name))
            .or_insert_with(|| Account::new(sub, next, name));
    }

    pub(super) fn account_named(&self, name: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.name == name)
    }

    /// As somebody types it: blanks for `_`, a large first letter where that is plain.
    pub(super) fn account_typed(&self, typed: &str) -> Option<&Account> {
        let typed = typed.replace('_', " ");
        let typed = typed.trim();
        let mut large = typed.to_owned();
        if let Some(first) = large.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        self.account_named(typed)
            .or_else(|| self.account_named(&large))
    }
}

/// Whether a name can be one at all; only the plain rules.
pub(super) fn is_valid_name(name: &str) -> bool {
    let refused = ['#', '/', '<', '>', '[', ']', '{', '}', '|', '\u{fffd}'];
    !name.is_empty()
        && name.len() <= 255
        && name.parse::<std::net::IpAddr>().is_err()
        && ![".", ".."].contains(&name)
        && !name
            .chars()
            .any(|letter| refused.contains(&letter) || letter.is_control())
}
