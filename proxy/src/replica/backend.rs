//! The gateway's own client: a connection to a replica server, with an account of the pool.
//!
//! **Invariant:** the account's password leaves only as the proof of a challenge, or enciphered.

use std::sync::Arc;
use std::time::Duration;

use mysql_common::auth::plugins::{ChallengeResponsePlugin as _, Context, Response};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::packets::AuthPlugin;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::answer::{Ends, Step, Walk, Wanted};
use super::hello::{self, Greeting};
use super::packet::{self, EOF, ERR, HEADER, OK, Reader, SqlError};
use super::settings::Account;
use super::wire::{Wire, WireError};
use crate::http::{PlainSocket, Socket};

/// The largest answer to a question of our own.
const ANSWER: usize = 4 << 20;
/// An answer about connections that are to end.
const ENDING: Duration = Duration::from_secs(5);
/// Whether they ended is looked at so often, and so long after each other.
const ENDING_LOOKS: u32 = 40;
const ENDING_LOOK: Duration = Duration::from_millis(50);

/// Why there is no connection to a backend, or no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// It does not answer.
    #[error("{0} does not answer in time")]
    Silent(String),
    /// Nobody is there.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// Who.
        address: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It was there, and broke off.
    #[error("{address} broke the connection")]
    Broken {
        /// Who.
        address: String,
        /// Why.
        #[source]
        cause: WireError,
    },
    /// It says no.
    #[error("{address} refused: {error}")]
    Refused {
        /// Who.
        address: String,
        /// What it says.
        error: SqlError,
    },
    /// It speaks otherwise than is understood.
    #[error("{address} cannot be spoken with: {reason}")]
    Foreign {
        /// Who.
        address: String,
        /// How.
        reason: String,
    },
}

/// Where a backend is, and how it is spoken to.
#[derive(Clone)]
pub(crate) struct Dial {
    /// `host:port`.
    pub(crate) address: Arc<str>,
    /// TLS, where it is wanted.
    pub(crate) tls: Option<TlsConnector>,
    /// So long may it take.
    pub(crate) patience: Duration,
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dial").field(&self.address).finish()
    }
}

/// A connection to a backend.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) wire: Wire,
    /// What the backend calls the connection, for `KILL`.
    pub(crate) thread: u32,
    /// How its answers end.
    pub(crate) ends: Ends,
    address: Arc<str>,
}

/// What a backend is asked for at its door.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// What the client wished for, as far as it is passed on.
    pub(crate) capabilities: CapabilityFlags,
    pub(crate) collation: u8,
    /// The default database; empty is none.
    pub(crate) database: &'a str,
}

impl Entry<'_> {
    /// For questions of our own.
    pub(crate) const OWN: Self = Self {
        capabilities: CapabilityFlags::CLIENT_DEPRECATE_EOF,
        collation: hello::UTF8MB4,
        database: "",
    };
}

struct Proving<'a> {
    password: &'a [u8],
    nonce: &'a [u8],
    is_tls: bool,
}

impl<'a> Proving<'a> {
    fn of(account: &'a Account, nonce: &'a [u8], is_tls: bool) -> Self {
        Self {
            password: account.password.expose_secret().as_bytes(),
            nonce,
            is_tls,
        }
    }
}

impl Context for Proving<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }
    fn is_ipc_transport(&self) -> bool {
        false
    }
    fn is_tls_transport(&self) -> bool {
        self.is_tls
    }
    fn scramble(&self) -> &[u8] {
        self.nonce
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

/// The first proof of a password; what a client of this way sends first.
#[cfg(test)]
pub(crate) fn proof(plugin: &[u8], password: &str, nonce: &[u8]) -> Option<Vec<u8>> {
    let context = Proving {
        password: password.as_bytes(),
        nonce,
        is_tls: false,
    };
    let mut way = AuthPlugin::from_bytes(plugin).init().ok()?;
    match way.run(context, nonce).ok()? {
        Response::Next { packet } | Response::Last { packet } => packet,
    }
}

impl Dial {
    /// Connects and signs in.
    ///
    /// # Errors
    /// Why it could not, with what the backend said.
    pub(crate) async fn connect(
        &self,
        account: &Account,
        entry: Entry<'_>,
    ) -> Result<Backend, BackendError> {
        match timeout(self.patience, self.enter(account, entry)).await {
            Ok(entered) => entered,
            Err(_) => Err(BackendError::Silent(self.address.to_string())),
        }
    }

    async fn enter(&self, account: &Account, entry: Entry<'_>) -> Result<Backend, BackendError> {
        let address = || self.address.to_string();
        let broken = |cause| BackendError::Broken {
            address: address(),
            cause,
        };
        let foreign = |reason: &str| BackendError::Foreign {
            address: address(),
            reason: reason.to_owned(),
        };
        let stream = TcpStream::connect(&*self.address).await.map_err(|cause| {
            BackendError::Unreachable {
                address: address(),
                cause,
            }
        })?;
        let mut wire = Wire::new(Socket::from(PlainSocket::tcp(stream)));
        let first = wire.packet(0).await.map_err(broken)?;
        let greeting = self.read_greeting(&first)?;
        let mut wanted = entry.capabilities & hello::PASSED_ON
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_TRANSACTIONS
            | CapabilityFlags::CLIENT_MULTI_RESULTS
            | CapabilityFlags::CLIENT_PS_MULTI_RESULTS;
        if !entry.database.is_empty() {
            wanted |= CapabilityFlags::CLIENT_CONNECT_WITH_DB;
        }
        let needed = CapabilityFlags::CLIENT_DEPRECATE_EOF & wanted
            | CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH;
        if !greeting.capabilities.contains(needed) {
            return Err(foreign("it is too old"));
        }
        let mut sequence = 1;
        if let Some(tls) = &self.tls {
            if !greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
                return Err(foreign("it does not speak TLS, which the settings ask for"));
            }
            wanted |= CapabilityFlags::CLIENT_SSL;
            let mut out = Vec::new();
            let request = hello::tls_request(wanted, entry.collation);
            sequence = packet::write(&mut out, sequence, &[&request]);
            wire.write(&out).await.map_err(broken)?;
            wire = Wire::new(self.encipher(tls, wire.take_socket()).await?);
        }
        let mut nonce = greeting.nonce.clone();
        let is_tls = self.tls.is_some();
        // An unknown way is answered with another one; the server then says which it wants.
        let known = |plugin: &[u8]| {
            matches!(
                AuthPlugin::from_bytes(plugin),
                AuthPlugin::MysqlNativePassword | AuthPlugin::CachingSha2Password
            )
        };
        let plugin = if known(&greeting.plugin) {
            greeting.plugin.clone()
        } else {
            hello::NATIVE.to_vec()
        };
        let mut way = AuthPlugin::from_bytes(&plugin)
            .into_owned()
            .init()
            .map_err(|error| foreign(&error.to_string()))?;
        let first = way.run(Proving::of(account, &nonce, is_tls), &nonce);
        let first = first.map_err(|error| foreign(&error.to_string()))?;
        let (Response::Next { packet } | Response::Last { packet }) = first;
        let payload = hello::answer(
            wanted,
            entry.collation,
            &account.name,
            &packet.unwrap_or_default(),
            entry.database,
            &plugin,
        );
        let mut out = Vec::new();
        sequence = packet::write(&mut out, sequence, &[&payload]);
        wire.write(&out).await.map_err(broken)?;
        loop {
            let came = wire.packet(sequence).await.map_err(broken)?;
            sequence = sequence.wrapping_add(1);
            let challenge = match came.first() {
                Some(&OK) => {
                    if packet::status_of_ok(&came).is_some_and(|status| {
                        status.contains(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES)
                    }) {
                        return Err(foreign(
                            "its own sql_mode has NO_BACKSLASH_ESCAPES; take that away there, who wants it sets it",
                        ));
                    }
                    break;
                }
                Some(&ERR) => return Err(self.refused(&came)),
                Some(&EOF) => {
                    let mut reader = Reader(&came[1..]);
                    let plugin = AuthPlugin::from_bytes(reader.until_zero()).into_owned();
                    if matches!(
                        plugin,
                        AuthPlugin::MysqlOldPassword | AuthPlugin::MysqlClearPassword
                    ) {
                        return Err(foreign("it wants the password in a way that gives it away"));
                    }
                    way = plugin.init().map_err(|error| foreign(&error.to_string()))?;
                    nonce = reader.0.to_vec();
                    if nonce.last() == Some(&0) && nonce.len() > 20 {
                        nonce.pop();
                    }
                    nonce.clone()
                }
                Some(1) => came[1..].to_vec(),
                _ => return Err(foreign("its answer to the password makes no sense")),
            };
            let answered = way
                .run(Proving::of(account, &nonce, is_tls), &challenge)
                .map_err(|error| foreign(&error.to_string()))?;
            let (Response::Next { packet } | Response::Last { packet }) = answered;
            if let Some(payload) = packet {
                let mut out = Vec::new();
                sequence = packet::write(&mut out, sequence, &[&payload]);
                wire.write(&out).await.map_err(broken)?;
            }
        }
        let ends = if wanted.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
            Ends::Ok
        } else {
            Ends::Eof
        };
        Ok(Backend {
            wire,
            thread: greeting.connection,
            ends,
            address: Arc::clone(&self.address),
        })
    }

    fn read_greeting(&self, payload: &[u8]) -> Result<Greeting, BackendError> {
        if payload.first() == Some(&ERR) {
            return Err(self.refused(payload));
        }
        hello::read_greeting(payload).ok_or_else(|| BackendError::Foreign {
            address: self.address.to_string(),
            reason: "it does not greet as a MySQL server does".to_owned(),
        })
    }

    fn refused(&self, payload: &[u8]) -> BackendError {
        BackendError::Refused {
            address: self.address.to_string(),
            error: SqlError::read(payload)
                .unwrap_or_else(|| SqlError::new(1105, b"HY000", "an error that makes no sense")),
        }
    }

    async fn encipher(&self, tls: &TlsConnector, socket: Socket) -> Result<Socket, BackendError> {
        let unreachable = |cause| BackendError::Unreachable {
            address: self.address.to_string(),
            cause,
        };
        let host = self
            .address
            .rsplit_once(':')
            .map_or(&*self.address, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| unreachable(std::io::Error::other(error)))?;
        let plain = match socket {
            Socket::Tcp(stream) => PlainSocket::Tcp(stream),
            Socket::Unix(stream) => PlainSocket::Unix(stream),
            Socket::Tls(_) | Socket::Gone => {
                return Err(unreachable(std::io::ErrorKind::NotConnected.into()));
            }
        };
        let stream = tls.connect(name, plain).await.map_err(unreachable)?;
        Ok(Socket::Tls(Box::new(stream.into())))
    }
}

/// A small result: names of columns, and rows of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// A row's value by its column's name.
    pub(crate) fn value(&self, row: usize, column: &str) -> Option<&str> {
        let at = self
            .columns
            .iter()
            .position(|name| name.eq_ignore_ascii_case(column))?;
        self.rows.get(row)?.get(at)?.as_deref()
    }
}

impl Backend {
    /// Asks a question of our own, with the `statement` as it is.
    ///
    /// # Errors
    /// What the backend says, or that it is gone or answers too much.
    pub(crate) async fn ask(
        &mut self,
        statement: &str,
        patience: Duration,
    ) -> Result<Table, BackendError> {
        match timeout(patience, self.ask_patiently(statement)).await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::Silent(self.address.to_string())),
        }
    }

    async fn ask_patiently(&mut self, statement: &str) -> Result<Table, BackendError> {
        let address = self.address.to_string();
        let broken = |cause| BackendError::Broken {
            address: address.clone(),
            cause,
        };
        let mut out = Vec::new();
        packet::write(&mut out, 0, &[&[3], statement.as_bytes()]);
        self.wire.write(&out).await.map_err(broken)?;
        let mut walk = Walk::new(Wanted::Results, self.ends, 0);
        let mut answer = Vec::new();
        loop {
            if !std::future::poll_fn(|cx| self.wire.poll_more(cx))
                .await
                .map_err(broken)?
            {
                return Err(broken(WireError::Gone));
            }
            let mut bytes = self.wire.bytes().to_vec();
            let step = walk.step(&mut bytes);
            match step {
                Step::More(count) | Step::End(count) => {
                    answer.extend_from_slice(&bytes[..count]);
                    self.wire.consume(count);
                    if answer.len() > ANSWER {
                        return Err(broken(WireError::TooLarge));
                    }
                    if matches!(step, Step::End(_)) {
                        return read_table(&answer, self.ends)
                            .ok_or_else(|| broken(WireError::Nonsense("a result makes no sense")));
                    }
                }
                Step::Error(before, length) => {
                    let error = SqlError::read(&bytes[before + HEADER..before + length]);
                    self.wire.consume(before + length);
                    return Err(BackendError::Refused {
                        address,
                        error: error.unwrap_or_else(|| SqlError::new(1105, b"HY000", "?")),
                    });
                }
                Step::Broken(why) => return Err(broken(WireError::Nonsense(why))),
            }
        }
    }

    /// Takes leave; the server is quicker to forget a connection that does.
    pub(crate) async fn quit(mut self) {
        let quit = [1, 0, 0, 0, 1];
        let _ = timeout(Duration::from_secs(1), self.wire.write(&quit)).await;
    }
}

/// Ends every connection of an account there, and waits until they are gone, or for a while.
///
/// # Errors
/// When the backend does not answer, or does not let the account in.
pub(crate) async fn end_all_of(dial: &Dial, account: &Account) -> Result<(), BackendError> {
    let mut backend = dial.connect(account, Entry::OWN).await?;
    let mut left = 0;
    for _ in 0..ENDING_LOOKS {
        // An account that may not see others' is shown its own alone.
        let shown = backend.ask("SHOW PROCESSLIST", ENDING).await?;
        let others: Vec<u32> = (0..shown.rows.len())
            .filter(|row| shown.value(*row, "User") == Some(&account.name))
            .filter_map(|row| shown.value(row, "Id")?.parse().ok())
            .filter(|id| *id != backend.thread)
            .collect();
        left = others.len();
        if left == 0 {
            break;
        }
        for id in others {
            match backend.ask(&format!("KILL {id}"), ENDING).await {
                // Gone already, or somebody else's after all.
                Ok(_) | Err(BackendError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        tokio::time::sleep(ENDING_LOOK).await;
    }
    if left > 0 {
        tracing::warn!(backend = %dial.address, account = account.name, left, "Connections of an earlier gateway do not end");
    }
    backend.quit().await;
    Ok(())
}

/// Reads one text result out of its bytes.
fn read_table(bytes: &[u8], ends: Ends) -> Option<Table> {
    let mut rest = bytes;
    let mut next = || -> Option<&[u8]> {
        let (length, _) = packet::header(rest)?;
        let payload = rest.get(HEADER..HEADER + length)?;
        rest = &rest[HEADER + length..];
        Some(payload)
    };
    let mut table = Table::default();
    let first = next()?;
    if first.first() == Some(&OK) {
        return Some(table);
    }
    let columns = Reader(first).number()?;
    for _ in 0..columns {
        let mut reader = Reader(next()?);
        // Catalogue, schema, table, table's own name: then the name.
        for _ in 0..4 {
            reader.counted()?;
        }
        table
            .columns
            .push(String::from_utf8_lossy(reader.counted()?).into_owned());
    }
    if ends == Ends::Eof {
        next()?;
    }
    while let Some(payload) = next() {
        if payload.first() == Some(&EOF) && payload.len() < 100 {
            break;
        }
        let mut reader = Reader(payload);
        let mut row = Vec::with_capacity(table.columns.len());
        for _ in 0..columns {
            if reader.0.first() == Some(&0xFB) {
                reader.byte();
                row.push(None);
            } else {
                row.push(Some(
                    String::from_utf8_lossy(reader.counted()?).into_owned(),
                ));
            }
        }
        table.rows.push(row);
    }
    Some(table)
}
