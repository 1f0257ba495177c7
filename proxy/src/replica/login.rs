//! A client at the door: greeting, TLS if it wants, and proof of who it is.

use std::net::IpAddr;
use std::sync::Arc;

use mysql_common::constants::{CapabilityFlags, StatusFlags};

use super::Gateway;
use super::grants::{Found, Granted};
use super::hello::{self, Answer, Hello, NATIVE, NONCE, SHA2};
use super::packet::{self, SqlError};
use super::passwords::{Verifiers, nonce};
use super::sections::Place as DatabasePlace;
use super::sessions::Place;
use super::wire::{Wire, WireError};
use crate::http::{PlainSocket, Socket};

/// What the gateway calls itself. The beginning is what MariaDB servers put before their version for old programs.
const VERSION: &str = "5.5.5-10.11.0-MariaDB-holt";

/// A client that is let in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) client: Wire,
    pub(crate) place: Place,
    pub(crate) capabilities: CapabilityFlags,
    pub(crate) collation: u8,
    pub(crate) database: String,
}

/// Who somebody proved to be.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) granted: Arc<Granted>,
    /// The number of the next packet.
    pub(crate) sequence: u8,
    /// The challenge that was answered.
    nonce: [u8; NONCE],
    is_native: bool,
}

/// Lets a client in, or tells it why not.
///
/// # Errors
/// When it is not let in; it was told, if it could be.
pub(crate) async fn enter(
    gateway: &Arc<Gateway>,
    socket: Socket,
    peer: IpAddr,
) -> Result<Entered, WireError> {
    let mut client = Wire::new(socket);
    let number = gateway.sessions.number();
    let challenge = nonce();
    let mut offered = hello::OFFERED;
    if gateway.tls.is_some() {
        offered |= CapabilityFlags::CLIENT_SSL;
    }
    let greeting = hello::greeting(VERSION, number, &challenge, offered);
    let mut out = Vec::new();
    packet::write(&mut out, 0, &[&greeting]);
    client.write(&out).await?;
    let mut sequence = 1;
    // A client may begin with TLS at once; those bytes are for TLS alone, and none of them may count as enciphered.
    let mut payload = client.first_packet(sequence).await?;
    let mut is_tls = false;
    if matches!(hello::read_answer(&payload), Some(Answer::Tls)) {
        client = Wire::new(encipher(gateway, client.take_socket()).await?);
        is_tls = true;
        sequence += 1;
        payload = client.packet(sequence).await?;
    }
    sequence += 1;
    let Some(Answer::Hello(told)) = hello::read_answer(&payload) else {
        let error = SqlError::new(
            1043,
            b"08S01",
            "Bad handshake: this program does not speak the protocol of MySQL 4.1 or later",
        );
        return refuse(
            &mut client,
            sequence,
            &error,
            "it does not answer the greeting",
        )
        .await;
    };
    let capabilities = told.capabilities & hello::OFFERED;
    let proven = match prove(gateway, &mut client, sequence, &told, Some(challenge), peer).await? {
        Ok(proven) => proven,
        Err((sequence, error)) => {
            return refuse(&mut client, sequence, &error, "it is not known").await;
        }
    };
    let database = String::from_utf8_lossy(told.database).into_owned();
    if let Some(error) = unknown_database(gateway, &database) {
        return refuse(
            &mut client,
            proven.sequence,
            &error,
            "its database is not known",
        )
        .await;
    }
    let grant = &proven.granted.grant;
    let most = gateway.connections_of(grant) + gateway.settings.limits.queue;
    if gateway.sessions.count_of(grant.user) >= most as usize {
        let error = SqlError::new(
            1203,
            b"42000",
            format!(
                "You have {most} connections already, over all your servers. Close some, or restart the kernels that hold them"
            ),
        );
        return refuse(
            &mut client,
            proven.sequence,
            &error,
            "it has too many connections",
        )
        .await;
    }
    let place = gateway.sessions.enter(number, Arc::clone(&proven.granted));
    // A revocation that came before this did not see it; so look once more.
    if !gateway.gate.holds(&proven.granted) {
        let error = denied(&told, peer);
        return refuse(&mut client, proven.sequence, &error, "its grant is over").await;
    }
    let mut info = Vec::new();
    if is_tls
        && proven.is_native
        && let Some(fingerprint) = &gateway.fingerprint
    {
        info = proven
            .granted
            .verifiers
            .certificate_proof(&proven.nonce, fingerprint);
    }
    let mut out = Vec::new();
    packet::write_ok(
        &mut out,
        proven.sequence,
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        &counted(&info),
    );
    client.write(&out).await?;
    if capabilities.contains(CapabilityFlags::CLIENT_COMPRESS) {
        client.compress();
    }
    Ok(Entered {
        client,
        place,
        capabilities,
        collation: hello::lawful_collation(told.collation),
        database,
    })
}

/// Bytes with their length before them; nothing where there are none.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Ok(length @ 1..=250) = u8::try_from(bytes.len()) {
        out.push(length);
        out.extend_from_slice(bytes);
    }
    out
}

async fn encipher(gateway: &Gateway, socket: Socket) -> Result<Socket, WireError> {
    let plain = match socket {
        Socket::Tcp(stream) => PlainSocket::Tcp(stream),
        Socket::Unix(stream) => PlainSocket::Unix(stream),
        Socket::Tls(_) | Socket::Gone => return Err(WireError::Nonsense("TLS within TLS")),
    };
    let Some(acceptor) = &gateway.tls else {
        return Err(WireError::Nonsense("TLS was not offered"));
    };
    let stream = acceptor.accept(plain).await?;
    Ok(Socket::Tls(Box::new(stream.into())))
}

async fn refuse<T>(
    client: &mut Wire,
    sequence: u8,
    error: &SqlError,
    why: &'static str,
) -> Result<T, WireError> {
    let mut out = Vec::new();
    error.write(&mut out, sequence);
    client.write(&out).await?;
    Err(WireError::Nonsense(why))
}

/// What is said of a database that is in no section.
pub(crate) fn unknown_database(gateway: &Gateway, database: &str) -> Option<SqlError> {
    if database.is_empty() || !matches!(gateway.sections.place(database), DatabasePlace::Nowhere) {
        return None;
    }
    let shown = packet::cut(database, 64);
    let with_suffix = format!("{database}_p");
    let hint = if gateway.sections.is_routed(&with_suffix) {
        format!("; its public view is {}", packet::cut(&with_suffix, 66))
    } else {
        String::new()
    };
    Some(SqlError::new(
        1049,
        b"42000",
        format!("Unknown database '{shown}'{hint}"),
    ))
}

fn denied(told: &Hello<'_>, peer: IpAddr) -> SqlError {
    let user = String::from_utf8_lossy(told.user);
    SqlError::new(
        1045,
        b"28000",
        format!(
            "Access denied for user '{}'@'{peer}'. Each start of a notebook server has credentials of its own, in ~/.my.cnf",
            packet::cut(&user, 80)
        ),
    )
}

/// Lets a client prove who it is: by what it sent with its hello, or by a challenge of its own.
///
/// # Errors
/// When the connection breaks; or, within, why it is not let in.
pub(crate) async fn prove(
    gateway: &Gateway,
    client: &mut Wire,
    mut sequence: u8,
    told: &Hello<'_>,
    challenge: Option<[u8; NONCE]>,
    peer: IpAddr,
) -> Result<Result<Proven, (u8, SqlError)>, WireError> {
    let name = String::from_utf8_lossy(told.user);
    let found = gateway.gate.find(&name);
    let nobody = Verifiers::nobody();
    let verifiers = match &found {
        Found::Somebody(granted) => &granted.verifiers,
        Found::Nobody | Found::NothingTold => &nobody,
    };
    let mut plugin = if told.plugin.is_empty() {
        NATIVE
    } else {
        told.plugin
    };
    let answered = match challenge {
        Some(challenge) if plugin == NATIVE && told.proof.len() == 20 => Some(challenge),
        Some(challenge) if plugin == SHA2 && told.proof.len() == 32 => Some(challenge),
        _ => None,
    };
    let (challenge, proof) = match answered {
        Some(challenge) => (challenge, told.proof.to_vec()),
        None => {
            plugin = if plugin == SHA2 { SHA2 } else { NATIVE };
            let challenge = nonce();
            let mut out = Vec::new();
            packet::write(
                &mut out,
                sequence,
                &[&[packet::EOF], plugin, &[0], &challenge, &[0]],
            );
            client.write(&out).await?;
            let proof = client.packet(sequence.wrapping_add(1)).await?;
            sequence = sequence.wrapping_add(2);
            (challenge, proof)
        }
    };
    let is_right = verifiers.accept(plugin, &challenge, &proof);
    let granted = match found {
        Found::Somebody(granted) if is_right => granted,
        Found::NothingTold => {
            let error = SqlError::new(
                1105,
                b"HY000",
                "Holt: the hub has not told this gateway yet who may come in. Try again in a moment",
            );
            return Ok(Err((sequence, error)));
        }
        Found::Somebody(_) | Found::Nobody => return Ok(Err((sequence, denied(told, peer)))),
    };
    if !granted.is_from(peer) {
        tracing::warn!(launch = granted.grant.launch, user = granted.grant.user, %peer, "Credentials of a notebook server were used from elsewhere, and refused");
        let error = SqlError::new(
            1045,
            b"28000",
            "These credentials work only in the notebook server that they were given to",
        );
        return Ok(Err((sequence, error)));
    }
    if plugin == SHA2 {
        // The quick way went well; the last word follows.
        let mut out = Vec::new();
        sequence = packet::write(&mut out, sequence, &[&[1, 3]]);
        client.write(&out).await?;
    }
    Ok(Ok(Proven {
        granted,
        sequence,
        nonce: challenge,
        is_native: plugin == NATIVE,
    }))
}
