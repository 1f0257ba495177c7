//! Ports for programs that cannot be told to choose one.

use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that were free a moment ago, the first of so many in a row.
///
/// They lie below those that the system gives away by itself, and each run of this program begins elsewhere.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let span = 12_000;
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id() * 64 % 12_000) as u16));
    loop {
        let first = 20_000 + next.fetch_add(count, Ordering::SeqCst) % span;
        let free = (first..first + count).all(|port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok()
                && TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        if free {
            return first;
        }
    }
}

/// The ports of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) public: u16,
    pub(crate) api: u16,
    pub(crate) metrics: u16,
    pub(crate) redirect: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        let first = free_ports(4);
        Ports {
            public: first,
            api: first + 1,
            metrics: first + 2,
            redirect: first + 3,
        }
    }
}
