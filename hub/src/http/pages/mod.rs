//! Pages for people: server-rendered, usable without script, one file each.

pub(super) mod admin;
pub(super) mod admin_users;
pub(super) mod assets;
pub(super) mod errors;
pub(super) mod health;
pub(super) mod home;
pub(super) mod link;
pub(super) mod login;
pub(super) mod mounts;
pub(super) mod not_running;
pub(super) mod password;
pub(super) mod permission;
pub(super) mod provider;
pub(super) mod replicas;
pub(super) mod sessions;
pub(super) mod spawn;
pub(super) mod visit;
pub(super) mod welcome;
pub(super) mod wiki;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::HubState;
use super::browser::Browser;
use super::error::Failure;

pub(super) use self::errors::error_page;

/// What stands around every page.
pub(super) struct Frame {
    hub_name: String,
    user: Option<String>,
    admin: bool,
    is_local_on: bool,
    has_replicas: bool,
    has_wikis: bool,
    announcement: Option<String>,
    xsrf: String,
    css: &'static str,
    script: &'static str,
    icon: &'static str,
}

impl Frame {
    /// For a browser, signed in or not.
    pub(super) fn of(state: &HubState, browser: &Browser) -> Self {
        Self {
            user: browser.user.as_ref().map(|user| user.name.clone()),
            admin: browser.user.as_ref().is_some_and(|user| user.admin),
            xsrf: browser.xsrf.clone(),
            ..Self::plain(state)
        }
    }

    /// For nobody in particular.
    pub(super) fn plain(state: &HubState) -> Self {
        Self {
            hub_name: state.settings.hub_name.clone(),
            user: None,
            admin: false,
            is_local_on: state.sign_in.is_local_on,
            has_replicas: state.replicas.is_some(),
            has_wikis: state.broker.is_some(),
            announcement: state.settings.announcement.clone(),
            xsrf: String::new(),
            css: assets::css_url(),
            script: assets::script_url(),
            icon: assets::icon_url(),
        }
    }
}

/// The page as an answer, with the cookies its forms need.
pub(super) fn page(
    browser: &Browser,
    status: StatusCode,
    template: &impl Template,
) -> Result<Response, Failure> {
    let html = template.render().map_err(Failure::internal)?;
    Ok(browser.answer((status, Html(html)).into_response()))
}

/// How long ago, in words.
pub(super) fn ago(at: Option<i64>, now: i64) -> String {
    let Some(at) = at else {
        return "never".to_owned();
    };
    let seconds = (now - at).max(0) / 1000;
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
