//! What the options come to: each checked, and all of them together, before anything is opened.

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error_target::ErrorTarget;
use super::listeners::Place;
use super::options::{Forwarding, Listening, Options};
use super::pages::{Directory, Own};
use super::redirect::Redirect;
use super::routes::{Routes, Rules};
use super::{StartError, log};
use crate::http::{Forwarded, Pages, Settings};
use crate::table::Target;
use crate::tls::{self, Clients, Files, Servers, Versions};

const DEFAULT_PORT: u16 = 8000;
const DEFAULT_API_PORT: u16 = 8001;
const TOKEN: &str = "CONFIGPROXY_AUTH_TOKEN";
const TOKEN_FILE: &str = "CONFIGPROXY_AUTH_TOKEN_FILE";

/// Everything that a start needs.
pub(super) struct Plan {
    pub(super) public: Place,
    pub(super) api: Place,
    pub(super) metrics: Option<Place>,
    pub(super) redirect: Option<(Place, Redirect)>,
    pub(super) public_tls: Option<TlsAcceptor>,
    pub(super) api_tls: Option<TlsAcceptor>,
    pub(super) token: Option<SecretString>,
    pub(super) routes: Arc<Routes>,
    pub(super) default_target: Option<String>,
    pub(super) pid_file: Option<PathBuf>,
}

fn refuse(words: impl Into<String>) -> StartError {
    StartError::Options(words.into())
}

fn given(path: Option<&PathBuf>) -> Option<&Path> {
    path.map(PathBuf::as_path)
        .filter(|path| !path.as_os_str().is_empty())
}

fn said(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl Plan {
    /// Reads the options, and completes what the edge is to do.
    pub(super) fn read(options: &Options, settings: &mut Settings) -> Result<Plan, StartError> {
        for (option, why) in options.without_effect() {
            tracing::warn!(target: log::TARGET, "{option} has no effect: {why}");
        }
        let Listening {
            socket,
            api_socket,
            metrics_socket,
            metrics_port,
            ..
        } = &options.listening;
        let listening = &options.listening;
        let port = listening
            .port
            .filter(|port| *port > 0)
            .unwrap_or(DEFAULT_PORT);
        let public = match given(socket.as_ref()) {
            Some(path) => Place::Unix(path.to_path_buf()),
            None => Place::tcp("--ip", said(listening.ip.as_ref()).unwrap_or(""), port)?,
        };
        if listening.ip.as_deref() == Some("*") {
            tracing::warn!(target: log::TARGET, "Interpreting ip='*' as all-interfaces. Preferred usage is 0.0.0.0 for all IPv4 or '' for all-interfaces.");
        }
        let api = match given(api_socket.as_ref()) {
            Some(path) => Place::Unix(path.to_path_buf()),
            None => {
                let host = listening.api_ip.as_deref().unwrap_or("localhost");
                Place::tcp("--api-ip", host, api_port(listening, &public, port)?)?
            }
        };
        let metrics = match (given(metrics_socket.as_ref()), metrics_port) {
            (Some(path), _) => Some(Place::Unix(path.to_path_buf())),
            (None, Some(port)) => {
                let host = listening.metrics_ip.as_deref().unwrap_or("");
                Some(Place::tcp("--metrics-ip", host, *port)?)
            }
            (None, None) => None,
        };

        let versions = versions(options);
        let public_tls = public_tls(options, versions)?;
        let api_tls = api_tls(options, versions)?;
        let upstream_tls = upstream_tls(options, versions)?;
        let redirect = redirect(listening, &public, port, public_tls.is_some())?;
        settings.secure = public_tls.is_some();
        settings.pages = Some(pages(&options.forwarding, &upstream_tls)?);
        settings.upstream_tls = Some(upstream_tls);
        apply(&options.forwarding, settings)?;

        let default_target = said(options.forwarding.default_target.as_ref());
        Ok(Plan {
            public,
            api,
            metrics,
            redirect,
            public_tls,
            api_tls,
            token: token()?,
            routes: Arc::new(routes(&options.forwarding)?),
            default_target: default_target.map(ToOwned::to_owned),
            pid_file: given(listening.pid_file.as_ref()).map(Path::to_path_buf),
        })
    }
}

fn api_port(listening: &Listening, public: &Place, port: u16) -> Result<u16, StartError> {
    match (listening.api_port.filter(|port| *port > 0), public) {
        (Some(port), _) => Ok(port),
        (None, Place::Unix(_)) => Ok(DEFAULT_API_PORT),
        (None, _) => port
            .checked_add(1)
            .ok_or_else(|| refuse("there is no port after --port 65535: give --api-port")),
    }
}

fn redirect(
    listening: &Listening,
    public: &Place,
    port: u16,
    secure: bool,
) -> Result<Option<(Place, Redirect)>, StartError> {
    let Some(from) = listening.redirect_port else {
        return Ok(None);
    };
    if !secure {
        return Err(refuse(
            "HTTPS redirection specified but certificates not provided: \
             --redirect-port needs --ssl-key and --ssl-cert",
        ));
    }
    if port == 80 || matches!(public, Place::Unix(_)) {
        tracing::warn!(target: log::TARGET, "--redirect-port has no effect with --port 80 or --socket");
        return Ok(None);
    }
    let told = listening.redirect_to.filter(|port| *port > 0);
    let redirect = Redirect {
        to: told.unwrap_or(port),
        written: told.is_some() || port != 443,
    };
    Ok(Some((Place::Everywhere(from), redirect)))
}

fn versions(options: &Options) -> Versions {
    let Some(name) = said(options.tls.public.ssl_protocol.as_ref()) else {
        return tls::EVERY_VERSION;
    };
    tls::versions(name).unwrap_or_else(|| {
        tracing::warn!(target: log::TARGET, "--ssl-protocol {name} is not spoken here: TLS 1.2 and 1.3 are");
        tls::EVERY_VERSION
    })
}

fn public_tls(options: &Options, versions: Versions) -> Result<Option<TlsAcceptor>, StartError> {
    let public = &options.tls.public;
    let passphrase = secret(tls::PUBLIC.passphrase)?;
    let files = Files {
        names: &tls::PUBLIC,
        key: given(public.ssl_key.as_ref()),
        cert: given(public.ssl_cert.as_ref()),
        ca: given(public.ssl_ca.as_ref()),
        passphrase: passphrase.as_ref(),
    };
    Ok(tls::acceptor(
        &files,
        asked(public.ssl_request_cert),
        versions,
    )?)
}

fn api_tls(options: &Options, versions: Versions) -> Result<Option<TlsAcceptor>, StartError> {
    let api = &options.tls.api;
    let passphrase = secret(tls::API.passphrase)?;
    let files = Files {
        names: &tls::API,
        key: given(api.api_ssl_key.as_ref()),
        cert: given(api.api_ssl_cert.as_ref()),
        ca: given(api.api_ssl_ca.as_ref()),
        passphrase: passphrase.as_ref(),
    };
    Ok(tls::acceptor(
        &files,
        asked(api.api_ssl_request_cert),
        versions,
    )?)
}

fn upstream_tls(options: &Options, versions: Versions) -> Result<TlsConnector, StartError> {
    let client = &options.tls.client;
    let files = Files {
        names: &tls::CLIENT,
        key: given(client.client_ssl_key.as_ref()),
        cert: given(client.client_ssl_cert.as_ref()),
        ca: given(client.client_ssl_ca.as_ref()),
        passphrase: None,
    };
    let servers = match client.insecure {
        true => Servers::Anybody,
        false => Servers::Certified,
    };
    Ok(tls::connector(&files, servers, versions)?)
}

fn asked(request_cert: bool) -> Clients {
    match request_cert {
        true => Clients::Certified,
        false => Clients::Anybody,
    }
}

fn pages(options: &Forwarding, tls: &TlsConnector) -> Result<Arc<dyn Pages>, StartError> {
    let target = said(options.error_target.as_ref());
    match (target, given(options.error_path.as_ref())) {
        (Some(_), Some(_)) => Err(refuse(
            "Cannot specify both error-target and error-path. Pick one.",
        )),
        (Some(url), None) => {
            let target = Target::parse(url).map_err(|cause| StartError::Target {
                option: "--error-target",
                cause,
            })?;
            Ok(Arc::new(ErrorTarget::new(target, Some(tls.clone()))))
        }
        (None, Some(path)) => Ok(Arc::new(Directory::at(path))),
        (None, None) => Ok(Arc::new(Own)),
    }
}

fn apply(options: &Forwarding, settings: &mut Settings) -> Result<(), StartError> {
    settings.include_prefix = !options.no_include_prefix;
    settings.prepend_path = !options.no_prepend_path;
    settings.change_origin = options.change_origin;
    settings.auto_rewrite = options.auto_rewrite;
    if options.no_x_forward {
        settings.forwarded = Forwarded::Off;
    }
    if let Some(scheme) = said(options.protocol_rewrite.as_ref()) {
        if !matches!(scheme, "http" | "https") {
            return Err(refuse(format!(
                "--protocol-rewrite takes http or https, not '{scheme}'"
            )));
        }
        settings.protocol_rewrite = Some(scheme.into());
    }
    for (name, value) in &options.custom_header {
        let headers = &mut settings.custom_headers;
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    let some = |time: Option<std::time::Duration>| time.filter(|time| !time.is_zero());
    settings.client_silence = some(options.timeout);
    settings.answer_silence = some(options.proxy_timeout);
    if let Some(idle) = some(options.keep_alive_timeout) {
        settings.idle = idle;
    }
    Ok(())
}

fn routes(options: &Forwarding) -> Result<Routes, StartError> {
    let rules = Rules {
        by_host: options.host_routing,
        lenient: options.lenient_targets,
    };
    match said(options.storage_backend.as_ref()) {
        None | Some("memory") => Ok(Routes::in_memory(rules)),
        Some(backend) => {
            let file = backend
                .strip_prefix("file:")
                .map(|path| path.strip_prefix("//").unwrap_or(path))
                .filter(|path| path.starts_with('/'))
                .ok_or_else(|| {
                    refuse(format!(
                        "--storage-backend '{backend}' is not there: \
                         there are 'memory' and 'file:/path/routes.json', and no modules of Node"
                    ))
                })?;
            let file = Path::new(file);
            // Written at once, so that a file which cannot be is found now and not at the first route.
            Routes::in_file(rules, file)
                .and_then(|routes| routes.keep_activity().map(|()| routes))
                .map_err(|cause| StartError::File {
                    option: "--storage-backend",
                    path: file.to_path_buf(),
                    cause,
                })
        }
    }
}

/// A secret of the environment; one that is no text is a mistake, not an absence.
fn secret(variable: Option<&'static str>) -> Result<Option<SecretString>, StartError> {
    let Some(variable) = variable else {
        return Ok(None);
    };
    match std::env::var(variable) {
        Ok(value) => Ok(Some(value)
            .filter(|value| !value.is_empty())
            .map(SecretString::from)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(refuse(format!("{variable} is no UTF-8 text"))),
    }
}

fn token() -> Result<Option<SecretString>, StartError> {
    let told = secret(Some(TOKEN))?;
    let Some(file) = std::env::var_os(TOKEN_FILE).filter(|file| !file.is_empty()) else {
        return Ok(told);
    };
    if told.is_some() {
        return Err(refuse(format!(
            "{TOKEN} and {TOKEN_FILE} are both set: take one away"
        )));
    }
    let path = PathBuf::from(file);
    let text = std::fs::read_to_string(&path).map_err(|cause| StartError::File {
        option: TOKEN_FILE,
        path: path.clone(),
        cause,
    })?;
    match text.trim() {
        "" => Err(refuse(format!("{TOKEN_FILE}: {} is empty", path.display()))),
        token => Ok(Some(SecretString::from(token))),
    }
}
