//! Accounts, and what CentralAuth tells everybody of them.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Shared, field, pairs};

/// An account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Locked everywhere.
    pub locked: bool,
    /// Hidden from lists: it identifies by name, and is missing for the public.
    pub hidden: bool,
    /// Suppressed: it identifies without a name.
    pub suppressed: bool,
    /// Blocked on this wiki.
    pub blocked: bool,
    /// Its edits.
    pub edits: u64,
    /// `YYYYMMDDHHMMSS`.
    pub registered: Option<String>,
    /// Its groups, as an object, as PHP writes lists with holes, or as a list.
    pub groups: Value,
    /// Its address of e-mail is confirmed.
    pub confirmed_email: bool,
    /// Its `sub`, when it is not its number.
    pub sub: Option<String>,
    /// It took back what it had allowed.
    pub revoked: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            name: String::new(),
            locked: false,
            hidden: false,
            suppressed: false,
            blocked: false,
            edits: 0,
            registered: Some("20261121073101".to_owned()),
            groups: json!(["*", "user", "autoconfirmed"]),
            confirmed_email: true,
            sub: None,
            revoked: false,
        }
    }
}

impl Account {
    /// What an identity or a profile says of it.
    pub(super) fn claims(&self, sub: u64) -> Value {
        let sub = self.sub.clone().unwrap_or_else(|| sub.to_string());
        if self.suppressed {
            return json!({"sub": sub, "blocked": true});
        }
        json!({
            "sub": sub,
            "username": self.name,
            "editcount": self.edits,
            "email_verified": self.confirmed_email,
            "confirmed_email": self.confirmed_email,
            "blocked": self.blocked,
            "registered": self.registered,
            "groups": self.groups,
            "rights": ["read"],
            "grants": {"0": "basic", "2": "highvolume"},
        })
    }
}

/// `api.php?action=query&meta=globaluserinfo`.
pub(super) async fn globaluserinfo(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = pairs(&query.unwrap_or_default());
    let mut world = shared.world();
    world.asked.push("globaluserinfo".to_owned());
    let account = field(&query, "guiid")
        .and_then(|id| id.parse::<u64>().ok())
        .and_then(|id| world.accounts.get_key_value(&id));
    let Some((id, account)) = account else {
        return Json(json!({"error": {
            "code": "invaliduserid",
            "info": "Invalid user ID.",
        }}))
        .into_response();
    };
    let info = if account.hidden || account.suppressed {
        json!({"missing": true})
    } else {
        let mut info = json!({
            "home": null,
            "id": id,
            "registration": "2026-11-21T07:31:01Z",
            "name": account.name,
        });
        if account.locked {
            info["locked"] = json!(true);
        }
        info
    };
    Json(json!({"batchcomplete": true, "query": {"globaluserinfo": info}})).into_response()
}
