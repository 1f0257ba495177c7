//! `holt replicas`: the settings of the replica gateway, and its life as a process.

mod operate;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use holt_proxy::replica::{
    Account, BackendTls, ClientTls, Fetch, Limits, MapSource, SectionSettings, Settings as Gateway,
    Sharing,
};
use holt_spec::replicas::{STATUS_PATH, Status};
use tokio_util::sync::CancellationToken;

use self::operate::Operate;
use super::signals::Signals;
use super::{Failure, Place};
use crate::config::{ReplicaClientTls, ReplicaMap, ReplicaTls, Settings};
use crate::{socket, telemetry};

/// A dblist may take so long to come.
const FETCH: Duration = Duration::from_secs(20);
/// The longest dblist; that of all wikis has some kilobytes.
const LIST: usize = 1 << 20;

/// `holt replicas`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ReplicasArgs {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    operate: Option<Operate>,
}

pub(super) async fn run(arguments: ReplicasArgs) -> Result<(), Failure> {
    match arguments.operate {
        Some(operate) => operate.run().await,
        None => serve(arguments.place).await,
    }
}

async fn serve(place: Place) -> Result<(), Failure> {
    let settings = place.load()?;
    telemetry::start(&settings.log);
    settings.data_dir.prepare()?;
    if !settings.replicas.is_on() {
        return Err(Failure::usage(
            "there is no account for the wiki replicas: set replicas.accounts_file",
        ));
    }
    let socket = settings.data_dir.replicas_socket();
    let other = socket::ask::<Status>(&socket, STATUS_PATH, Duration::from_secs(1)).await;
    if other.is_ok() {
        return Err(Failure::taken(format!(
            "another replica gateway answers on {}: `holt up` runs one by itself",
            socket.display()
        )));
    }
    let gateway = gateway(&settings)?;
    let stop = CancellationToken::new();
    let signals = Signals::listen()?;
    let running = holt_proxy::replica::run(gateway, stop.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended?),
        () = signals.first() => stop.cancel(),
    }
    tokio::select! {
        ended = running => Ok(ended?),
        () = signals.second() => Ok(()),
    }
}

/// What cannot be used of the files that the settings name.
pub(super) fn mistakes(settings: &Settings) -> Vec<String> {
    if !settings.replicas.is_on() {
        return Vec::new();
    }
    match settings.replica_accounts() {
        Err(mistake) => vec![mistake],
        Ok(_) => gateway(settings).map_or_else(
            |failure| vec![failure.message],
            |gateway| holt_proxy::replica::mistakes(&gateway),
        ),
    }
}

fn gateway(settings: &Settings) -> Result<Gateway, Failure> {
    let replicas = &settings.replicas;
    let accounts = settings.replica_accounts();
    let accounts = accounts.map_err(|mistake| Failure::named_files(&[mistake]))?;
    let sections = settings
        .replica_sections
        .iter()
        .map(|(name, section)| SectionSettings {
            name: name.clone(),
            backends: section.backends.clone(),
            databases: section.databases.clone(),
            tls: match section.tls {
                ReplicaTls::Off => BackendTls::Off,
                ReplicaTls::Encrypt => BackendTls::Unverified,
                ReplicaTls::Verify => BackendTls::Verified(section.tls_ca_file.clone()),
            },
        });
    let sections: Vec<_> = sections.collect();
    let default_section = match (&replicas.default_section, sections.first()) {
        (Some(section), _) => section.clone(),
        (None, Some(first)) => first.name.clone(),
        (None, None) => String::new(),
    };
    Ok(Gateway {
        control: settings.data_dir.replicas_socket(),
        state_dir: settings.data_dir.replicas_state(),
        listen: replicas.listen.into_iter().collect(),
        sections,
        default_section,
        accounts: accounts
            .into_iter()
            .map(|(name, password)| Account { name, password })
            .collect(),
        sharing: if replicas.shared_account {
            Sharing::Everybody
        } else {
            Sharing::Never
        },
        map: match (replicas.map, replicas.dblists.as_deref()) {
            (ReplicaMap::Dblists, Some(place)) if place.starts_with('/') => {
                MapSource::Directory(PathBuf::from(place))
            }
            (ReplicaMap::Dblists, Some(place)) => MapSource::Address {
                base: place.to_owned(),
                fetch: fetch()?,
            },
            (ReplicaMap::Table, _) => MapSource::Table,
            (ReplicaMap::Dblists | ReplicaMap::Settings, _) => MapSource::Settings,
        },
        map_refresh: replicas.map_refresh,
        tls: match (
            replicas.tls,
            &replicas.tls_certificate_file,
            &replicas.tls_key_file,
        ) {
            (ReplicaClientTls::Files, Some(certificate), Some(key)) => ClientTls::Files {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            (ReplicaClientTls::Own, ..) => ClientTls::Own,
            (ReplicaClientTls::Off | ReplicaClientTls::Files, ..) => ClientTls::Off,
        },
        limits: Limits {
            connections: replicas.connections,
            queue: replicas.queue,
            queue_timeout: replicas.queue_timeout,
            statement_timeout: replicas.statement_timeout,
            result_bytes: replicas.result_limit.map(|size| size.bytes()),
            statement_bytes: usize::try_from(replicas.statement_limit.bytes()).unwrap_or(64 << 20),
            idle_timeout: replicas.idle_timeout,
            slow: replicas.slow,
            connect_timeout: replicas.connect_timeout,
        },
        check_interval: replicas.check_interval,
        max_lag: replicas.max_lag,
    })
}

fn fetch() -> Result<Fetch, Failure> {
    let client = reqwest::Client::builder()
        .timeout(FETCH)
        .user_agent(concat!("Holt/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::unavailable(format!("no addresses can be asked: {error}")))?;
    Ok(Arc::new(move |address: String| {
        let client = client.clone();
        async move {
            let asked = async {
                let answer = client.get(&address).send().await?;
                if answer.status() == reqwest::StatusCode::NOT_FOUND {
                    return Ok(None);
                }
                let mut answer = answer.error_for_status()?;
                let mut bytes = Vec::new();
                while let Some(more) = answer.chunk().await? {
                    bytes.extend_from_slice(&more);
                    if bytes.len() > LIST {
                        break;
                    }
                }
                Ok(Some(bytes))
            };
            let answered: Result<_, reqwest::Error> = asked.await;
            let bytes = answered.map_err(|error| crate::error_chain(&error))?;
            match bytes {
                Some(bytes) if bytes.len() > LIST => {
                    Err(format!("{address} is no dblist: it does not end"))
                }
                Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                None => Ok(None),
            }
        }
        .boxed()
    }))
}
