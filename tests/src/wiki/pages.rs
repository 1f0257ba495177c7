//! What programs do with a wiki through `api.php`: they look it up (`paraminfo`, `siteinfo`), ask who they are, get a token, read and save, as
//! the current releases of pywikibot, mwclient and mwapi go about it.

use serde_json::{Map, Value, json};

use super::accounts::Account;
use super::answer::Answer;
use super::request::Request;
use super::state::State;
use super::uploads::{SMALLEST, upload};

/// Groups of rights that every account has.
const RIGHTS: [&str; 8] = [
    "read",
    "edit",
    "createpage",
    "createtalk",
    "writeapi",
    "upload",
    "reupload",
    "editmyoptions",
];
pub(super) const MOMENT: &str = "2026-01-02T03:04:05Z";

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The page.
    pub title: String,
    /// Its text from then on.
    pub text: String,
    /// What was said about it.
    pub summary: String,
    /// Who did it.
    pub user: String,
    /// By which application; empty without a credential.
    pub consumer: String,
    /// How the program called itself.
    pub user_agent: String,
}

/// A request of the API by somebody, or by nobody.
pub(super) fn answer(state: &mut State, request: &Request, sub: Option<u64>) -> Answer {
    let account = sub.and_then(|sub| state.accounts.get(&sub)).cloned();
    let value = match request.field("action").unwrap_or("help") {
        "query" => query(state, request, account.as_ref()),
        "sitematrix" => sitematrix(state),
        "paraminfo" => json!({ "paraminfo": { "modules": modules(request) } }),
        "edit" => return edit(state, request, account.as_ref()),
        "upload" => return upload(state, request, account.as_ref()),
        _ => return error("badvalue", "Unrecognized value for parameter \"action\"."),
    };
    said(&value)
}

/// The first is the only one of its language, the others are special, as the real one parts them.
fn sitematrix(state: &State) -> Value {
    let told = |(origin, flag): &(String, Option<String>)| {
        let mut site =
            json!({ "url": origin, "dbname": "x", "code": "wiki", "sitename": "A wiki" });
        if let Some(flag) = flag {
            site[flag.as_str()] = "".into();
        }
        site
    };
    let mut all: Vec<Value> = state.matrix.iter().map(told).collect();
    let specials = all.split_off(all.len().min(1));
    json!({ "sitematrix": {
        "count": state.matrix.len(), "0": { "code": "aa", "name": "Qafar af", "site": all, "dir": "ltr" }, "specials": specials,
    } })
}

pub(super) fn said(value: &Value) -> Answer {
    Answer::new(200, "application/json; charset=utf-8", value.to_string())
}

pub(super) fn error(code: &str, words: &str) -> Answer {
    error_with(code, words, [])
}

/// An error that says more than its words.
pub(super) fn error_with<const MORE: usize>(
    code: &str,
    words: &str,
    more: [(&str, Value); MORE],
) -> Answer {
    let mut error = json!({ "code": code, "info": words, "docref": "See the API's help." });
    for (name, value) in more {
        error[name] = value;
    }
    said(&json!({ "error": error })).with("mediawiki-api-error", code)
}

/// The token that goes with every change.
fn token(account: Option<&Account>) -> String {
    account.map_or_else(
        || "+\\".to_owned(),
        |account| format!("{:032x}+\\", account.sub),
    )
}

fn query(state: &State, request: &Request, account: Option<&Account>) -> Value {
    let asked = |name: &str| -> Vec<String> {
        let value = request.field(name).unwrap_or_default();
        value
            .split('|')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut query = Map::new();
    for meta in asked("meta") {
        match meta.as_str() {
            "userinfo" => {
                query.insert(meta, userinfo(request, account));
            }
            "tokens" => {
                let tokens = asked("type")
                    .into_iter()
                    .map(|kind| (format!("{kind}token"), Value::from(token(account))));
                query.insert(meta, Value::Object(tokens.collect()));
            }
            "siteinfo" => {
                let mut props = asked("siprop");
                if props.is_empty() {
                    props.push("general".to_owned());
                }
                for prop in props {
                    query.insert(prop.clone(), siteinfo(state, request, &prop));
                }
            }
            _ => {}
        }
    }
    let titles = asked("titles");
    if !titles.is_empty() {
        query.insert("pages".to_owned(), pages(state, &titles));
    }
    let mut next = None;
    if asked("list").iter().any(|list| list == "allpages") {
        let (all, after) = all_pages(state, request, "ap");
        let all = all
            .into_iter()
            .map(|(id, title)| json!({ "pageid": id, "ns": 0, "title": title }));
        query.insert("allpages".to_owned(), all.collect::<Vec<_>>().into());
        next = after;
    }
    if request.field("generator") == Some("allpages") {
        let (all, after) = all_pages(state, request, "gap");
        let titles: Vec<String> = all.into_iter().map(|(_, title)| title).collect();
        query.insert("pages".to_owned(), pages(state, &titles));
        next = after;
    }
    let mut answer = json!({ "query": query });
    match next {
        Some((name, title)) => answer["continue"] = json!({ name: title, "continue": "-||" }),
        None => answer["batchcomplete"] = true.into(),
    }
    answer
}

/// By which parameter, and with which title, a list goes on.
type Next = (String, String);

/// So many titles as are asked for with their numbers, from where the last answer ended; and where the next one begins.
fn all_pages(
    state: &State,
    request: &Request,
    prefix: &str,
) -> (Vec<(usize, String)>, Option<Next>) {
    let limit = request.field(&format!("{prefix}limit"));
    let limit = limit.map_or(10, |limit| limit.parse().unwrap_or(500));
    let continues = format!("{prefix}continue");
    let from = request.field(&continues).unwrap_or_default();
    let mut titles = state.pages.keys().cloned().zip(1..);
    let mut titles = titles
        .by_ref()
        .skip_while(|(title, _)| title.as_str() < from);
    let some = titles
        .by_ref()
        .take(limit)
        .map(|(title, id)| (id, title))
        .collect();
    (some, titles.next().map(|(title, _)| (continues, title)))
}

fn userinfo(request: &Request, account: Option<&Account>) -> Value {
    match account {
        Some(account) => {
            let mut rights: Vec<&str> = RIGHTS.to_vec();
            rights.extend(account.rights.iter().map(String::as_str));
            json!({
                "id": account.local_id, "name": account.name, "groups": account.groups, "rights": rights,
                "messages": false, "ratelimits": {},
            })
        }
        None => json!({
            "id": 0, "name": request.from.to_string(), "anon": true, "groups": ["*"], "rights": ["read"], "messages": false,
        }),
    }
}

fn siteinfo(state: &State, request: &Request, prop: &str) -> Value {
    match prop {
        "general" => json!({
            "mainpage": "Main Page", "base": format!("{}/wiki/Main_Page", state.server), "sitename": "A wiki for tests",
            "generator": "MediaWiki 1.43.9", "case": "first-letter", "lang": "en", "fallback": [], "rtl": false,
            "legaltitlechars": " %!\"$&'()*,\\-.\\/0-9:;=?@A-Z\\\\^_`a-z~\\x80-\\xFF+", "linkprefixcharset": "",
            "linktrail": "/^([a-z]+)(.*)$/sD", "writeapi": true, "maxarticlesize": 2_097_152, "timezone": "UTC", "timeoffset": 0,
            "articlepath": "/wiki/$1", "scriptpath": "/w", "script": "/w/index.php", "server": state.server, "wikiid": state.wiki_id,
            "time": MOMENT, "uploadsenabled": true, "maxuploadsize": 104_857_600, "minuploadchunksize": SMALLEST, "magiclinks": {},
            "thumblimits": { "0": 120 }, "imagelimits": { "0": { "width": 320, "height": 240 } }, "favicon": "", "langconversion": true,
            "titleconversion": true, "variantarticlepath": false, "misermode": false, "interwikimagic": true,
        }),
        "namespaces" => {
            let named = [
                (-2, "Media"),
                (-1, "Special"),
                (0, ""),
                (1, "Talk"),
                (2, "User"),
                (3, "User talk"),
                (4, "Project"),
                (5, "Project talk"),
                (6, "File"),
                (7, "File talk"),
                (8, "MediaWiki"),
                (9, "MediaWiki talk"),
                (10, "Template"),
                (11, "Template talk"),
                (12, "Help"),
                (13, "Help talk"),
                (14, "Category"),
                (15, "Category talk"),
            ];
            let all = named.map(|(id, name)| {
                let mut value = json!({
                    "id": id, "case": "first-letter", "name": name, "canonical": name, "subpages": true, "content": id == 0,
                    "nonincludable": false,
                });
                if request.field("formatversion") != Some("2") {
                    value["*"] = name.into();
                }
                (id.to_string(), value)
            });
            Value::Object(all.into_iter().collect())
        }
        "extensions" | "namespacealiases" | "interwikimap" | "specialpagealiases"
        | "magicwords" => json!([]),
        "fileextensions" => json!([{ "ext": "png" }, { "ext": "txt" }]),
        "restrictions" => json!({
            "types": ["create", "edit", "move", "upload"], "levels": ["", "autoconfirmed", "sysop"], "cascadinglevels": ["sysop"],
            "semiprotectedlevels": ["autoconfirmed"],
        }),
        _ => json!([]),
    }
}

/// What there is of these pages, in the form of version 1.
fn pages(state: &State, titles: &[String]) -> Value {
    let all = titles.iter().enumerate().map(|(place, title)| {
        let title = title.replace('_', " ");
        let namespace = i32::from(title.starts_with("File:")) * 6;
        match state.pages.get(&title) {
            None => (
                format!("-{}", place + 1),
                json!({ "ns": namespace, "title": title, "missing": "", "contentmodel": "wikitext", "pagelanguage": "en", "protection": [] }),
            ),
            Some(edit) => (
                (place + 1).to_string(),
                json!({
                    "pageid": place + 1, "ns": namespace, "title": title, "contentmodel": "wikitext", "pagelanguage": "en",
                    "touched": MOMENT, "lastrevid": 7, "length": edit.text.len(), "protection": [], "restrictiontypes": ["edit"],
                    "revisions": [{
                        "revid": 7, "parentid": 0, "user": edit.user, "userid": 1, "timestamp": MOMENT, "comment": edit.summary,
                        "size": edit.text.len(),
                        "slots": { "main": { "contentmodel": "wikitext", "contentformat": "text/x-wiki", "*": edit.text } },
                    }],
                }),
            ),
        }
    });
    Value::Object(all.collect())
}

pub(super) fn may_change(request: &Request, account: Option<&Account>) -> Result<Account, Answer> {
    let account = account.ok_or_else(|| error("permissiondenied", "You are nobody here."))?;
    if request.method != "POST" {
        return Err(error("mustbeposted", "The module requires a POST request."));
    }
    if request.field("token") != Some(&token(Some(account))) {
        return Err(error("badtoken", "Invalid CSRF token."));
    }
    Ok(account.clone())
}

fn edit(state: &mut State, request: &Request, account: Option<&Account>) -> Answer {
    let account = match may_change(request, account) {
        Ok(account) => account,
        Err(answer) => return answer,
    };
    let edit = Edit {
        title: request.field("title").unwrap_or_default().replace('_', " "),
        text: request.field("text").unwrap_or_default().to_owned(),
        summary: request.field("summary").unwrap_or_default().to_owned(),
        user: account.name,
        consumer: super::api::application(state, request),
        user_agent: request.seen().user_agent,
    };
    let title = edit.title.clone();
    state.edits.push(edit.clone());
    state.pages.insert(title.clone(), edit);
    said(&json!({ "edit": {
        "result": "Success", "pageid": 1, "title": title, "contentmodel": "wikitext", "oldrevid": 0, "newrevid": 7,
        "newtimestamp": MOMENT,
    } }))
}

/// What modules there are, as far as programs look.
fn modules(request: &Request) -> Vec<Value> {
    let asked = request.field("modules").unwrap_or_default();
    asked.split('|').map(module).collect()
}

const QUERY: [(&str, &[&str]); 3] = [
    (
        "prop",
        &[
            "info",
            "templates",
            "links",
            "revisions",
            "imageinfo",
            "categoryinfo",
            "pageprops",
            "categories",
        ],
    ),
    ("list", &["allpages", "allusers", "users", "watchlist"]),
    (
        "meta",
        &[
            "siteinfo",
            "userinfo",
            "tokens",
            "globaluserinfo",
            "notifications",
        ],
    ),
];

fn module(path: &str) -> Value {
    let name = path.rsplit('+').next().unwrap_or_default();
    let of_query = QUERY
        .iter()
        .find(|(_, names)| path.starts_with("query+") && names.contains(&name));
    let actions = ["edit", "paraminfo", "query", "upload", "help"];
    let submodules = |parent: &str, names: &[&str]| -> Value {
        let all = names
            .iter()
            .map(|name| ((*name).to_owned(), Value::from(format!("{parent}{name}"))));
        Value::Object(all.collect())
    };
    let (prefix, group, parameters) = match (path, of_query) {
        ("main", _) => (
            "",
            "",
            json!([{ "name": "action", "type": actions, "submodules": submodules("", &actions) }]),
        ),
        ("query", _) => {
            let mut all: Vec<Value> = QUERY
                .iter()
                .map(|(kind, names)| {
                    json!({ "name": kind, "type": names, "submodules": submodules("query+", names), "limit": 50, "multi": "" })
                })
                .collect();
            all.push(json!({ "name": "generator", "type": ["allpages"], "submodules": submodules("query+", &["allpages"]) }));
            ("", "action", all.into())
        }
        ("query+tokens", _) => (
            "",
            "meta",
            json!([{ "name": "type", "type": ["createaccount", "csrf", "login", "patrol", "rollback", "userrights", "watch"], "multi": "" }]),
        ),
        ("query+siteinfo", _) => (
            "si",
            "meta",
            json!([{ "name": "prop", "type": [], "multi": "" }]),
        ),
        ("query+userinfo", _) => (
            "ui",
            "meta",
            json!([{ "name": "prop", "type": [], "multi": "" }]),
        ),
        ("query+revisions", _) => (
            "rv",
            "prop",
            json!([{ "name": "slots", "type": ["main"], "multi": "" }, { "name": "prop", "type": [], "multi": "" }]),
        ),
        ("query+info", _) => (
            "in",
            "prop",
            json!([{ "name": "prop", "type": ["protection"], "multi": "" }]),
        ),
        ("query+allpages", _) => (
            "ap",
            "list",
            json!([{ "name": "limit", "type": "limit", "max": 500, "highmax": 5000, "default": 10 }]),
        ),
        (_, Some((kind, _))) => ("", *kind, json!([])),
        ("edit" | "upload", None) => (
            "",
            "action",
            json!([
                { "name": "title", "type": "string" }, { "name": "token", "type": "string", "tokentype": "csrf" },
                { "name": "watchlist", "type": ["nochange", "preferences", "unwatch", "watch"] }, { "name": "tags", "type": [], "multi": "" },
            ]),
        ),
        ("paraminfo" | "help", None) => ("", "action", json!([])),
        _ => return json!({ "name": name, "missing": "" }),
    };
    let mut module = json!({ "name": name, "path": path, "group": group, "prefix": prefix, "parameters": parameters, "classname": "" });
    if path == "edit" || path == "upload" {
        module["mustbeposted"] = "".into();
        module["writerights"] = "".into();
    }
    module
}
