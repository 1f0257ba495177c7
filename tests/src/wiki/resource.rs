//! `rest.php/oauth2/resource/...`: what an access token of OAuth 2.0 opens.
//!
//! None of this is a check of locks: a locked person's profile is answered, as is one for a client that was switched off.

use super::answer::Answer;
use super::oauth2::Failure;
use super::php::Json;
use super::request::Request;
use super::state::{Bearer, State};

pub(super) fn answer(state: &State, request: &Request, what: &str) -> Answer {
    let bearer = match bearer(state, request) {
        Ok(bearer) => bearer,
        Err(failure) => return failure.answer(),
    };
    let Some(client) = state.consumer(&bearer.client) else {
        return Failure::denied(Some("Access token could not be verified")).answer();
    };
    if what == "scopes" {
        return Answer::json(200, &Json::map([("scopes", client.grants_said())]));
    }
    let Some(account) = state.accounts.get(&bearer.sub) else {
        return Failure::denied(Some("Access token could not be verified")).answer();
    };
    let rights = account.rights_with(&bearer.scopes);
    let said = Json::texts(&bearer.scopes);
    let mut members = state.person(account, &rights, &bearer.scopes, said);
    state.spoil(&mut members);
    Answer::json(200, &Json::Map(members))
}

/// Whom the access token of a request stands for.
pub(super) fn bearer<'a>(state: &'a State, request: &Request) -> Result<&'a Bearer, Failure> {
    let denied = |hint| Failure::denied(Some(hint));
    let header = request
        .authorization()
        .ok_or_else(|| denied("Missing \"Authorization\" header"))?;
    // The scheme counts letter by letter.
    let token = header.strip_prefix("Bearer ").unwrap_or(header).trim();
    if token.matches('.').count() != 2 {
        return Err(denied("The JWT string must have two dots"));
    }
    let known = state
        .bearers
        .get(token)
        .filter(|bearer| bearer.until >= state.now())
        .filter(|_| header.starts_with("Bearer "))
        .ok_or_else(|| denied("Access token could not be verified"))?;
    if known.revoked {
        return Err(denied("Access token has been revoked"));
    }
    Ok(known)
}
