//! A proxy with one server behind it, and what is asked of the two.

use super::answer::{Answer, Told};
use super::backend::{Backend, Seen};
use super::program::{Program, Start};
use super::running::Running;
use super::wire::{Nothing, SILENCE};

/// A proxy with one server behind it, for every path.
pub(crate) struct Stage {
    pub(crate) proxy: Running,
    pub(crate) back: Backend,
}

impl Stage {
    /// Before a server that answers `ok`.
    pub(crate) fn set(start: Start) -> impl Fn(Program) -> Stage + Sync {
        Self::before(start, || Backend::named("ok"))
    }

    pub(crate) fn before(start: Start, back: fn() -> Backend) -> impl Fn(Program) -> Stage + Sync {
        move |program| {
            let proxy = start.run(program);
            let back = back();
            proxy.route("/", &back.url());
            Stage { proxy, back }
        }
    }

    /// What comes of a request: status, whether the connection goes on, and what reached the server.
    pub(crate) fn outcome(&self, request: &[u8]) -> String {
        self.back.take();
        let mut client = self.proxy.connect();
        client.send(request);
        client.patient(SILENCE * 2);
        let answer = client.answer();
        let state = match answer {
            Ok(_) => format!("{} {}", answer.status(), client.state()),
            Err(nothing) => nothing.told().to_owned(),
        };
        drop(client);
        let seen: Vec<_> = self
            .back
            .take()
            .iter()
            .filter(|seen| seen.target() != "/probe")
            .map(Seen::told)
            .collect();
        if seen.is_empty() {
            format!("{state}, nothing")
        } else {
            format!("{state}, {}", seen.join(" and "))
        }
    }

    /// A header that reached the server, its lines joined, for a request with these headers.
    pub(crate) fn reached(&self, headers: &str, name: &str) -> String {
        self.back.take();
        let answer = self.proxy.get_with("/x", headers);
        match answer.status().as_str() {
            "200" => self.back.last().header(name).replace(" | ", ", "),
            other => other.to_owned(),
        }
    }

    /// What a client is answered when the server answers with these bytes.
    pub(crate) fn answered(&self, bytes: &str) -> Result<Answer, Nothing> {
        self.answered_to(
            "GET /fixed HTTP/1.1\r\nHost: public.example:99\r\n\r\n",
            bytes,
        )
    }

    pub(crate) fn answered_to(&self, request: &str, bytes: &str) -> Result<Answer, Nothing> {
        let back = Backend::answering(bytes.to_owned());
        self.proxy.route("/fixed", &back.url());
        let mut client = self.proxy.connect();
        client.send(request);
        client.answer_to(request.split(' ').next().unwrap_or_default())
    }
}
