//! TLS on each side.

use std::path::PathBuf;

use clap::Args;

use crate::values;

const ALWAYS: &str = "a certificate that is asked for is always checked";

/// TLS on each side.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(in crate::chp) struct Tls {
    #[command(flatten)]
    pub(in crate::chp) public: Public,
    #[command(flatten)]
    pub(in crate::chp) api: Api,
    #[command(flatten)]
    pub(in crate::chp) client: Client,
}

/// The public listener, and versions and ciphers of all sides.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "TLS for browsers")]
pub(in crate::chp) struct Public {
    /// The private key (PEM).
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) ssl_key: Option<PathBuf>,
    /// The certificate and its chain (PEM).
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) ssl_cert: Option<PathBuf>,
    /// Whose client certificates are believed (PEM, one or more).
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) ssl_ca: Option<PathBuf>,
    /// Browsers must show a certificate.
    #[arg(long)]
    pub(in crate::chp) ssl_request_cert: bool,
    /// Accepted; a certificate that is asked for is always checked.
    #[arg(long)]
    ssl_reject_unauthorized: bool,
    /// Speak one version only, on every side: TLSv1_2 or TLSv1_3.
    #[arg(long, value_name = "NAME")]
    pub(in crate::chp) ssl_protocol: Option<String>,
    /// Accepted; the ciphers are those of TLS 1.3 and the forward-secret AEAD ones of TLS 1.2.
    #[arg(long, value_name = "LIST")]
    ssl_ciphers: Option<String>,
    /// Accepted; there is no RC4.
    #[arg(long)]
    ssl_allow_rc4: bool,
    /// Accepted; there is no finite-field Diffie-Hellman.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    ssl_dhparam: Option<PathBuf>,
}

/// The REST API.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "TLS for the REST API")]
pub(in crate::chp) struct Api {
    /// The private key (PEM).
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) api_ssl_key: Option<PathBuf>,
    /// The certificate and its chain (PEM).
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) api_ssl_cert: Option<PathBuf>,
    /// Whose callers' certificates are believed (PEM, one or more).
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) api_ssl_ca: Option<PathBuf>,
    /// Callers must show a certificate.
    #[arg(long)]
    pub(in crate::chp) api_ssl_request_cert: bool,
    /// Accepted; a certificate that is asked for is always checked.
    #[arg(long)]
    api_ssl_reject_unauthorized: bool,
}

/// Connections to servers.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "TLS to servers")]
pub(in crate::chp) struct Client {
    /// The private key (PEM) to show to servers.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) client_ssl_key: Option<PathBuf>,
    /// The certificate and its chain (PEM) to show to servers.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) client_ssl_cert: Option<PathBuf>,
    /// Whose servers are believed (PEM, one or more). Default: the system's list.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) client_ssl_ca: Option<PathBuf>,
    /// Accepted; servers always show a certificate.
    #[arg(long)]
    client_ssl_request_cert: bool,
    /// Accepted; servers are always checked, unless --insecure.
    #[arg(long)]
    client_ssl_reject_unauthorized: bool,
    /// Servers are not checked: any certificate will do.
    #[arg(long)]
    pub(in crate::chp) insecure: bool,
}

impl Tls {
    /// Options that are there and change nothing, each with the reason.
    pub(super) fn without_effect(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let public = &self.public;
        let api = &self.api;
        let served = public.ssl_key.is_some() || public.ssl_cert.is_some();
        let api_served = api.api_ssl_key.is_some() || api.api_ssl_cert.is_some();
        let no_tls = "there is no --ssl-key and --ssl-cert";
        let no_api_tls = "there is no --api-ssl-key and --api-ssl-cert";
        [
            (
                "--ssl-ciphers",
                public.ssl_ciphers.is_some(),
                "only forward-secret AEAD ciphers are spoken",
            ),
            ("--ssl-allow-rc4", public.ssl_allow_rc4, "there is no RC4"),
            (
                "--ssl-dhparam",
                public.ssl_dhparam.is_some(),
                "there is no finite-field Diffie-Hellman",
            ),
            (
                "--ssl-request-cert",
                public.ssl_request_cert && !served,
                no_tls,
            ),
            (
                "--api-ssl-request-cert",
                api.api_ssl_request_cert && !api_served,
                no_api_tls,
            ),
            (
                "--ssl-reject-unauthorized",
                public.ssl_reject_unauthorized && !public.ssl_request_cert,
                ALWAYS,
            ),
            (
                "--api-ssl-reject-unauthorized",
                api.api_ssl_reject_unauthorized && !api.api_ssl_request_cert,
                ALWAYS,
            ),
            (
                "--client-ssl-reject-unauthorized",
                self.client.client_ssl_reject_unauthorized && self.client.insecure,
                "--insecure says the opposite",
            ),
        ]
        .into_iter()
        .filter_map(|(name, given, why)| given.then_some((name, why)))
    }
}
