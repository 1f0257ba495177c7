//! What went wrong, as a page.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::{Html, Response};

use super::super::HubState;
use super::super::error::Failure;
use super::Frame;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    status: u16,
    title: &'static str,
    message: &'a str,
    advice: Option<&'a (&'static str, String)>,
    request_id: &'a str,
}

/// The page of a failure.
pub(in crate::http) fn error_page(state: &HubState, failure: &Failure, request_id: &str) -> String {
    let page = ErrorPage {
        frame: Frame::plain(state),
        status: failure.status.as_u16(),
        title: title(failure.status),
        message: &failure.message,
        advice: failure.advice.as_ref(),
        request_id,
    };
    // The plain sentence, should the template ever fail.
    page.render()
        .unwrap_or_else(|_| "Something went wrong.".to_owned())
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Nothing here",
        StatusCode::FORBIDDEN => "This is not open to you",
        StatusCode::TOO_MANY_REQUESTS => "Please wait a little",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            "Not at this moment"
        }
        StatusCode::CONFLICT => "That is taken",
        StatusCode::GONE => "This link is over",
        StatusCode::FAILED_DEPENDENCY => "The notebook server does not run",
        status if status.is_server_error() => "Something went wrong",
        _ => "That did not work",
    }
}

/// `GET /hub/error/{code}`: the page a proxy shows for a failure of its own.
pub(in crate::http) async fn by_code(
    State(state): State<HubState>,
    Path(code): Path<u16>,
) -> Response {
    let status = StatusCode::from_u16(code)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let failure = match status {
        StatusCode::NOT_FOUND => Failure::not_found(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Failure::new(
            status,
            "The notebook server does not answer. It may be starting, or it has stopped; your home page lets you start it again.",
        )
        .advise("Go to your home page", "/hub/home"),
        _ => Failure::new(status, "The request could not be answered."),
    };
    Html(error_page(&state, &failure, "")).into_response()
}

/// Unknown paths below the API.
pub(in crate::http) async fn unknown_api() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "Not Found")
}
