//! The story of a client: it rests, says a command, is answered, and so on until it or somebody else ends it.

mod exchange;
mod moves;
mod statements;
mod told;

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mysql_common::constants::{CapabilityFlags, StatusFlags};

use self::moves::Failure;
use super::Gateway;
use super::answer::Wanted;
use super::login::Entered;
use super::memory::Memory;
use super::packet::{self, Reader, SqlError};
use super::people::Seat;
use super::reach::{Holds, Link, dismiss};
use super::sessions::{Order, Place};
use super::wire::{Part, Wire, WireError};

/// The commands that are taken, by their numbers.
mod command {
    use mysql_common::constants::Command;

    pub(super) const QUIT: u8 = Command::COM_QUIT as u8;
    pub(super) const PING: u8 = Command::COM_PING as u8;
    pub(super) const QUERY: u8 = Command::COM_QUERY as u8;
    pub(super) const INIT_DB: u8 = Command::COM_INIT_DB as u8;
    pub(super) const STMT_PREPARE: u8 = Command::COM_STMT_PREPARE as u8;
    pub(super) const STMT_EXECUTE: u8 = Command::COM_STMT_EXECUTE as u8;
    pub(super) const STMT_FETCH: u8 = Command::COM_STMT_FETCH as u8;
    pub(super) const STMT_RESET: u8 = Command::COM_STMT_RESET as u8;
    pub(super) const STMT_SEND_LONG_DATA: u8 = Command::COM_STMT_SEND_LONG_DATA as u8;
    pub(super) const STMT_CLOSE: u8 = Command::COM_STMT_CLOSE as u8;
    pub(super) const FIELD_LIST: u8 = Command::COM_FIELD_LIST as u8;
    pub(super) const STATISTICS: u8 = Command::COM_STATISTICS as u8;
    pub(super) const RESET_CONNECTION: u8 = Command::COM_RESET_CONNECTION as u8;
    pub(super) const CHANGE_USER: u8 = Command::COM_CHANGE_USER as u8;
    pub(super) const SET_OPTION: u8 = Command::COM_SET_OPTION as u8;
}

/// What a client is told last may take so long to be taken.
const FAREWELL: Duration = Duration::from_millis(200);
/// What it is told otherwise may take so long.
const WORD: Duration = Duration::from_secs(10);

/// A command that is longer needs room of its own.
const LARGE: usize = 1 << 20;
/// So many of them may one user send at once; more are read later.
const LARGE_AT_ONCE: u32 = 2;
/// So long is taken what a client sends that was told the last.
const REST: Duration = Duration::from_secs(1);

/// A client, and what belongs to it.
pub(crate) struct Talk {
    gateway: Arc<Gateway>,
    place: Place,
    client: Wire,
    peer: IpAddr,
    capabilities: CapabilityFlags,
    memory: Memory,
    holds: Holds,
    link: Option<Box<Link>>,
}

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Leave,
}

/// What wakes a client that rests.
enum Rest {
    Something,
    Gone,
    Order(Order),
    BackendMoved,
    /// Somebody waits for the account.
    AskedBack,
}

impl Talk {
    pub(crate) fn new(gateway: Arc<Gateway>, entered: Entered, peer: IpAddr) -> Self {
        Self {
            gateway,
            place: entered.place,
            client: entered.client,
            peer,
            capabilities: entered.capabilities,
            memory: Memory::new(entered.database, entered.collation),
            holds: Holds::default(),
            link: None,
        }
    }

    /// Serves the client to its end.
    pub(crate) async fn serve(mut self) {
        loop {
            self.client.restart_numbers();
            match self.rest().await {
                Rest::Something => {}
                Rest::Gone => break,
                Rest::Order(order) => {
                    self.farewell(0, &order_words(order)).await;
                    break;
                }
                Rest::AskedBack => {
                    self.give_back();
                    continue;
                }
                Rest::BackendMoved => {
                    // It ends connections that rest, or was restarted. Who left nothing there will not notice.
                    self.link = None;
                    if self.memory.keeps().is_some() {
                        let lost = SqlError::new(
                            1927,
                            b"70100",
                            "The replica server ended this connection, and what was set in it is lost",
                        );
                        self.farewell(0, &lost).await;
                        break;
                    }
                    continue;
                }
            }
            let session = Arc::clone(&self.place.session);
            // Boxed: what a command needs, a client that rests does not hold.
            let turned = {
                let mut turn = Box::pin(self.turn());
                tokio::select! {
                    biased;
                    turned = &mut turn => turned,
                    // It hears that it must end, and ends by itself; unless it waits for a client that does nothing.
                    () = session.outstayed() => Err(WireError::Gone),
                }
            };
            match turned {
                Ok(Then::GoOn) => {
                    self.place.session.pin(self.memory.keeps().is_some());
                    self.gateway.sessions.rests(&self.place.session);
                }
                Ok(Then::Leave) => break,
                Err(error) => {
                    tracing::debug!(%error, "A client's connection ended");
                    break;
                }
            }
        }
        self.leave_backend();
    }

    /// Lets the backend go, which runs nothing.
    fn leave_backend(&mut self) {
        if let Some(link) = self.link.take() {
            dismiss(&self.gateway, *link);
        }
    }

    /// Gives the account back that somebody waits for, unless what would be lost is held.
    fn give_back(&mut self) {
        if self.memory.keeps().is_none() {
            self.leave_backend();
            self.holds.leave_account();
        }
    }

    async fn rest(&mut self) -> Rest {
        poll_fn(|cx| {
            if let Poll::Ready(order) = self.place.session.poll_order(cx) {
                // A wish to stop a statement came after its end.
                if order.ends() {
                    return Poll::Ready(Rest::Order(order));
                }
                drop(self.place.session.finish());
            }
            if self.place.session.take_asked_back() {
                return Poll::Ready(Rest::AskedBack);
            }
            if !self.client.bytes().is_empty() {
                return Poll::Ready(Rest::Something);
            }
            match self.client.poll_more(cx) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Rest::Something),
                Poll::Ready(_) => return Poll::Ready(Rest::Gone),
                Poll::Pending => {}
            }
            if let Some(link) = &mut self.link
                && link.backend.wire.poll_more(cx).is_ready()
            {
                return Poll::Ready(Rest::BackendMoved);
            }
            Poll::Pending
        })
        .await
    }

    /// Takes one command and answers it.
    async fn turn(&mut self) -> Result<Then, WireError> {
        let _room = match packet::header(self.client.bytes()) {
            Some((length, _)) if length <= LARGE => None,
            _ => match self.room().await {
                Ok(room) => room,
                Err(order) => {
                    self.farewell(0, &order_words(order)).await;
                    return Ok(Then::Leave);
                }
            },
        };
        let mut command = crate::http::take_head();
        let mut part = Part::default();
        let most = self.gateway.settings.limits.statement_bytes;
        let session = Arc::clone(&self.place.session);
        let came = poll_fn(|cx| {
            if let Poll::Ready(came) = self.client.poll_command(cx, &mut command, &mut part, most) {
                return Poll::Ready(Ok(came));
            }
            if session.take_asked_back() {
                self.give_back();
            }
            match session.poll_order(cx) {
                Poll::Ready(order) if order.ends() => Poll::Ready(Err(order)),
                _ => Poll::Pending,
            }
        })
        .await;
        let then = match came {
            Ok(Ok(true)) => self.answer(&command, part.packets).await,
            Ok(Ok(false)) => Ok(Then::Leave),
            Ok(Err(error)) => {
                let told = match error {
                    WireError::OutOfOrder => {
                        Some(SqlError::new(1156, b"08S01", "Got packets out of order"))
                    }
                    WireError::TooLarge => Some(SqlError::new(
                        1153,
                        b"08S01",
                        format!("A statement may have {most} bytes at most"),
                    )),
                    _ => None,
                };
                if let Some(told) = told {
                    self.farewell(part.packets, &told).await;
                    self.pass_over_rest().await;
                }
                Err(error)
            }
            Err(order) => {
                self.farewell(part.packets, &order_words(order)).await;
                Ok(Then::Leave)
            }
        };
        crate::http::keep_head(command);
        then
    }

    /// Waits for room for a command that is large, so that one user's do not take all memory.
    async fn room(&mut self) -> Result<Option<Seat>, Order> {
        let (gateway, session) = (Arc::clone(&self.gateway), Arc::clone(&self.place.session));
        let user = session.granted.grant.user;
        let mut sitting = Box::pin(gateway.large.seat(user, LARGE_AT_ONCE));
        poll_fn(|cx| {
            if let Poll::Ready(order) = session.poll_order(cx)
                && order.ends()
            {
                return Poll::Ready(Err(order));
            }
            loop {
                match packet::header(self.client.bytes()) {
                    Some((length, _)) if length > LARGE => {
                        return Future::poll(sitting.as_mut(), cx).map(|seat| Ok(Some(seat)));
                    }
                    Some(_) => return Poll::Ready(Ok(None)),
                    None => match self.client.poll_more(cx) {
                        Poll::Ready(Ok(true)) => {}
                        // What it is, is found where the command is read.
                        Poll::Ready(_) => return Poll::Ready(Ok(None)),
                        Poll::Pending => return Poll::Pending,
                    },
                }
            }
        })
        .await
    }

    async fn answer(&mut self, whole: &[u8], came: u8) -> Result<Then, WireError> {
        let Some((code, body)) = whole.split_first() else {
            // No client says nothing; answered, a few bytes that were compressed would make millions of answers.
            self.farewell(came, &SqlError::new(1047, b"08S01", "Unknown command"))
                .await;
            return Ok(Then::Leave);
        };
        match *code {
            command::QUIT => Ok(Then::Leave),
            command::PING => self.say_ok(came).await,
            command::QUERY => self.query(body, came).await,
            command::INIT_DB => {
                let database = String::from_utf8_lossy(body).into_owned();
                self.use_database(database, came).await
            }
            command::STMT_PREPARE => self.prepare(body, came).await,
            command::STMT_EXECUTE => self.execute(whole, came).await,
            command::STMT_FETCH => self.of_prepared(Wanted::Rows, whole, came).await,
            command::STMT_RESET => self.of_prepared(Wanted::Word, whole, came).await,
            command::STMT_SEND_LONG_DATA => self.unanswered(whole).await,
            command::STMT_CLOSE => {
                if let Some(id) = Reader(body).u32() {
                    self.memory.prepared.remove(&id);
                }
                self.unanswered(whole).await
            }
            command::FIELD_LIST => self.fields(whole, came).await,
            command::STATISTICS => {
                let text = format!(
                    "Holt replica gateway  Connections: {}",
                    self.gateway.sessions.count()
                );
                let mut out = Vec::new();
                packet::write(&mut out, came, &[text.as_bytes()]);
                self.say(&out).await?;
                Ok(Then::GoOn)
            }
            command::RESET_CONNECTION => {
                self.reset();
                self.say_ok(came).await
            }
            command::CHANGE_USER => self.change_user(body, came).await,
            command::SET_OPTION => match Reader(body).u16() {
                Some(1) => {
                    let mut out = Vec::new();
                    let status = self.memory.status.bits().to_le_bytes();
                    packet::write(&mut out, came, &[&[packet::EOF, 0, 0], &status]);
                    self.say(&out).await?;
                    Ok(Then::GoOn)
                }
                _ => {
                    let error = SqlError::new(
                        1235,
                        b"42000",
                        "Several statements at once are not taken. Send them one by one",
                    );
                    self.refuse(came, &error).await
                }
            },
            _ => {
                let error = SqlError::new(
                    1047,
                    b"08S01",
                    "Unknown command: the replicas take statements that read",
                );
                self.refuse(came, &error).await
            }
        }
    }

    async fn tell_failure(&mut self, came: u8, failure: Failure) -> Result<Then, WireError> {
        match failure {
            Failure::Refused(error) => self.refuse(came, &error).await,
            Failure::ClientGone => Ok(Then::Leave),
            Failure::Order(order) => {
                self.farewell(came, &order_words(order)).await;
                Ok(Then::Leave)
            }
        }
    }

    async fn refuse(&mut self, sequence: u8, error: &SqlError) -> Result<Then, WireError> {
        let mut out = Vec::new();
        error.write(&mut out, sequence);
        self.say(&out).await?;
        Ok(Then::GoOn)
    }

    /// Says something of our own. Who does not take a few bytes for so long does not listen.
    async fn say(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        match tokio::time::timeout(WORD, self.client.write(bytes)).await {
            Ok(written) => written,
            Err(_) => Err(WireError::Gone),
        }
    }

    /// The last that a client is told. One that does not take it is not waited for.
    async fn farewell(&mut self, sequence: u8, error: &SqlError) {
        let _ = tokio::time::timeout(FAREWELL, self.refuse(sequence, error)).await;
    }

    /// Takes what a client is still sending, and forgets it: it reads what it was told only when it has sent all.
    async fn pass_over_rest(&mut self) {
        let rest = poll_fn(|cx| {
            loop {
                let count = self.client.bytes().len();
                self.client.consume(count);
                match self.client.poll_more(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let _ = tokio::time::timeout(REST, rest).await;
    }

    async fn say_ok(&mut self, sequence: u8) -> Result<Then, WireError> {
        let mut out = Vec::new();
        packet::write_ok(
            &mut out,
            sequence,
            self.memory.status - StatusFlags::SERVER_MORE_RESULTS_EXISTS,
            &[],
        );
        self.say(&out).await?;
        Ok(Then::GoOn)
    }
}

fn order_words(order: Order) -> SqlError {
    let words = match order {
        Order::StopSlow | Order::StopAsked => {
            "The statement was stopped and did not end, so the connection is closed"
        }
        Order::EndRevoked => "The notebook server that this connection belongs to has ended",
        Order::EndIdle => "The connection was not used for too long",
        Order::EndWanted => {
            "The connection rested with a transaction, a variable or a prepared statement, and others waited for its account"
        }
        Order::EndAsked => "Connection was killed",
        Order::EndAll => "The replica gateway ends; connect again in a moment",
    };
    SqlError::new(1927, b"70100", words)
}
