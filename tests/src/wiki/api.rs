//! `api.php`: `globaluserinfo` of CentralAuth, and `userinfo` with either kind of credential.

use super::accounts::{Account, Hidden, is_valid_name};
use super::answer::Answer;
use super::consumers::Consumer;
use super::oauth1::{api_code, check_standing, verify};
use super::pages;
use super::php::{Json, Letters, Members};
use super::refusal::Refusal;
use super::request::Request;
use super::resource::bearer;
use super::signature::Signed;
use super::state::{Acceptance, State};

/// The two ways of writing that the API has.
#[derive(Clone, Copy)]
struct Writing {
    second: bool,
}

impl Writing {
    /// True, where false is said by leaving it out.
    fn flag(self) -> Json {
        if self.second { true.into() } else { "".into() }
    }

    fn answer(self, members: Members) -> Answer {
        let letters = if self.second {
            Letters::Plain
        } else {
            Letters::Escaped
        };
        let body = Json::Map(members).write(letters);
        Answer::new(200, "application/json; charset=utf-8", body)
    }

    fn found(self, name: &str, value: Members) -> Answer {
        self.answer(vec![
            ("batchcomplete".to_owned(), self.flag()),
            ("query".to_owned(), Json::map([(name, Json::Map(value))])),
        ])
    }

    fn error(self, state: &State, code: &str, words: &str) -> Answer {
        let docref = format!(
            "See {}/w/api.php for API usage. Subscribe to the mediawiki-api-announce mailing list at &lt;https://lists.wikimedia.org/postorius/lists/mediawiki-api-announce.lists.wikimedia.org/&gt; for notice of API deprecations and breaking changes.",
            state.server
        );
        let error = Json::map([
            ("code", code.into()),
            ("info", words.into()),
            ("docref", docref.as_str().into()),
        ]);
        self.answer(vec![("error".to_owned(), error)])
            .with("mediawiki-api-error", code)
    }
}

pub(super) fn answer(state: &mut State, request: &Request) -> Answer {
    let writing = Writing {
        second: request.field("formatversion") == Some("2"),
    };
    let meta = request.field("meta");
    if meta == Some("globaluserinfo") && request.authorization().is_none() {
        return global(state, request, writing);
    }
    let sub = match asker(state, request) {
        Ok(sub) => sub,
        Err((code, words)) => return writing.error(state, code, &words),
    };
    match meta {
        Some("globaluserinfo") => global(state, request, writing),
        Some("userinfo")
            if ["titles", "list", "generator"]
                .iter()
                .all(|name| request.field(name).is_none())
                && !request
                    .field("uiprop")
                    .is_some_and(|wanted| wanted.contains("rights")) =>
        {
            own(state, request, writing, sub)
        }
        _ => pages::answer(state, request, sub),
    }
}

fn global(state: &State, request: &Request, writing: Writing) -> Answer {
    if !state.central_auth {
        let words = "Unrecognized value for parameter \"meta\": globaluserinfo";
        let warning = if writing.second { "warnings" } else { "*" };
        let warnings = Json::map([("query", Json::map([(warning, words.into())]))]);
        return writing.answer(vec![
            ("batchcomplete".to_owned(), writing.flag()),
            ("warnings".to_owned(), warnings),
        ]);
    }
    // By name wins.
    let account = if let Some(name) = request.field("guiuser") {
        if !is_valid_name(name) {
            let words = format!("Invalid value \"{name}\" for user parameter \"guiuser\".");
            return writing.error(state, "baduser", &words);
        }
        state.account_typed(name)
    } else {
        let id = request.field("guiid").unwrap_or_default();
        let known = id
            .parse::<u64>()
            .ok()
            .and_then(|id| state.accounts.get(&id));
        if known.is_none() {
            let words = format!("Invalid user ID {id}.");
            return writing.error(state, "invaliduserid", &words);
        }
        known
    };
    let members = match account {
        Some(account) if account.hidden == Hidden::No => told(account, writing),
        _ => vec![("missing".to_owned(), writing.flag())],
    };
    writing.found("globaluserinfo", members)
}

fn told(account: &Account, writing: Writing) -> Members {
    let home = account.home.as_deref().map_or(Json::Null, Json::from);
    let registration = account.registration();
    let mut members = vec![
        ("home", home),
        ("id", i64::try_from(account.sub).unwrap_or_default().into()),
        (
            "registration",
            registration.as_deref().map_or(Json::Null, Json::from),
        ),
        ("name", account.name.as_str().into()),
    ];
    if account.locked {
        members.push(("locked", writing.flag()));
    }
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Who asks, with either kind of credential; nobody, without.
pub(super) fn asker(
    state: &mut State,
    request: &Request,
) -> Result<Option<u64>, (&'static str, String)> {
    let header = request.authorization().unwrap_or_default();
    if header.starts_with("OAuth ") {
        signed_user(state, request)
            .map(Some)
            .map_err(|refusal| api_code(&refusal))
    } else if header.starts_with("Bearer ") {
        bearer_user(state, request).map(Some)
    } else {
        Ok(None)
    }
}

/// The key of the application that sends a request; empty without a good credential.
pub(super) fn application(state: &State, request: &Request) -> String {
    match request.authorization() {
        Some(header) if header.starts_with("OAuth ") => Signed::of(request)
            .get("oauth_consumer_key")
            .unwrap_or_default()
            .to_owned(),
        _ => bearer(state, request).map_or_else(|_| String::new(), |known| known.client.clone()),
    }
}

fn own(state: &State, request: &Request, writing: Writing, sub: Option<u64>) -> Answer {
    let Some(account) = sub.and_then(|sub| state.accounts.get(&sub)) else {
        let anonymous = vec![
            ("id".to_owned(), 0.into()),
            ("name".to_owned(), request.from.to_string().as_str().into()),
            ("anon".to_owned(), writing.flag()),
        ];
        return writing.found("userinfo", anonymous);
    };
    let local = i64::try_from(account.local_id).unwrap_or_default();
    let mut members = vec![
        ("id".to_owned(), local.into()),
        ("name".to_owned(), account.name.as_str().into()),
    ];
    if request
        .field("uiprop")
        .is_some_and(|wanted| wanted.contains("centralids"))
    {
        let central = i64::try_from(account.sub).unwrap_or_default();
        let ids = Json::map([("CentralAuth", central.into()), ("local", local.into())]);
        members.push(("centralids".to_owned(), ids));
    }
    writing.found("userinfo", members)
}

fn signed_user(state: &mut State, request: &Request) -> Result<u64, Refusal> {
    let (consumer, acceptance) = verify(state, request, &Signed::of(request))?;
    check_standing(state, &consumer, &acceptance)?;
    Ok(acceptance.sub)
}

fn bearer_user(state: &State, request: &Request) -> Result<u64, (&'static str, String)> {
    let Ok(known) = bearer(state, request) else {
        let words = "The authorization headers in your request are not valid: Invalid access token";
        return Err(("mwoauth-invalid-authorization", words.to_owned()));
    };
    let acceptance: Option<(&Consumer, &Acceptance)> = state
        .consumer(&known.client)
        .zip(state.acceptance(&known.client, known.sub));
    let Some((consumer, acceptance)) = acceptance else {
        return Err(api_code(&Refusal::no_grant()));
    };
    check_standing(state, consumer, acceptance).map_err(|refusal| api_code(&refusal))?;
    Ok(known.sub)
}
