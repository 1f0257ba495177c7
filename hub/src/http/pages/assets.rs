//! The few files that pages load: one stylesheet, one script, the logo. They are part of the program.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::error::Failure;

const CSS: &str = include_str!("../assets/holt.css");
const SCRIPT: &str = include_str!("../assets/holt.js");
const LOGO: &str = include_str!("../assets/logo.svg");

macro_rules! versioned {
    ($function:ident, $doc:literal, $path:literal, $text:expr) => {
        #[doc = $doc]
        pub(super) fn $function() -> &'static str {
            static URL: LazyLock<String> = LazyLock::new(|| {
                format!(concat!($path, "?v={}"), &crate::secret::hash($text)[..12])
            });
            &URL
        }
    };
}
versioned!(
    css_url,
    "The stylesheet; its address changes with its text.",
    "/hub/static/holt.css",
    CSS
);
versioned!(
    script_url,
    "The script; its address changes with its text.",
    "/hub/static/holt.js",
    SCRIPT
);
versioned!(
    icon_url,
    "The logo; its address changes with its text.",
    "/hub/static/logo.svg",
    LOGO
);

/// `GET /hub/static/...`.
pub(in crate::http) async fn file(
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let (kind, text) = match name.as_str() {
        "holt.css" => ("text/css; charset=utf-8", CSS),
        "holt.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "logo.svg" => ("image/svg+xml", LOGO),
        _ => return Err(Failure::not_found()),
    };
    let keep = if query.iter().any(|(key, _)| key == "v") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    Ok((
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)],
        text,
    )
        .into_response())
}

/// `GET /hub/logo`.
pub(in crate::http) async fn logo() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, LOGO).into_response()
}

/// `GET /robots.txt`: nothing here is for search engines.
pub(in crate::http) async fn robots() -> Response {
    let mut response = (StatusCode::OK, "User-agent: *\nDisallow: /\n").into_response();
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=86400"),
    );
    response
}
