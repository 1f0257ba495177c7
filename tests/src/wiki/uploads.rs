//! `action=upload`: a file at once, or in pieces that are stashed under a key and published by it, as `ApiUpload` goes about it.

use std::collections::HashMap;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::accounts::Account;
use super::answer::Answer;
use super::pages::{MOMENT, error, error_with, may_change, said};
use super::request::Request;
use super::state::State;

/// Pieces are no smaller, but for the last one: `$wgMinUploadChunkSize`.
pub(super) const SMALLEST: usize = 1024;

/// A file that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Who did it.
    pub user: String,
    /// In how many pieces it came.
    pub pieces: usize,
}

/// Files that are not published, by their keys.
pub(super) type Stash = HashMap<String, Stashed>;

/// What is there so far.
pub(super) struct Stashed {
    user: String,
    content: Vec<u8>,
    pieces: usize,
    is_whole: bool,
}

pub(super) fn upload(state: &mut State, request: &Request, account: Option<&Account>) -> Answer {
    let account = match may_change(request, account) {
        Ok(account) => account,
        Err(answer) => return answer,
    };
    if request.part("chunk").is_some() {
        return piece(state, request, &account).unwrap_or_else(|refusal| refusal);
    }
    let found = match (request.part("file"), request.field("filekey")) {
        (Some(content), None) => Stashed {
            user: account.name.clone(),
            content: content.to_vec(),
            pieces: 1,
            is_whole: true,
        },
        (None, Some(key)) => match taken(state, key, &account) {
            Some(stashed) => stashed,
            None => {
                return error(
                    "stashedfilenotfound",
                    "Could not find the file in the stash: no such key.",
                );
            }
        },
        _ => {
            return error(
                "missingparam",
                "One of the parameters \"filekey\", \"file\" and \"url\" is required.",
            );
        }
    };
    if request.field("stash").is_some() {
        let key = kept(state, found);
        return said(&json!({ "upload": { "result": "Success", "filekey": key } }));
    }
    publish(state, request, &account, found)
}

/// A piece is added to those before it; the last one makes a whole, which has a key of its own.
fn piece(state: &mut State, request: &Request, account: &Account) -> Result<Answer, Answer> {
    let number = |name: &str| {
        let value = request.field(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| {
            error(
                "missingparam",
                &format!("The \"{name}\" parameter must be set."),
            )
        })
    };
    let (offset, size): (usize, usize) = (number("offset")?, number("filesize")?);
    let chunk = request.part("chunk").unwrap_or_default();
    if request.field("stash").is_none() {
        return Err(error(
            "missingparam",
            "The \"stash\" parameter must be set.",
        ));
    }
    let end = offset + chunk.len();
    if end > size {
        return Err(error("invalid-chunk", "The chunk is larger than the file."));
    }
    if chunk.len() < SMALLEST && end < size {
        let words = format!("Minimum chunk size is {SMALLEST} bytes for non-final chunks.");
        return Err(error("chunk-too-small", &words));
    }
    let key = match (request.field("filekey"), offset) {
        (None, 0) => kept(
            state,
            Stashed {
                user: account.name.clone(),
                content: Vec::with_capacity(size),
                pieces: 0,
                is_whole: false,
            },
        ),
        (None, _) => {
            return Err(error(
                "filekeyneeded",
                "A file key is needed for a nonzero offset.",
            ));
        }
        (Some(_), 0) => {
            return Err(error(
                "filekeynotallowed",
                "A file key is not allowed when the offset is 0.",
            ));
        }
        (Some(key), _) => key.to_owned(),
    };
    let known = state
        .stash
        .get_mut(&key)
        .filter(|stashed| stashed.user == account.name && !stashed.is_whole);
    let Some(stashed) = known else {
        return Err(error(
            "stashfailed",
            "Could not find the file in the stash.",
        ));
    };
    if stashed.content.len() != offset {
        let more = [("offset", Value::from(stashed.content.len()))];
        return Err(error_with("stashfailed", "Invalid chunk offset.", more));
    }
    stashed.content.extend_from_slice(chunk);
    stashed.pieces += 1;
    let there = stashed.content.len();
    if there < size {
        return Ok(said(
            &json!({ "upload": { "result": "Continue", "offset": there, "filekey": key } }),
        ));
    }
    stashed.is_whole = true;
    let Some(whole) = state.stash.remove(&key) else {
        return Err(error(
            "stashfailed",
            "Could not find the file in the stash.",
        ));
    };
    let key = kept(state, whole);
    Ok(said(
        &json!({ "upload": { "result": "Success", "offset": there, "filekey": key } }),
    ))
}

fn publish(state: &mut State, request: &Request, account: &Account, found: Stashed) -> Answer {
    let name = request
        .field("filename")
        .unwrap_or_default()
        .replace(' ', "_");
    let info = json!({
        "timestamp": MOMENT, "user": account.name, "userid": 1, "size": found.content.len(), "width": 0, "height": 0, "comment": "",
        "url": format!("{}/images/{name}", state.server), "descriptionurl": format!("{}/wiki/File:{name}", state.server),
        "sha1": "0000000000000000000000000000000000000000", "mime": "text/plain", "mediatype": "TEXT", "bitdepth": 0,
    });
    state.uploads.push(Upload {
        name: name.clone(),
        content: found.content,
        user: account.name.clone(),
        pieces: found.pieces,
    });
    said(&json!({ "upload": { "result": "Success", "filename": name, "imageinfo": info } }))
}

fn kept(state: &mut State, stashed: Stashed) -> String {
    let key = format!("{:016x}.{:06x}.1.png", rand::rng().random::<u64>(), 0xa1b2);
    state.stash.insert(key.clone(), stashed);
    key
}

fn taken(state: &mut State, key: &str, account: &Account) -> Option<Stashed> {
    let stashed = state.stash.get(key)?;
    if stashed.is_whole && stashed.user == account.name {
        state.stash.remove(key)
    } else {
        None
    }
}
