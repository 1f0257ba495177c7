//! Pages by `rest.php`: read, made and changed, as MediaWiki's REST API has them. A credential of OAuth needs no token there.

use serde_json::{Value, json};

use super::accounts::Account;
use super::answer::Answer;
use super::oauth2::of_rest;
use super::pages::{Edit, MOMENT};
use super::php::decode;
use super::request::Request;
use super::state::State;

/// `page` and what is below it.
pub(super) fn answer(
    state: &mut State,
    request: &Request,
    below: &str,
    account: Option<&Account>,
) -> Answer {
    let named = below.strip_prefix('/').map(decode);
    match (request.method.as_str(), named) {
        ("GET", Some(title)) => match state.pages.get(&title.replace('_', " ")) {
            Some(edit) => told(200, edit),
            None => of_rest(
                404,
                "Not Found",
                "rest-nonexistent-title",
                "The specified title does not exist",
            ),
        },
        ("PUT", Some(title)) => save(state, request, Some(title), account),
        ("POST", None) => save(state, request, None, account),
        _ => of_rest(
            405,
            "Method Not Allowed",
            "rest-wrong-method",
            "The request method is not the allowed method for this path",
        ),
    }
}

fn save(
    state: &mut State,
    request: &Request,
    title: Option<String>,
    account: Option<&Account>,
) -> Answer {
    let Some(account) = account else {
        return of_rest(
            403,
            "Forbidden",
            "rest-write-denied",
            "User is not allowed to write to the REST API",
        );
    };
    let said: Value = serde_json::from_slice(&request.json).unwrap_or_default();
    let field = |name: &str| said[name].as_str().map(str::to_owned);
    let (Some(title), Some(text)) = (title.or_else(|| field("title")), field("source")) else {
        return of_rest(
            400,
            "Bad Request",
            "rest-body-validation-error",
            "The body does not validate",
        );
    };
    let title = title.replace('_', " ");
    let is_there = state.pages.contains_key(&title);
    if is_there && said["latest"]["id"].as_i64().is_none() {
        let words = "Page already exists; the latest revision is needed to change it";
        return of_rest(409, "Conflict", "rest-update-cannot-create-page", words);
    }
    let edit = Edit {
        title: title.clone(),
        text,
        summary: field("comment").unwrap_or_default(),
        user: account.name.clone(),
        consumer: super::api::application(state, request),
        user_agent: request.seen().user_agent,
    };
    let answer = told(if is_there { 200 } else { 201 }, &edit);
    state.edits.push(edit.clone());
    state.pages.insert(title, edit);
    answer
}

fn told(status: u16, edit: &Edit) -> Answer {
    let body = json!({
        "id": 1, "key": edit.title.replace(' ', "_"), "title": edit.title, "latest": { "id": 7, "timestamp": MOMENT },
        "content_model": "wikitext", "license": { "url": "", "title": "" }, "source": edit.text,
    });
    Answer::new(status, "application/json", body.to_string())
}
