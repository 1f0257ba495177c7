//! The public listeners: opened here and kept, so that a proxy that is started anew finds the connections that came meanwhile.
//!
//! **Invariant:** while a proxy serves that was found running, no listening socket is open that it does not accept on.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use socket2::{Domain, Protocol, Socket, Type};

use super::process::Process;

/// Connections that may wait for the proxy on each listener.
const BACKLOG: i32 = 1024;

/// Why the listeners could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody has the port.
    #[error("{listen} is taken{}. Stop that program, or choose another address with --listen", holder.as_ref().map(|who| format!(" by {who}")).unwrap_or_default())]
    Taken {
        /// The address.
        listen: SocketAddr,
        /// Who has it, when that can be seen.
        holder: Option<String>,
    },
    /// It is not ours to listen on.
    #[error("{listen} cannot be listened on: {fix}")]
    Refused {
        /// The address.
        listen: SocketAddr,
        /// What to do.
        fix: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// One listening socket for each worker of the proxy, all at one address.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    address: SocketAddr,
}

impl Listeners {
    /// Opens them.
    ///
    /// # Errors
    /// [`ListenError`] with what to do.
    pub fn open(listen: SocketAddr, count: usize) -> Result<Self, ListenError> {
        // Sockets that share a port would also share it with another hub of the same user: the first one must have it alone.
        let alone = TcpListener::bind(listen).map_err(|cause| explain(listen, cause))?;
        let address = alone.local_addr().map_err(|cause| explain(listen, cause))?;
        drop(alone);
        let sockets = (0..count.max(1))
            .map(|_| open_shared(address))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|cause| explain(listen, cause))?;
        Ok(Self { sockets, address })
    }

    /// Takes a share in the listeners of a running proxy, where the system lets us.
    #[must_use]
    pub fn share(process: &Process, address: SocketAddr) -> Option<Self> {
        let pid = process.identity().pid;
        let mut sockets = Vec::new();
        let inodes: Vec<String> = listening_inodes(address.port()).collect();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            if !inodes
                .iter()
                .any(|inode| target == format!("socket:[{inode}]"))
            {
                continue;
            }
            let number = entry.file_name().to_str()?.parse().ok()?;
            let descriptor =
                pidfd_getfd(process.descriptor(), number, PidfdGetfdFlags::empty()).ok()?;
            let socket = TcpListener::from(descriptor);
            if socket.local_addr().is_ok_and(|found| found == address) {
                sockets.push(socket);
            }
        }
        (!sockets.is_empty()).then_some(Self { sockets, address })
    }

    /// Where they are, with the port the system chose when none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Copies of the descriptors, to hand to a child.
    ///
    /// # Errors
    /// When this process has no descriptors left.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets
            .iter()
            .map(|socket| socket.as_fd().try_clone_to_owned())
            .collect()
    }
}

fn open_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn explain(listen: SocketAddr, cause: io::Error) -> ListenError {
    let fix = match cause.kind() {
        ErrorKind::AddrInUse => {
            return ListenError::Taken {
                listen,
                holder: holder(listen.port()),
            };
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege. Choose a higher one with --listen".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "this machine does not have that address. Choose another with --listen".to_owned()
        }
        _ => format!("{cause}. Choose another with --listen"),
    };
    ListenError::Refused { listen, fix, cause }
}

/// The numbers of the sockets that listen on a port, as `/proc` has them.
fn listening_inodes(port: u16) -> impl Iterator<Item = String> {
    const LISTENING: &str = "0A";
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(move |table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| {
                    let fields: Vec<&str> = line.split_whitespace().collect();
                    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
                    let found = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
                    (*state == LISTENING && found == port).then(|| (*inode).to_owned())
                })
                .collect::<Vec<_>>()
        })
}

/// The program that listens on a port, as far as we may see.
fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = listening_inodes(port)
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has_it = descriptors
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .any(|target| inodes.iter().any(|inode| target.to_str() == Some(inode)));
        if has_it {
            let program = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", program.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_who_has_it() {
        let first = Listeners::open(([127, 0, 0, 1], 0).into(), 2).unwrap();
        let error = Listeners::open(first.address(), 2).unwrap_err().to_string();
        assert!(error.contains("is taken by"), "{error}");
        assert!(
            error.contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );
        assert!(error.contains("--listen"), "{error}");
    }

    #[test]
    fn an_address_that_is_not_ours_is_told() {
        let error = Listeners::open("192.0.2.1:0".parse().unwrap(), 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains("does not have that address"), "{error}");
    }
}
