//! Whether an account is locked or hidden everywhere, which only CentralAuth knows.
//!
//! Asked by number and never by name: whoever was renamed is missing under the old one. **Invariant:** an answer that cannot be read is
//! no answer, neither good nor bad.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use super::again::{Repeat, ask};
use super::claims::{count, is_sub, truth};
use super::refusal;
use crate::login::provider::{LoginError, Standing};
use crate::login::wire::{Answer, Wire};

const WHAT: &str = "api.php";

/// Asks the wiki.
pub(super) async fn ask_standing(
    wire: &Wire,
    api: &Url,
    sub: &str,
) -> Result<Standing, LoginError> {
    if !is_sub(sub) {
        return Err(LoginError::Unproven("sub"));
    }
    let mut url = api.clone();
    url.query_pairs_mut()
        .append_pair("action", "query")
        .append_pair("meta", "globaluserinfo")
        .append_pair("guiid", sub)
        .append_pair("format", "json")
        .append_pair("formatversion", "2");
    let answer = ask(Repeat::Freely, || {
        wire.send(Method::GET, &url, HeaderMap::new(), Vec::new())
    })
    .await?;
    read(&answer, sub)
}

/// What an answer says of this account.
pub(super) fn read(answer: &Answer, sub: &str) -> Result<Standing, LoginError> {
    if let Some(wrong) = refusal::by_status(WHAT, answer) {
        return Err(wrong);
    }
    let Ok(whole @ Value::Object(_)) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(refusal::away(WHAT, answer));
    };
    if let Some(error) = whole.get("error") {
        let code = error.get("code").and_then(Value::as_str).unwrap_or("?");
        return match code {
            "invaliduserid" => Ok(Standing::Missing),
            _ => Err(LoginError::Away {
                reason: format!("{WHAT} says {}", refusal::quoted(code)),
                retry_after: answer.retry_after,
            }),
        };
    }
    let Some(account) = whole.pointer("/query/globaluserinfo") else {
        return Err(if whole.pointer("/warnings/query").is_some() {
            LoginError::Operator {
                reason: "the wiki has no CentralAuth, which alone knows of locked accounts: set lock_check = false"
                    .to_owned(),
            }
        } else {
            refusal::away(WHAT, answer)
        });
    };
    read_account(account, sub).ok_or_else(|| LoginError::Away {
        reason: format!("{WHAT} tells about another account, or nothing"),
        retry_after: None,
    })
}

fn read_account(account: &Value, sub: &str) -> Option<Standing> {
    if says(account, "missing") || says(account, "hidden") {
        return Some(Standing::Missing);
    }
    let id = account.get("id").and_then(count)?;
    if id.to_string() != sub {
        return None;
    }
    if says(account, "locked") {
        return Some(Standing::Locked);
    }
    let name = account.get("name")?.as_str()?;
    (!name.is_empty()).then(|| Standing::Good {
        name: name.to_owned(),
    })
}

/// The older format says yes with an empty text.
fn says(account: &Value, name: &str) -> bool {
    match account.get(name) {
        Some(Value::String(text)) if text.is_empty() => true,
        Some(value) => truth(value).unwrap_or(false),
        None => false,
    }
}
