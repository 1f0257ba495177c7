//! Pages for browsers: signing in to the wiki, being asked whether an application may know, and what is said when not.
//!
//! Redirects within the wiki carry no origin, so that a browser stays where it is even when the wiki takes itself for another server.

use super::answer::Answer;
use super::consumers::{Consumer, Stage, Version};
use super::php::{append_query, escape_html, query};
use super::refusal::{Format, Refusal};
use super::request::Request;
use super::state::{Approved, ReadOnly, SHORT, Secret, State, random_hex};

/// Where a browser keeps who it is.
pub(super) const COOKIE: &str = "peerwikiSession";

/// Special:OAuth, as a browser sees it.
pub(super) fn answer(state: &mut State, request: &Request, sub: &str) -> Answer {
    let told = match sub {
        _ if state.read_only == ReadOnly::OAuth => Err(Refusal::read_only()),
        "authorize" | "authenticate" => dance(state, request, sub),
        "approve" => approve(state, request),
        "verified" => verified(request),
        "rest_redirect" => Ok(rest_redirect(request)),
        _ => Err(Refusal::unknown_page()),
    };
    told.unwrap_or_else(|refusal| refusal.answer(Format::Html))
}

impl State {
    /// Who the browser is.
    pub(super) fn browser(&self, request: &Request) -> Option<u64> {
        self.browser_user.or_else(|| {
            let session = request.cookie(COOKIE)?;
            self.sessions.get(session).copied()
        })
    }
}

/// The way of OAuth 1.0a through the browser.
fn dance(state: &mut State, request: &Request, sub: &str) -> Result<Answer, Refusal> {
    let token = request
        .field("requestToken")
        .or_else(|| request.field("oauth_token"))
        .unwrap_or_default()
        .to_owned();
    let Some(user) = state.browser(request) else {
        return Ok(to_login(&format!("Special:OAuth/{sub}"), &request.query));
    };
    let key = request
        .field("consumerKey")
        .or_else(|| request.field("oauth_consumer_key"))
        .map(str::to_owned)
        .or_else(|| {
            let token = state.request_tokens.get(&token)?;
            Some(token.consumer.clone())
        });
    let consumer = usable(state, key.as_deref(), Version::One)?;
    if request.method == "POST" && request.form_field("cancel").is_some() {
        return Ok(cancelled(&consumer));
    }
    let known = state.acceptance(&consumer.key, user);
    let asked_before = known.is_some_and(|known| known.grants == consumer.grants);
    let silently = sub == "authenticate" && asked_before && consumer.only_identifies();
    if !silently && request.form_field("accept").is_none() {
        return Ok(ask(state, user, &consumer, &consumer.grants));
    }
    if state.read_only == ReadOnly::Wiki {
        return Ok(locked_database());
    }
    let callback = authorize(state, user, &consumer, &token)?;
    Ok(Answer::redirect(302, &callback))
}

/// Approves the request token; where the browser goes then.
fn authorize(
    state: &mut State,
    user: u64,
    consumer: &Consumer,
    key: &str,
) -> Result<String, Refusal> {
    let now = state.now();
    let token = state
        .request_tokens
        .get_mut(key)
        .filter(|token| token.consumer == consumer.key && token.until >= now)
        .ok_or_else(Refusal::not_found)?;
    if token.used {
        return Err(Refusal::used());
    }
    let sent = token.callback.take().ok_or_else(Refusal::no_callback)?;
    let access_key = state.accept(&consumer.key, user, &consumer.grants).key;
    let verifier = state.secret(Secret::Verifier);
    if let Some(token) = state.request_tokens.get_mut(key) {
        token.until = now + SHORT;
        token.approved = Some(Approved {
            verifier: verifier.clone(),
            access_key,
        });
    }
    let callback = match (sent.as_str(), consumer.callback.as_str()) {
        ("oob", "oob") => "/w/index.php?title=Special:OAuth/verified",
        ("oob", registered) => registered,
        (sent, _) => sent,
    };
    let more = query(&[("oauth_verifier", verifier.as_str()), ("oauth_token", key)]);
    Ok(append_query(callback, &more))
}

/// The dialog of OAuth 2.0.
fn approve(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let client_id = request.field("client_id").map(str::to_owned);
    let back = |more: &str| {
        let address = format!(
            "{}?{}",
            request.field("returnto").unwrap_or_default(),
            request.field("returntoquery").unwrap_or_default()
        );
        // Only the wiki's own address is ever gone back to.
        let address = format!("/{}", address.trim_start_matches('/'));
        Answer::redirect(302, &append_query(&address, more))
    };
    let Some(user) = state.browser(request) else {
        return Ok(back(""));
    };
    let client = usable(state, client_id.as_deref(), Version::Two)?;
    if request.method == "POST" && request.form_field("cancel").is_some() {
        return Ok(back("approval_cancel=1"));
    }
    let scopes: Vec<String> = request
        .field("scope")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let known = state.acceptance(&client.key, user);
    let asked_before = known.is_some_and(|known| known.grants == client.grants);
    if asked_before && client.only_identifies() {
        return Ok(back("approval_pass=1"));
    }
    if request.form_field("accept").is_none() {
        return Ok(ask(state, user, &client, &scopes));
    }
    if state.read_only == ReadOnly::Wiki {
        return Ok(locked_database());
    }
    state.accept(&client.key, user, &scopes);
    Ok(back("approval_pass=1"))
}

fn usable(state: &State, key: Option<&str>, version: Version) -> Result<Consumer, Refusal> {
    let consumer = key
        .and_then(|key| state.consumer(key))
        .ok_or_else(Refusal::unknown_key)?;
    if consumer.stage != Stage::Approved || consumer.version != version || consumer.owner_only {
        return Err(Refusal::not_usable(&consumer.name));
    }
    Ok(consumer.clone())
}

fn ask(state: &State, user: u64, consumer: &Consumer, grants: &[String]) -> Answer {
    let name = state
        .accounts
        .get(&user)
        .map(|account| account.name.as_str());
    let inside = format!(
        "<div id=\"mw-mwoauth-authorize-dialog\"><p>Hi <bdi>{}</bdi>,</p>\
         <p>In order to complete your request, <b>{}</b> needs permission: {}</p>\
         <form method=\"post\" id=\"mw-mwoauth-authorize-form\">\
         <button type=\"submit\" name=\"accept\" value=\"Allow\" id=\"mw-oauth-accept\">Allow</button> \
         <button type=\"submit\" name=\"cancel\" value=\"Cancel\" id=\"mw-oauth-decline\">Cancel</button></form></div>",
        escape_html(name.unwrap_or_default()),
        escape_html(&consumer.name),
        escape_html(&grants.join(", ")),
    );
    Answer::page(200, "Allow a connected application?", &inside)
}

fn cancelled(consumer: &Consumer) -> Answer {
    let name = escape_html(&consumer.name);
    let inside = format!(
        "<p>You have chosen not to allow \"{name}\" to access your account. \"{name}\" will not work unless you allow it access.</p>"
    );
    Answer::page(200, "OAuth", &inside)
}

fn locked_database() -> Answer {
    let inside = "<p>The database is currently locked to new entries and other modifications.</p>";
    Answer::page(200, "Database locked", inside)
}

fn verified(request: &Request) -> Result<Answer, Refusal> {
    let (Some(verifier), Some(_)) = (
        request.field("oauth_verifier"),
        request.field("oauth_token"),
    ) else {
        return Err(Refusal::no_verifier_shown());
    };
    let inside = format!(
        "<p>The verification code is <code>{}</code></p>",
        escape_html(verifier)
    );
    Ok(Answer::page(200, "OAuth", &inside))
}

fn rest_redirect(request: &Request) -> Answer {
    let target = request.field("rest_url").unwrap_or_default();
    let rest: Vec<&(String, String)> = request
        .query
        .iter()
        .filter(|(name, _)| !["title", "rest_url"].contains(&name.as_str()))
        .collect();
    let rest: Vec<(&str, &str)> = rest.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let target = format!("/{}", target.trim_start_matches('/'));
    Answer::redirect(302, &append_query(&target, &query(&rest)))
}

/// Sends a browser to sign in and back to a page with its query.
pub(super) fn to_login(page: &str, asked: &[(String, String)]) -> Answer {
    let asked: Vec<(&str, &str)> = asked
        .iter()
        .filter(|(name, _)| name != "title")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let login = query(&[
        ("title", "Special:UserLogin"),
        ("returnto", page),
        ("returntoquery", &query(&asked)),
    ]);
    Answer::redirect(302, &format!("/w/index.php?{login}"))
}

/// Special:UserLogin: whoever gives the name of an account is believed.
pub(super) fn login(state: &mut State, request: &Request) -> Answer {
    let Some(typed) = request.form_field("wpName") else {
        return login_form("");
    };
    let Some(account) = state.account_typed(typed) else {
        return login_form("There is no user by this name. Check your spelling.");
    };
    if account.locked {
        return login_form("Your account has been globally locked. You cannot log in.");
    }
    let sub = account.sub;
    let session = random_hex(16);
    state.sessions.insert(session.clone(), sub);
    let page = request.field("returnto").unwrap_or("Main Page");
    let mut to = format!("/w/index.php?{}", query(&[("title", page)]));
    if let Some(more) = request
        .field("returntoquery")
        .filter(|more| !more.is_empty())
    {
        to = append_query(&to, more);
    }
    Answer::redirect(302, &to).with(
        "set-cookie",
        format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"),
    )
}

fn login_form(error: &str) -> Answer {
    let inside = format!(
        "<p class=\"error\" id=\"mw-login-error\">{}</p><form method=\"post\" name=\"userlogin\">\
         <label for=\"wpName1\">Username</label> <input id=\"wpName1\" name=\"wpName\" autofocus> \
         <input type=\"password\" name=\"wpPassword\" id=\"wpPassword1\"> \
         <button type=\"submit\" id=\"wpLoginAttempt\" name=\"wploginattempt\" value=\"Log in\">Log in</button></form>",
        escape_html(error)
    );
    Answer::page(200, "Log in", &inside)
}

/// Special:UserLogout: the browser is nobody.
pub(super) fn logout(state: &mut State, request: &Request) -> Answer {
    if let Some(session) = request.cookie(COOKIE) {
        state.sessions.remove(session);
    }
    Answer::page(200, "Log out", "<p>You are now logged out.</p>").with(
        "set-cookie",
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),
    )
}
