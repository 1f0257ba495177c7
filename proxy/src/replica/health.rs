//! Whether backends answer, how far they are behind, and whether the accounts can do no more than read.

use std::sync::Arc;
use std::time::Duration;

use super::Gateway;
use super::backend::{Backend, BackendError, Entry};
use super::privileges::{Granted, read};
use super::sections::{Health, Lag, Target};

/// Roles may be granted to roles; so many are followed.
const ROLES: usize = 32;
const ANSWER: Duration = Duration::from_secs(5);

/// Looks at a backend again and again, each time with the next account of the pool, so that each is examined there.
pub(crate) async fn watch(gateway: Arc<Gateway>, target: Arc<Target>) {
    // At the start every account is looked at before the backend is used with it.
    for number in 0..gateway.accounts.count() {
        let health = look(&gateway, &target, number).await;
        let is_up = health.up;
        target.set_health(health);
        if !is_up || gateway.stop.is_cancelled() {
            break;
        }
    }
    let mut number = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(gateway.settings.check_interval) => {}
            () = gateway.stop.cancelled() => return,
        }
        number = (number + 1) % gateway.accounts.count();
        let health = look(&gateway, &target, number).await;
        target.set_health(health);
    }
}

async fn look(gateway: &Gateway, target: &Target, number: usize) -> Health {
    let before = target.health();
    let account = gateway.accounts.get(number);
    let looked = async {
        target.clear(number, account).await?;
        let mut backend = target.dial.connect(account, Entry::OWN).await?;
        let found = examine(&mut backend, &account.name).await;
        let lag = lag(&mut backend, &target.section).await;
        backend.quit().await;
        Ok::<_, BackendError>((found?, lag))
    };
    match looked.await {
        Ok((found, lag)) => {
            if let Err(reason) = &found
                && target.examined(number) != Some(found.clone())
            {
                tracing::error!(backend = %target.dial.address, account = account.name, reason, "A replica account is not used");
            }
            target.set_examined(number, found);
            let mut trouble = target.refused_accounts();
            if lag == Lag::Stopped {
                let stopped = "replication does not run there, so what it shows gets older";
                trouble = Some(match trouble {
                    Some(more) => format!("{stopped}; {more}"),
                    None => stopped.to_owned(),
                });
            }
            Health {
                up: true,
                lag,
                trouble,
            }
        }
        // It is there, but full: who has a connection goes on, who has none waits.
        Err(BackendError::Refused { error, .. }) if is_full(error.code) => Health {
            up: before.up,
            lag: before.lag,
            trouble: Some(format!("{} has no connection left", target.dial.address)),
        },
        Err(BackendError::Refused { address, error }) if before.up && error.code == 1045 => {
            let reason = format!("{address} does not let account {} in", account.name);
            target.set_examined(number, Err(reason));
            Health {
                trouble: target.refused_accounts(),
                ..before
            }
        }
        Err(error) => Health {
            up: false,
            lag: Lag::Unknown,
            trouble: Some(crate_chain(&error)),
        },
    }
}

fn crate_chain(error: &BackendError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Whether an error says that a backend has no room: for anybody, or for this account.
pub(crate) fn is_full(code: u16) -> bool {
    matches!(code, 1040 | 1203 | 1226)
}

/// Whether an account can only read there; else why it is not used.
///
/// # Errors
/// When the backend does not answer.
pub(crate) async fn examine(
    backend: &mut Backend,
    account: &str,
) -> Result<Result<(), String>, BackendError> {
    let mut asked = 0;
    let mut roles: Vec<String> = Vec::new();
    let mut question = "SHOW GRANTS".to_owned();
    loop {
        let table = backend.ask(&question, ANSWER).await?;
        if table.rows.is_empty() {
            return Ok(Err(format!(
                "account {account}: what it may do is not told"
            )));
        }
        for line in table.rows.iter().filter_map(|row| row.first()?.as_deref()) {
            match read(line) {
                Granted::Harmless => {}
                Granted::Role(role) if roles.contains(&role) => {}
                Granted::Role(role) if roles.len() < ROLES => roles.push(role),
                Granted::Role(_) => {
                    return Ok(Err(format!("account {account} has too many roles")));
                }
                Granted::TooMuch(what) => {
                    return Ok(Err(format!(
                        "account {account} can do more than read: {what}. Take that away, or take the account out"
                    )));
                }
            }
        }
        let Some(role) = roles.get(asked) else {
            return Ok(Ok(()));
        };
        question = format!("SHOW GRANTS FOR `{}`", role.replace('`', "``"));
        asked += 1;
    }
}

/// How far the backend is behind, if it tells: by the replicas' own table, which counts from the first server on, or by what the server
/// says of its replication. An account needs `SLAVE MONITOR` (of MySQL `REPLICATION CLIENT`) for the latter.
async fn lag(backend: &mut Backend, section: &str) -> Lag {
    let section = section.replace(['\'', '\\'], "");
    let heartbeat = format!("SELECT lag FROM heartbeat_p.heartbeat WHERE shard = '{section}'");
    if let Ok(table) = backend.ask(&heartbeat, ANSWER).await
        && let Some(lag) = table.value(0, "lag").and_then(|lag| lag.parse().ok())
    {
        return Lag::Seconds(lag);
    }
    // MySQL has forgotten the old word, and old servers of MariaDB do not know the new one.
    for (question, column) in [
        ("SHOW REPLICA STATUS", "Seconds_Behind_Source"),
        ("SHOW SLAVE STATUS", "Seconds_Behind_Master"),
    ] {
        let Ok(table) = backend.ask(question, ANSWER).await else {
            continue;
        };
        if table.rows.is_empty() {
            return Lag::Unknown;
        }
        let told = table
            .value(0, column)
            .or_else(|| table.value(0, "Seconds_Behind_Master"));
        return match told.and_then(|told| told.parse().ok()) {
            Some(lag) => Lag::Seconds(lag),
            None => Lag::Stopped,
        };
    }
    Lag::Unknown
}
