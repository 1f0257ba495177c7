//! The three requests of a program in OAuth 1.0a: `initiate`, `token`, `identify`.

use url::Url;

use super::answer::Answer;
use super::consumers::{CallbackRule, Consumer, Stage};
use super::php::{Json, encode};
use super::refusal::{Format, Refusal};
use super::request::Request;
use super::signature::{Signed, Token};
use super::state::{Acceptance, ReadOnly, Release, RequestToken, SHORT, Secret, State};

type Outcome<T> = Result<T, Refusal>;

/// Answers one of the three.
pub(super) fn answer(state: &mut State, request: &Request, sub: &str) -> Answer {
    let format = match request.field("format") {
        Some("json") => Format::Json,
        Some("html") => Format::Html,
        _ if sub == "identify" => Format::Json,
        _ => Format::Raw,
    };
    let told = if state.read_only == ReadOnly::OAuth && sub != "identify" {
        Err(Refusal::read_only())
    } else {
        match sub {
            "initiate" => initiate(state, request).map(|token| said(state, &token, format)),
            "token" => token(state, request).map(|token| said(state, &token, format)),
            _ => identify(state, request),
        }
    };
    told.unwrap_or_else(|refusal| refusal.answer(format))
}

fn said(state: &State, token: &Token, format: Format) -> Answer {
    if format == Format::Raw {
        return Answer::raw(format!(
            "oauth_token={}&oauth_token_secret={}&oauth_callback_confirmed=true",
            encode(&token.key),
            encode(&token.secret)
        ));
    }
    let (key, secret) = (Json::from(&*token.key), Json::from(&*token.secret));
    let mut members = vec![
        ("key".to_owned(), key.clone()),
        ("secret".to_owned(), secret.clone()),
        ("oauth_callback_confirmed".to_owned(), "true".into()),
    ];
    if state.release == Release::Master {
        members.push(("oauth_token".to_owned(), key));
        members.push(("oauth_token_secret".to_owned(), secret));
    }
    Answer::json(200, &Json::Map(members))
}

fn initiate(state: &mut State, request: &Request) -> Outcome<Token> {
    let signed = Signed::of(request);
    let consumer = consumer(state, &signed)?;
    if consumer.owner_only {
        return Err(Refusal::owner_only(&consumer.name, &consumer.key));
    }
    check_address(&consumer, request)?;
    signed.check(state, request, &consumer, None)?;
    let callback = signed.get("oauth_callback").unwrap_or_default();
    check_callback(&consumer, callback)?;
    let token = Token {
        key: state.secret(Secret::RequestToken),
        secret: state.secret(Secret::RequestSecret),
    };
    let until = state.now() + SHORT;
    state.request_tokens.insert(
        token.key.clone(),
        RequestToken {
            consumer: consumer.key,
            secret: token.secret.clone(),
            callback: Some(callback.to_owned()),
            until,
            approved: None,
            used: false,
        },
    );
    Ok(token)
}

fn token(state: &mut State, request: &Request) -> Outcome<Token> {
    let signed = Signed::of(request);
    let consumer = consumer(state, &signed)?;
    if consumer.owner_only {
        return Err(Refusal::owner_only(&consumer.name, &consumer.key));
    }
    check_address(&consumer, request)?;
    let key = signed.get("oauth_token").unwrap_or_default().to_owned();
    let now = state.now();
    let known = state
        .request_tokens
        .get(&key)
        .filter(|token| token.consumer == consumer.key && token.until >= now)
        .cloned()
        .ok_or_else(Refusal::not_found)?;
    if known.used {
        return Err(Refusal::used());
    }
    let temporary = Token {
        key: key.clone(),
        secret: known.secret,
    };
    signed.check(state, request, &consumer, Some(&temporary))?;
    let approved = known.approved.ok_or_else(Refusal::no_token)?;
    if signed.get("oauth_verifier") != Some(&approved.verifier) {
        return Err(Refusal::verifier());
    }
    let acceptance = acceptance(state, &consumer, &approved.access_key)?;
    if let Some(token) = state.request_tokens.get_mut(&key) {
        token.used = true;
        token.until = now + SHORT;
    }
    let by_rsa = signed.get("oauth_signature_method") == Some("RSA-SHA1");
    Ok(Token {
        key: acceptance.key,
        secret: if by_rsa {
            "__unused__".to_owned()
        } else {
            acceptance.secret
        },
    })
}

fn identify(state: &mut State, request: &Request) -> Outcome<Answer> {
    let signed = Signed::of(request);
    let (consumer, acceptance) = verify(state, request, &signed)?;
    check_standing(state, &consumer, &acceptance)?;
    let account = state
        .accounts
        .get(&acceptance.sub)
        .ok_or_else(Refusal::no_user)?;
    let nonce = signed.get("oauth_nonce").unwrap_or_default();
    let jwt = state.statement(account, &consumer, &acceptance.grants, nonce);
    Ok(Answer::new(200, "application/json", jwt))
}

/// Whose signed request this is.
pub(super) fn verify(
    state: &mut State,
    request: &Request,
    signed: &Signed,
) -> Outcome<(Consumer, Acceptance)> {
    let consumer = consumer(state, signed)?;
    let key = signed.get("oauth_token").unwrap_or_default();
    let acceptance = acceptance(state, &consumer, key)?;
    let token = Token {
        key: acceptance.key.clone(),
        secret: acceptance.secret.clone(),
    };
    signed.check(state, request, &consumer, Some(&token))?;
    check_address(&consumer, request)?;
    Ok((consumer, acceptance))
}

/// Whether the person and the consumer may still use the token.
pub(super) fn check_standing(
    state: &State,
    consumer: &Consumer,
    acceptance: &Acceptance,
) -> Outcome<()> {
    let account = state
        .accounts
        .get(&acceptance.sub)
        .ok_or_else(Refusal::no_user)?;
    if account.locked {
        return Err(Refusal::locked());
    }
    if consumer
        .only_wiki
        .as_ref()
        .is_some_and(|wiki| *wiki != state.wiki_id)
    {
        return Err(Refusal::other_wiki(&state.wiki_id));
    }
    if consumer.stage != Stage::Approved {
        return Err(Refusal::not_approved(&consumer.name));
    }
    Ok(())
}

fn consumer(state: &State, signed: &Signed) -> Outcome<Consumer> {
    let version = signed.get("oauth_version").unwrap_or("1.0");
    if version != "1.0" {
        return Err(Refusal::protocol(&format!(
            "OAuth version '{version}' not supported"
        )));
    }
    let key = signed
        .get("oauth_consumer_key")
        .ok_or_else(|| Refusal::protocol("Invalid consumer key"))?;
    state
        .consumer(key)
        .cloned()
        .ok_or_else(|| Refusal::protocol("Invalid consumer"))
}

fn acceptance(state: &State, consumer: &Consumer, key: &str) -> Outcome<Acceptance> {
    state
        .acceptances
        .iter()
        .find(|one| one.key == key && one.consumer == consumer.key)
        .cloned()
        .ok_or_else(Refusal::no_grant)
}

fn check_address(consumer: &Consumer, request: &Request) -> Outcome<()> {
    let ranges = &consumer.ip_ranges;
    if ranges.is_empty() || ranges.iter().any(|range| range.contains(&request.from)) {
        Ok(())
    } else {
        Err(Refusal::address())
    }
}

fn check_callback(consumer: &Consumer, callback: &str) -> Outcome<()> {
    match consumer.callback_rule {
        _ if callback == "oob" => Ok(()),
        CallbackRule::Fixed => Err(Refusal::only_oob()),
        CallbackRule::Prefix if begins_with(callback, &consumer.callback) => Ok(()),
        CallbackRule::Prefix => Err(Refusal::no_prefix()),
    }
}

/// Whether an address begins with the registered one, part by part.
fn begins_with(address: &str, registered: &str) -> bool {
    let (Ok(got), Ok(want)) = (Url::parse(address), Url::parse(registered)) else {
        return false;
    };
    let scheme =
        want.scheme() == got.scheme() || (want.scheme(), got.scheme()) == ("http", "https");
    // As sent: a parsed path has no `..` left, which PHP does not take out.
    let (got_path, got_query) = path_and_query(address);
    let (want_path, want_query) = path_and_query(registered);
    let path = match want_query {
        Some(_) => got_path == want_path,
        None => got_path.starts_with(want_path),
    };
    let query = want_query.is_none_or(|want| got_query.is_some_and(|got| got.starts_with(want)));
    scheme
        && got.username().is_empty()
        && got.password().is_none()
        && want.host_str() == got.host_str()
        && (want.port() == Some(1) || want.port() == got.port())
        && path
        && query
}

fn path_and_query(address: &str) -> (&str, Option<&str>) {
    let address = address.split('#').next().unwrap_or_default();
    let after = address.split_once("://").map_or("", |(_, rest)| rest);
    let (whole, query) = match after.split_once('?') {
        Some((whole, query)) => (whole, Some(query)),
        None => (after, None),
    };
    (whole.find('/').map_or("", |start| &whole[start..]), query)
}

/// For `api.php`: the refusal as an error of the API.
pub(super) fn api_code(refusal: &Refusal) -> (&'static str, String) {
    match refusal.key {
        "mwoauth-oauth-exception" | "mwoauthdatastore-access-token-not-found" => (
            "mwoauth-invalid-authorization",
            format!(
                "The authorization headers in your request are not valid: {}",
                refusal.without_preface()
            ),
        ),
        key => (key, refusal.text()),
    }
}
