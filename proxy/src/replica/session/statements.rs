//! Commands that are statements, or about prepared ones: read, sent where they belong, and remembered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::exchange::Request;
use super::{Talk, Then, command};
use crate::replica::answer::Wanted;
use crate::replica::memory::PREPARED;
use crate::replica::packet::{self, Reader, SqlError};
use crate::replica::sessions::shown;
use crate::replica::statement::{self, Kind, Sent, Statement};
use crate::replica::wire::WireError;

impl Talk {
    pub(super) async fn query(&mut self, text: &[u8], came: u8) -> Result<Then, WireError> {
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
            Kind::Databases(pattern) => return self.tell_databases(pattern, came).await,
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
                Kind::Read | Kind::Use(_) | Kind::Databases(_) | Kind::Kill { .. } => {}
            }
        } else if let Kind::Set(names) = &statement.kind
            && names.iter().any(|name| name == "sql_mode")
            && (names.len() > 1 || statement.pin.is_some())
        {
            // It may have been half done, and an error does not tell how backslashes are read now.
            if self.memory.keeps().is_some() {
                return Ok(Then::Leave);
            }
            self.leave_backend();
        }
        Ok(then)
    }

    pub(super) async fn prepare(&mut self, text: &[u8], came: u8) -> Result<Then, WireError> {
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

    pub(super) async fn execute(&mut self, command: &[u8], came: u8) -> Result<Then, WireError> {
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

    pub(super) async fn of_prepared(
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
    pub(super) async fn unanswered(&mut self, command: &[u8]) -> Result<Then, WireError> {
        if let Some(link) = &mut self.link {
            let mut out = Vec::with_capacity(command.len() + 8);
            packet::write(&mut out, 0, &[command]);
            let session = Arc::clone(&self.place.session);
            let mut writing = Box::pin(link.backend.wire.write(&out));
            let written = poll_fn(|cx| {
                if let Poll::Ready(written) = Future::poll(writing.as_mut(), cx) {
                    return Poll::Ready(Some(written));
                }
                match session.poll_order(cx) {
                    Poll::Ready(order) if order.ends() => Poll::Ready(None),
                    _ => Poll::Pending,
                }
            })
            .await;
            match written {
                Some(Ok(())) => {}
                // The next one that is answered says so.
                Some(Err(_)) => tracing::debug!("A backend is gone"),
                // It does not take what it is sent, and the client has to go.
                None => return Ok(Then::Leave),
            }
        }
        Ok(Then::GoOn)
    }

    pub(super) async fn fields(&mut self, command: &[u8], came: u8) -> Result<Then, WireError> {
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
}

fn unknown_prepared() -> SqlError {
    SqlError::new(1243, b"HY000", "Unknown prepared statement")
}
