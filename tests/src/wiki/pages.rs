//! Pages of the wiki that people see: its sign-in form and the question whether something may be allowed.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::{Shared, field};

/// The sign-in form, and what is sent with it; `returnto` is a path of this wiki.
pub(super) fn sign_in(
    shared: &Shared,
    query: &[(String, String)],
    fields: &[(String, String)],
) -> Response {
    let Some(name) = field(fields, "wpName") else {
        return form("");
    };
    let mut world = shared.world();
    let found = world
        .accounts
        .iter()
        .find(|(_, account)| account.name == name)
        .map(|(sub, account)| (*sub, account.locked));
    match found {
        Some((_, true)) => form("This account is locked."),
        None => form("There is no user by that name."),
        Some((sub, false)) => {
            let cookie = world.random();
            world.browsers.insert(cookie.clone(), sub);
            let to = field(query, "returnto").unwrap_or("/w/index.php");
            (
                StatusCode::FOUND,
                [
                    (header::LOCATION, to.to_owned()),
                    (
                        header::SET_COOKIE,
                        format!("wikiSession={cookie}; Path=/w/; HttpOnly"),
                    ),
                ],
            )
                .into_response()
        }
    }
}

/// Sends a browser to the sign-in form, from which it comes back here.
pub(super) fn to_sign_in(here: &str) -> Response {
    let here: String = url::form_urlencoded::byte_serialize(here.as_bytes()).collect();
    let to = format!("/w/index.php?title=Special%3AUserLogin&returnto={here}");
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

fn form(words: &str) -> Response {
    Html(format!(
        "<!DOCTYPE html><title>Log in</title><p class=\"mw-message-box\">{words}</p>\
         <form method=post><input id=wpName1 name=wpName><button id=wpLoginAttempt>Log in</button></form>"
    ))
    .into_response()
}

/// The question.
pub(super) fn question() -> Response {
    Html(
        "<!DOCTYPE html><title>Allow</title><p>Hub would like to know who you are.</p>\
         <form method=post><button id=mw-oauth-accept name=accept value=1>Allow</button>\
         <button id=mw-oauth-decline name=decline value=1>Cancel</button></form>",
    )
    .into_response()
}

/// Back to whoever asked.
pub(super) fn back(to: &str, more: &[(&str, &str)]) -> Response {
    let Ok(mut url) = url::Url::parse(to) else {
        return (StatusCode::BAD_REQUEST, Html("No address to go back to")).into_response();
    };
    url.query_pairs_mut().extend_pairs(more);
    (StatusCode::FOUND, [(header::LOCATION, url.to_string())]).into_response()
}
