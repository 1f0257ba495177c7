//! A door before the engine's socket that a test can open, jam and shut: how an engine that hangs or is away looks to a hub.
//!
//! Bytes go through untouched while it is open.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// How the door stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Bytes pass.
    Open,
    /// Connections are taken and nothing ever passes.
    Jammed,
    /// Nobody is let in, and who was in is thrown out.
    Shut,
}

const STANDS: [Stand; 3] = [Stand::Open, Stand::Jammed, Stand::Shut];

#[derive(Debug)]
struct Shared {
    stand: AtomicU8,
    // Held for a push or a clear only.
    connections: Mutex<Vec<UnixStream>>,
    engine: PathBuf,
}

impl Shared {
    fn stand(&self) -> Stand {
        STANDS[usize::from(self.stand.load(Ordering::SeqCst)) % STANDS.len()]
    }

    fn keep(&self, stream: &UnixStream) {
        if let Ok(copy) = stream.try_clone() {
            self.connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(copy);
        }
    }
}

/// The door. Its threads end with the connections.
#[derive(Debug)]
pub struct EngineDoor {
    shared: Arc<Shared>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl EngineDoor {
    /// Opens a door.
    ///
    /// # Errors
    /// When there can be no socket.
    pub fn open() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("holt-door-").tempdir()?;
        let path = dir.path().join("engine.sock");
        let engine = std::env::var("DOCKER_HOST")
            .ok()
            .and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
            .unwrap_or_else(|| "/var/run/docker.sock".into());
        let shared = Arc::new(Shared {
            stand: AtomicU8::new(0),
            connections: Mutex::default(),
            engine,
        });
        let listener = UnixListener::bind(&path)?;
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(&client, &shared));
            }
        });
        Ok(Self {
            shared,
            path,
            _dir: dir,
        })
    }

    /// What `DOCKER_HOST` is to be.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Puts the door another way.
    pub fn put(&self, stand: Stand) {
        let index = STANDS.iter().position(|s| *s == stand).unwrap_or_default();
        self.shared
            .stand
            .store(u8::try_from(index).unwrap_or_default(), Ordering::SeqCst);
        if stand == Stand::Shut {
            let mut connections = self
                .shared
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for connection in connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

fn serve(client: &UnixStream, shared: &Arc<Shared>) {
    if shared.stand() == Stand::Shut {
        return;
    }
    shared.keep(client);
    let Ok(engine) = UnixStream::connect(&shared.engine) else {
        return;
    };
    shared.keep(&engine);
    let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else {
        return;
    };
    let (Ok(from_engine), Ok(to_engine)) = (engine.try_clone(), engine.try_clone()) else {
        return;
    };
    let back = Arc::clone(shared);
    let answers = std::thread::spawn(move || relay(from_engine, to_client, &back));
    relay(from_client, to_engine, shared);
    let _ = answers.join();
}

fn relay(mut from: UnixStream, mut to: UnixStream, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while shared.stand() == Stand::Jammed {
            std::thread::sleep(Duration::from_millis(20));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
