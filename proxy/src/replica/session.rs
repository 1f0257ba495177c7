//! The story of a client: it rests, says a command, is answered, and so on until it or somebody else ends it.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use mysql_common::constants::{CapabilityFlags, StatusFlags};

use super::Gateway;
use super::answer::{Walk, Wanted};
use super::hello;
use super::login::{Entered, prove, unknown_database};
use super::memory::{Memory, PREPARED};
use super::packet::{self, Reader, SqlError};
use super::reach::{Holds, Link, abandon, dismiss, reach};
use super::relay::{End, Exchange, Why};
use super::sections::{Place as Home, Section};
use super::sessions::{Order, Place, Running, shown};
use super::statement::{self, Kind, Sent, Statement};
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
}

/// What a command is sent on as.
struct Request<'a> {
    wanted: Wanted,
    parts: &'a [&'a [u8]],
    /// What is shown of it; a statement has one.
    text: Option<String>,
    came: u8,
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
            // Boxed: what a command needs, a client that rests does not hold.
            match Box::pin(self.turn()).await {
                Ok(Then::GoOn) => self.gateway.sessions.rests(&self.place.session),
                Ok(Then::Leave) => break,
                Err(error) => {
                    tracing::debug!(%error, "A client's connection ended");
                    break;
                }
            }
        }
        if let Some(link) = self.link.take() {
            dismiss(&self.gateway, *link);
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
        let mut command = crate::http::take_head();
        let mut part = Part::default();
        let most = self.gateway.settings.limits.statement_bytes;
        let session = Arc::clone(&self.place.session);
        let came = poll_fn(|cx| {
            if let Poll::Ready(came) = self.client.poll_command(cx, &mut command, &mut part, most) {
                return Poll::Ready(Ok(came));
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

    async fn answer(&mut self, whole: &[u8], came: u8) -> Result<Then, WireError> {
        let Some((code, body)) = whole.split_first() else {
            return self
                .refuse(came, &SqlError::new(1047, b"08S01", "Unknown command"))
                .await;
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
                self.client.write(&out).await?;
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
                    self.client.write(&out).await?;
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

    async fn query(&mut self, text: &[u8], came: u8) -> Result<Then, WireError> {
        let sections = &self.gateway.sections;
        let read = statement::read(text, Sent::Text, self.memory.backslash(), |name| {
            sections.is_routed(name)
        });
        let statement = match read {
            Ok(statement) => statement,
            Err(error) => return self.refuse(came, &error).await,
        };
        match statement.kind {
            Kind::Use(database) => return self.use_database(database, came).await,
            Kind::Kill {
                connection,
                query_only,
            } => {
                let user = self.place.session.granted.grant.user;
                if self.gateway.sessions.kill(user, connection, query_only) {
                    return self.say_ok(came).await;
                }
                let error = SqlError::new(
                    1094,
                    b"HY000",
                    format!(
                        "Unknown thread id: {connection}. Only connections of your own can be ended, by the number that the connection was greeted with"
                    ),
                );
                return self.refuse(came, &error).await;
            }
            _ => {}
        }
        if let Err(error) = self.go_where_it_belongs(&statement).await {
            return self.tell_failure(came, error).await;
        }
        let granted = Arc::clone(&self.place.session.granted);
        let request = Request {
            wanted: Wanted::Results,
            parts: &[&[command::QUERY], granted.comment.as_bytes(), text],
            text: Some(shown(text)),
            came,
        };
        let (then, walk) = self.exchange(request).await?;
        if walk.is_some() {
            self.memory.pin(statement.pin);
            match statement.kind {
                Kind::Set(names) => self.memory.set(names, text),
                Kind::Begin => self.memory.begin(),
                Kind::End => self.memory.end(),
                Kind::Read | Kind::Use(_) | Kind::Kill { .. } => {}
            }
        }
        Ok(then)
    }

    async fn prepare(&mut self, text: &[u8], came: u8) -> Result<Then, WireError> {
        let sections = &self.gateway.sections;
        let read = statement::read(text, Sent::Prepare, self.memory.backslash(), |name| {
            sections.is_routed(name)
        });
        let statement = match read {
            Ok(_) if self.memory.prepared.len() >= PREPARED => {
                let error = SqlError::new(
                    1461,
                    b"42000",
                    format!("A connection may have {PREPARED} prepared statements; close some"),
                );
                return self.refuse(came, &error).await;
            }
            Ok(statement) => statement,
            Err(error) => return self.refuse(came, &error).await,
        };
        if let Err(error) = self.go_where_it_belongs(&statement).await {
            return self.tell_failure(came, error).await;
        }
        let granted = Arc::clone(&self.place.session.granted);
        let request = Request {
            wanted: Wanted::Prepared,
            parts: &[&[command::STMT_PREPARE], granted.comment.as_bytes(), text],
            text: Some(shown(text)),
            came,
        };
        let (then, walk) = self.exchange(request).await?;
        if let Some(id) = walk.and_then(|walk| walk.prepared) {
            self.memory.prepared.insert(id, shown(text));
            self.memory.pin(statement.pin);
        }
        Ok(then)
    }

    async fn execute(&mut self, command: &[u8], came: u8) -> Result<Then, WireError> {
        let id = Reader(&command[1..]).u32();
        // All ones is the one prepared last.
        let text = match id {
            Some(u32::MAX) => self.memory.prepared.values().next().cloned(),
            Some(id) => self.memory.prepared.get(&id).cloned(),
            None => None,
        };
        let Some(text) = text else {
            return self.refuse(came, &unknown_prepared()).await;
        };
        let request = Request {
            wanted: Wanted::Results,
            parts: &[command],
            text: Some(text),
            came,
        };
        Ok(self.exchange(request).await?.0)
    }

    async fn of_prepared(
        &mut self,
        wanted: Wanted,
        command: &[u8],
        came: u8,
    ) -> Result<Then, WireError> {
        let is_known = Reader(&command[1..])
            .u32()
            .is_some_and(|id| self.memory.prepared.contains_key(&id));
        if !is_known {
            return self.refuse(came, &unknown_prepared()).await;
        }
        let request = Request {
            wanted,
            parts: &[command],
            text: None,
            came,
        };
        Ok(self.exchange(request).await?.0)
    }

    /// A command that has no answer. Without a backend there is nothing that it could be about.
    async fn unanswered(&mut self, command: &[u8]) -> Result<Then, WireError> {
        if let Some(link) = &mut self.link {
            let mut out = Vec::with_capacity(command.len() + 8);
            packet::write(&mut out, 0, &[command]);
            if link.backend.wire.write(&out).await.is_err() {
                // The next one that is answered says so.
                tracing::debug!("A backend is gone");
            }
        }
        Ok(Then::GoOn)
    }

    async fn fields(&mut self, command: &[u8], came: u8) -> Result<Then, WireError> {
        let nothing = Statement {
            kind: Kind::Read,
            databases: Vec::new(),
            pin: None,
        };
        if let Err(error) = self.go_where_it_belongs(&nothing).await {
            return self.tell_failure(came, error).await;
        }
        let request = Request {
            wanted: Wanted::Definitions,
            parts: &[command],
            text: None,
            came,
        };
        Ok(self.exchange(request).await?.0)
    }

    /// Chooses the default database.
    async fn use_database(&mut self, database: String, came: u8) -> Result<Then, WireError> {
        if let Some(error) = unknown_database(&self.gateway, &database) {
            return self.refuse(came, &error).await;
        }
        let home = self.gateway.sections.place(&database);
        if let (Home::In(section), Some(link)) = (&home, &self.link)
            && link.section.name != section.name
            && let Some(error) = self.memory.kept(&link.section.name, &section.name)
        {
            return self.refuse(came, &error).await;
        }
        let before = std::mem::replace(&mut self.memory.database, database);
        let stays = match (&home, &self.link) {
            (Home::In(section), Some(link)) => link.section.name == section.name,
            (_, link) => link.is_some(),
        };
        if !stays {
            let target = match home {
                Home::In(section) => section,
                _ => Arc::clone(self.gateway.sections.default()),
            };
            if let Err(error) = self.go(&target).await {
                self.memory.database = before;
                return self.tell_failure(came, error).await;
            }
            return self.say_ok(came).await;
        }
        let database = self.memory.database.clone();
        let request = Request {
            wanted: Wanted::Word,
            parts: &[&[command::INIT_DB], database.as_bytes()],
            text: None,
            came,
        };
        let (then, walk) = self.exchange(request).await?;
        match (&mut self.link, walk) {
            (Some(link), Some(_)) => link.database = database,
            _ => self.memory.database = before,
        }
        Ok(then)
    }

    /// As fresh, with the same user and database.
    fn reset(&mut self) {
        if let Some(link) = self.link.take() {
            dismiss(&self.gateway, *link);
        }
        self.memory.forget();
    }

    async fn change_user(&mut self, body: &[u8], came: u8) -> Result<Then, WireError> {
        let Some(told) = hello::read_change_user(body, self.capabilities) else {
            self.farewell(came, &SqlError::new(1047, b"08S01", "Unknown command"))
                .await;
            return Ok(Then::Leave);
        };
        let proven = prove(
            &self.gateway,
            &mut self.client,
            came,
            &told,
            None,
            self.peer,
        )
        .await?;
        let proven = match proven {
            Ok(proven) => proven,
            Err((sequence, error)) => {
                self.farewell(sequence, &error).await;
                return Ok(Then::Leave);
            }
        };
        let database = String::from_utf8_lossy(told.database).into_owned();
        if let Some(error) = unknown_database(&self.gateway, &database) {
            self.farewell(proven.sequence, &error).await;
            return Ok(Then::Leave);
        }
        if let Some(link) = self.link.take() {
            dismiss(&self.gateway, *link);
        }
        // Seat and account are a user's.
        self.holds = Holds::default();
        self.memory = Memory::new(database, hello::lawful_collation(told.collation));
        let id = self.place.session.id;
        let next = self.gateway.sessions.enter(id, proven.granted);
        // The number stays; the old place must not take the new one with it.
        std::mem::replace(&mut self.place, next).give_up();
        if !self.gateway.gate.holds(&self.place.session.granted) {
            return Ok(Then::Leave);
        }
        self.say_ok(proven.sequence).await
    }

    /// Sees to it that the statement meets a backend of its section.
    async fn go_where_it_belongs(&mut self, statement: &Statement) -> Result<(), Failure> {
        let sections = &self.gateway.sections;
        let mut wanted: Option<(Arc<Section>, &str)> = None;
        for database in &statement.databases {
            let Home::In(section) = sections.place(database) else {
                continue;
            };
            match &wanted {
                Some((known, first)) if known.name != section.name => {
                    return Err(Failure::Refused(across(
                        (first, &known.name),
                        (database, &section.name),
                    )));
                }
                Some(_) => {}
                None => wanted = Some((section, database)),
            }
        }
        let target = match wanted {
            Some((section, _)) => section,
            None => match sections.place(&self.memory.database) {
                Home::In(section) => section,
                Home::Everywhere | Home::Nowhere => match &self.link {
                    Some(link) => Arc::clone(&link.section),
                    None => Arc::clone(sections.default()),
                },
            },
        };
        self.go(&target).await
    }

    async fn go(&mut self, section: &Arc<Section>) -> Result<(), Failure> {
        if let Some(link) = &mut self.link {
            if link.section.name == section.name {
                if let Some(killing) = link.killing.take() {
                    // It must not meet the next statement.
                    let _ = killing.await;
                }
                return Ok(());
            }
            if let Some(error) = self.memory.kept(&link.section.name, &section.name) {
                return Err(Failure::Refused(error));
            }
        }
        if let Some(link) = self.link.take() {
            dismiss(&self.gateway, *link);
        }
        let session = Arc::clone(&self.place.session);
        let reaching = reach(
            &self.gateway,
            &session,
            &mut self.holds,
            &self.memory,
            self.capabilities,
            section,
        );
        let mut reaching = Box::pin(reaching);
        let client = &mut self.client;
        let reached = poll_fn(|cx| {
            if let Poll::Ready(reached) = Future::poll(reaching.as_mut(), cx) {
                return Poll::Ready(reached.map_err(Failure::Refused));
            }
            if let Poll::Ready(order) = session.poll_order(cx)
                && order.ends()
            {
                return Poll::Ready(Err(Failure::Order(order)));
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            Poll::Pending
        })
        .await?;
        drop(reaching);
        self.link = Some(Box::new(reached));
        Ok(())
    }

    /// Sends a command on and passes its answer back. The walk is there when all went well.
    async fn exchange(&mut self, request: Request<'_>) -> Result<(Then, Option<Walk>), WireError> {
        let Some(mut link) = self.link.take() else {
            let lost = SqlError::new(
                1158,
                b"08S01",
                "The connection to the replica server was lost",
            );
            return Ok((self.refuse(request.came, &lost).await?, None));
        };
        let gateway = Arc::clone(&self.gateway);
        let session = Arc::clone(&self.place.session);
        let grant = &session.granted.grant;
        let limits = &gateway.settings.limits;
        let limit = grant
            .limits
            .statement_seconds
            .map_or(limits.statement_timeout, Duration::from_secs);
        let began = Instant::now();
        if let Some(text) = request.text {
            session.begin(Running {
                id: gateway.sessions.statement(),
                text,
                began,
                limit,
                section: Arc::clone(&link.section.name),
                database: self.memory.database.as_str().into(),
            });
        }
        let mut out = crate::http::take_head();
        let sent = packet::write(&mut out, 0, request.parts);
        let mut walk = Walk::after(request.wanted, link.backend.ends, request.came, sent);
        let most = grant.limits.result_bytes.or(limits.result_bytes);
        let mut exchange = Exchange::new(&gateway, &session, &mut self.client, &mut link, most);
        let end = exchange.run(&out, &mut walk).await;
        let stopped = exchange.stopped;
        crate::http::keep_head(out);
        let (running, _) = session.finish();
        if let Some(running) = running {
            gateway.account(&session, &running, matches!(end, End::Answered));
        }
        let sequence = walk.sequence();
        match end {
            End::Answered => {
                self.memory.answered(walk.status);
                self.link = Some(link);
                Ok((Then::GoOn, Some(walk)))
            }
            End::Refused(error) => {
                let error = match stopped {
                    Some(why) if is_interruption(error.code) => why_words(why, limit),
                    _ => self.own_words(error, &link),
                };
                if !is_fatal(error.code) {
                    self.link = Some(link);
                }
                Ok((self.refuse(sequence, &error).await?, None))
            }
            End::BackendGone(why) => {
                let name = Arc::clone(&link.section.name);
                abandon(&gateway, *link);
                let told = match stopped {
                    Some(why) => why_words(why, limit),
                    None => SqlError::new(
                        1158,
                        b"08S01",
                        format!(
                            "Lost connection to the replica server of {name} during the statement ({why})"
                        ),
                    ),
                };
                if !walk.is_between_packets() {
                    return Ok((Then::Leave, None));
                }
                if self.memory.keeps().is_some() {
                    // What was set in it is lost, so nothing may go on as if it were there.
                    self.farewell(sequence, &told).await;
                    return Ok((Then::Leave, None));
                }
                Ok((self.refuse(sequence, &told).await?, None))
            }
            End::ClientGone => {
                abandon(&gateway, *link);
                Ok((Then::Leave, None))
            }
            End::Ordered(order) => {
                abandon(&gateway, *link);
                if walk.is_between_packets() {
                    let words = match stopped {
                        Some(why) if !order.ends() => why_words(why, limit),
                        _ => order_words(order),
                    };
                    self.farewell(sequence, &words).await;
                }
                Ok((Then::Leave, None))
            }
        }
    }

    /// A backend's error where the reason is how wikis are spread, which the backend cannot know.
    fn own_words(&self, error: SqlError, link: &Link) -> SqlError {
        if error.code == 1046
            && !self.memory.database.is_empty()
            && let Home::In(home) = self.gateway.sections.place(&self.memory.database)
            && home.name != link.section.name
        {
            return SqlError::new(
                1105,
                b"HY000",
                format!(
                    "Holt: tables of two sections cannot be joined: the default database {} is in {}, the statement went to {}. Name the database of each table, or ask twice and join in your notebook",
                    self.memory.database, home.name, link.section.name
                ),
            );
        }
        error
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
        self.client.write(&out).await?;
        Ok(Then::GoOn)
    }

    /// The last that a client is told. One that does not take it is not waited for.
    async fn farewell(&mut self, sequence: u8, error: &SqlError) {
        let _ = tokio::time::timeout(FAREWELL, self.refuse(sequence, error)).await;
    }

    async fn say_ok(&mut self, sequence: u8) -> Result<Then, WireError> {
        let mut out = Vec::new();
        packet::write_ok(
            &mut out,
            sequence,
            self.memory.status - StatusFlags::SERVER_MORE_RESULTS_EXISTS,
            &[],
        );
        self.client.write(&out).await?;
        Ok(Then::GoOn)
    }
}

/// Why a statement does not get to a backend.
enum Failure {
    Refused(SqlError),
    ClientGone,
    Order(Order),
}

fn across((one, at): (&str, &str), (other, there): (&str, &str)) -> SqlError {
    SqlError::new(
        1105,
        b"HY000",
        format!(
            "Holt: tables of two sections cannot be joined: {one} is in {at}, {other} in {there}. Ask each by itself, and join in your notebook"
        ),
    )
}

fn unknown_prepared() -> SqlError {
    SqlError::new(1243, b"HY000", "Unknown prepared statement")
}

/// Whether a backend says with it that a statement was stopped.
fn is_interruption(code: u16) -> bool {
    matches!(code, 1317 | 1927 | 1969 | 3024)
}

/// Whether a backend ends the connection with it.
fn is_fatal(code: u16) -> bool {
    matches!(code, 1053 | 1927 | 1158..=1161 | 4031)
}

fn why_words(why: Why, limit: Duration) -> SqlError {
    match why {
        Why::Order(Order::StopSlow) => SqlError::new(
            1969,
            b"70100",
            format!(
                "Query execution was interrupted: it ran for {} s, the limit of one statement. Ask for less at a time, for example by ranges of page_id",
                limit.as_secs()
            ),
        ),
        Why::Order(_) => SqlError::new(
            1317,
            b"70100",
            "Query execution was interrupted: somebody stopped it, you or an operator",
        ),
        Why::TooLarge(most) => SqlError::new(
            1105,
            b"HY000",
            format!(
                "Holt: the result has more than {most} bytes, the limit of one statement. Ask for less at a time"
            ),
        ),
    }
}

fn order_words(order: Order) -> SqlError {
    let words = match order {
        Order::StopSlow | Order::StopAsked => {
            "The statement was stopped and did not end, so the connection is closed"
        }
        Order::EndRevoked => "The notebook server that this connection belongs to has ended",
        Order::EndIdle => "The connection was not used for too long",
        Order::EndAsked => "Connection was killed",
        Order::EndAll => "The replica gateway ends; connect again in a moment",
    };
    SqlError::new(1927, b"70100", words)
}
