//! `rest.php/oauth2/authorize`: where the browser goes in OAuth 2.0, and comes back from with a code.
//!
//! Until the address of the way back is trusted, everything wrong is a page of the wiki.

use url::Url;

use super::answer::Answer;
use super::consumers::{Consumer, Kind, Version};
use super::dialog::to_login;
use super::oauth2::{is_proof, page};
use super::php::{append_query, query};
use super::request::Request;
use super::state::{Code, Release, SHORT, Secret, State};

/// Grants that this wiki knows.
const SCOPES: &[&str] = &[
    "basic",
    "highvolume",
    "editpage",
    "editprotected",
    "editmycssjs",
    "editmyoptions",
    "editinterface",
    "createeditmovepage",
    "uploadfile",
    "uploadeditmovefile",
    "patrol",
    "rollback",
    "blockusers",
    "viewdeleted",
    "delete",
    "protect",
    "viewmywatchlist",
    "editmywatchlist",
    "sendemail",
    "createaccount",
    "privateinfo",
    "mwoauth-authonly",
    "mwoauth-authonlyprivate",
];

pub(super) fn answer(state: &mut State, request: &Request) -> Answer {
    let Some(user) = state.browser(request) else {
        let mut asked = request.query.clone();
        asked.push(("rest_url".to_owned(), request.path.clone()));
        let mut answer = to_login("Special:OAuth/rest_redirect", &asked);
        answer.status = 307;
        return answer;
    };
    proceed(state, request, user).unwrap_or_else(|answer| *answer)
}

fn proceed(state: &mut State, request: &Request, user: u64) -> Result<Answer, Box<Answer>> {
    let client = client(state, request)?;
    let sent = request.field("redirect_uri").map(str::to_owned);
    let to = sent.clone().unwrap_or_else(|| client.callback.clone());
    let given_state = request.field("state").unwrap_or_default().to_owned();
    let scopes = scopes(state, request, &client, &to, &given_state)?;
    let challenge = challenge(request, &client)?;
    if request.field("approval_cancel").is_some() {
        let words = "User has rejected the request from client application";
        if sent.is_none() {
            return Err(page(400, "unauthorized_client", words));
        }
        let more = query(&[
            ("error", "unauthorized_client"),
            ("error_description", words),
            ("message", words),
        ]);
        return Ok(Answer::redirect(302, &append_query(&to, &more)));
    }
    let allowed = state
        .acceptance(&client.key, user)
        .is_some_and(|known| scopes.iter().all(|scope| known.grants.contains(scope)));
    if request.field("approval_pass").is_none() || !allowed {
        return Ok(to_dialog(request, &client, &scopes));
    }
    let code = state.secret(Secret::Code);
    let until = state.now() + SHORT;
    state.codes.insert(
        code.clone(),
        Code {
            client: client.key,
            sub: user,
            scopes,
            redirect_uri: sent,
            challenge,
            until,
            spent: false,
        },
    );
    let mut back = vec![("code", code)];
    if !given_state.is_empty() {
        back.push(("state", given_state));
    }
    Ok(Answer::redirect(302, &append_query(&to, &query(&back))))
}

fn client(state: &State, request: &Request) -> Result<Consumer, Box<Answer>> {
    let refused = || page(401, "invalid_client", "Client authentication failed");
    if request.field("response_type") != Some("code") {
        let words = "Invalid value for response_type";
        return Err(page(400, "badvalue", words));
    }
    let client = state
        .consumer(request.field("client_id").unwrap_or_default())
        .filter(|client| client.version == Version::Two && !client.owner_only)
        .filter(|client| {
            client
                .grant_types
                .iter()
                .any(|kind| kind == "authorization_code")
        })
        .ok_or_else(refused)?;
    match request.field("redirect_uri") {
        Some(sent) if !is_same_address(state.release, &client.callback, sent) => Err(refused()),
        _ => Ok(client.clone()),
    }
}

/// Exactly the same; newer releases let any port be on a loopback address.
pub(super) fn is_same_address(release: Release, registered: &str, sent: &str) -> bool {
    if registered == sent {
        return true;
    }
    let without_port = |address: &str| {
        let mut url = Url::parse(address).ok()?;
        let loopback = ["127.0.0.1", "[::1]"].contains(&url.host_str()?);
        (url.scheme() == "http" && loopback && url.set_port(None).is_ok()).then_some(url)
    };
    release == Release::Master
        && without_port(registered).is_some_and(|want| without_port(sent) == Some(want))
}

fn scopes(
    state: &State,
    request: &Request,
    client: &Consumer,
    to: &str,
    given_state: &str,
) -> Result<Vec<String>, Box<Answer>> {
    let asked = request.field("scope").unwrap_or_default();
    if asked.is_empty() {
        return Ok(client.grants.clone());
    }
    if let Some(unknown) = asked.split(' ').find(|scope| !SCOPES.contains(scope)) {
        let words = "The requested scope is invalid, unknown, or malformed";
        let hint = format!("Check the `{unknown}` scope");
        let error = query(&[
            ("error", "invalid_scope"),
            ("error_description", words),
            ("hint", &hint),
            ("message", words),
        ]);
        let to = match state.release {
            Release::Master if !given_state.is_empty() => {
                append_query(to, &query(&[("state", given_state)]))
            }
            _ => to.to_owned(),
        };
        return Err(Box::new(Answer::redirect(302, &append_query(&to, &error))));
    }
    Ok(asked
        .split(' ')
        .filter(|scope| client.grants.iter().any(|grant| grant == scope))
        .map(str::to_owned)
        .collect())
}

/// What the verifier will have to fit, and how.
fn challenge(
    request: &Request,
    client: &Consumer,
) -> Result<Option<(String, String)>, Box<Answer>> {
    let refused = |words: &str| page(400, "invalid_request", words);
    let method = request.field("code_challenge_method").unwrap_or("plain");
    match request.field("code_challenge") {
        None if client.kind == Kind::Public => Err(refused(
            "Code challenge must be provided for public clients",
        )),
        None => Ok(None),
        Some(_) if !["S256", "plain"].contains(&method) => Err(refused(
            "Code challenge method must be one of `S256`, `plain`",
        )),
        Some(challenge) if !is_proof(challenge) => Err(refused(
            "Code challenge must follow the specifications of RFC-7636.",
        )),
        Some(challenge) => Ok(Some((method.to_owned(), challenge.to_owned()))),
    }
}

fn to_dialog(request: &Request, client: &Consumer, scopes: &[String]) -> Answer {
    let more: Vec<&(String, String)> = request
        .query
        .iter()
        .filter(|(name, _)| !name.starts_with("approval_"))
        .collect();
    let more: Vec<(&str, &str)> = more.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let dialog = query(&[
        ("title", "Special:OAuth/approve"),
        ("returnto", &request.path),
        ("returntoquery", &query(&more)),
        ("client_id", &client.key),
        ("oauth_version", "2"),
        ("scope", &scopes.join(" ")),
    ]);
    Answer::redirect(307, &format!("/w/index.php?{dialog}"))
}
