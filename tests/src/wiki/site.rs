//! Which page a request is for: MediaWiki's three doors, `index.php`, `rest.php` and `api.php`.

use super::answer::Answer;
use super::oauth2::of_rest;
use super::request::Request;
use super::state::State;
use super::trouble::{Fate, Trouble};
use super::{api, authorize, dialog, oauth1, oauth2, resource, rest};

/// What becomes of a request.
pub(super) fn receive(state: &mut State, request: &Request) -> Fate {
    state.seen.push(request.seen());
    let Some(trouble) = state.trouble_for(&request.what()) else {
        return Fate::Answer(answer(state, request));
    };
    if trouble == Trouble::GrantsRevoked {
        for allowed in std::mem::take(&mut state.acceptances) {
            state.revoke(&allowed.consumer, allowed.sub);
        }
    }
    if let Trouble::Lags { seconds, .. } = trouble {
        let most = request
            .field("maxlag")
            .and_then(|most| most.parse::<u32>().ok());
        // Who does not ask about it is answered.
        if most.is_none_or(|most| most >= seconds) {
            return Fate::Answer(answer(state, request));
        }
    }
    trouble.happen(|| answer(state, request))
}

fn answer(state: &mut State, request: &Request) -> Answer {
    if state.demands_user_agent && !is_polite(&request.seen().user_agent) {
        let words = "Please set a user-agent and respect our robot policy T400119";
        return Answer::page(403, "Forbidden", words);
    }
    if let Some(title) = request.title() {
        return page(state, request, &title);
    }
    match request.path.strip_prefix("/w/") {
        Some("api.php") => api::answer(state, request),
        Some("rest.php/oauth2/authorize") => authorize::answer(state, request),
        Some("rest.php/oauth2/access_token") => oauth2::answer(state, request),
        Some("rest.php/oauth2/resource/profile") => resource::answer(state, request, "profile"),
        Some("rest.php/oauth2/resource/scopes") => resource::answer(state, request, "scopes"),
        Some(path) if path.starts_with("rest.php/v1/page") => rest(state, request, path),
        Some(path) if path.starts_with("rest.php") => of_rest(
            404,
            "Not Found",
            "rest-no-match",
            "The requested relative path did not match any known handler",
        ),
        _ => Answer::page(404, "Not Found", "There is no such page."),
    }
}

/// REST's pages, by whoever asks.
fn rest(state: &mut State, request: &Request, path: &str) -> Answer {
    match api::asker(state, request) {
        Ok(sub) => {
            let account = sub.and_then(|sub| state.accounts.get(&sub)).cloned();
            let below = path.trim_start_matches("rest.php/v1/page");
            rest::answer(state, request, below, account.as_ref())
        }
        Err((code, words)) => of_rest(401, "Unauthorized", code, &words),
    }
}

fn page(state: &mut State, request: &Request, title: &str) -> Answer {
    match title.strip_prefix("Special:OAuth/") {
        Some(sub @ ("initiate" | "token" | "identify")) => oauth1::answer(state, request, sub),
        Some(sub) => dialog::answer(state, request, sub),
        None if request
            .authorization()
            .is_some_and(|header| header.starts_with("OAuth ")) =>
        {
            let words = "OAuth can only be used with the API";
            Answer::page(400, "OAuth authorization error", words)
        }
        None if title == "Special:UserLogin" => dialog::login(state, request),
        None if ["Special:UserLogout", "Special:Logout"].contains(&title) => {
            dialog::logout(state, request)
        }
        None => Answer::page(200, "Main Page", "<p>A wiki for tests.</p>"),
    }
}

/// Whether somebody can be written to about the program.
fn is_polite(user_agent: &str) -> bool {
    user_agent.contains('(') && (user_agent.contains('@') || user_agent.contains("http"))
        || user_agent.starts_with("Mozilla/")
}
