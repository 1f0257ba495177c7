//! Where a session is: its user, its default database, its section, and how it gets to another.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::exchange::Request;
use super::{Talk, Then, command};
use crate::replica::answer::Wanted;
use crate::replica::hello;
use crate::replica::listen::LOGIN;
use crate::replica::login::{prove, unknown_database};
use crate::replica::memory::Memory;
use crate::replica::packet::SqlError;
use crate::replica::reach::{Holds, reach};
use crate::replica::sections::{Place as Home, Section};
use crate::replica::sessions::Order;
use crate::replica::statement::Statement;
use crate::replica::wire::WireError;

/// Why a statement does not get to a backend.
pub(super) enum Failure {
    Refused(SqlError),
    ClientGone,
    Order(Order),
}

impl Talk {
    /// Chooses the default database.
    pub(super) async fn use_database(
        &mut self,
        database: String,
        came: u8,
    ) -> Result<Then, WireError> {
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
    pub(super) fn reset(&mut self) {
        self.leave_backend();
        self.memory.forget();
    }

    pub(super) async fn change_user(&mut self, body: &[u8], came: u8) -> Result<Then, WireError> {
        let Some(told) = hello::read_change_user(body, self.capabilities) else {
            self.farewell(came, &SqlError::new(1047, b"08S01", "Unknown command"))
                .await;
            return Ok(Then::Leave);
        };
        // Whoever it is then begins anew: nothing is held for somebody who does not answer.
        self.leave_backend();
        // Seat and account are a user's.
        self.holds = Holds::default();
        let proving = prove(
            &self.gateway,
            &mut self.client,
            came,
            &told,
            None,
            self.peer,
        );
        let Ok(proven) = tokio::time::timeout(LOGIN, proving).await else {
            return Ok(Then::Leave);
        };
        let proven = match proven? {
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
    pub(super) async fn go_where_it_belongs(
        &mut self,
        statement: &Statement,
    ) -> Result<(), Failure> {
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

    pub(super) async fn go(&mut self, section: &Arc<Section>) -> Result<(), Failure> {
        if let Some(link) = &mut self.link {
            if link.section.name == section.name {
                if let Some(killing) = link.killing.take() {
                    killing.finish().await;
                }
                // One that an operator empties is left where nothing is lost by it and another is there.
                let leaves = link.target.draining.load(Ordering::Relaxed)
                    && self.memory.keeps().is_none()
                    && !section.order(None).is_empty();
                if !leaves {
                    return Ok(());
                }
            }
            if link.section.name != section.name
                && let Some(error) = self.memory.kept(&link.section.name, &section.name)
            {
                return Err(Failure::Refused(error));
            }
        }
        self.leave_backend();
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
