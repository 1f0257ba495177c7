//! Where each listener is, and how it is opened.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::io::Errno;

use super::StartError;
use crate::listen::Door;
use crate::listen::{self, ListenError};

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Every interface.
    Everywhere(u16),
    /// One address, or all that a name stands for on this machine.
    At(Vec<SocketAddr>),
    /// A socket file.
    Unix(PathBuf),
}

impl Place {
    /// Reads an address as configurable-http-proxy does: nothing and `*` are every interface.
    pub(super) fn tcp(option: &'static str, host: &str, port: u16) -> Result<Place, StartError> {
        if matches!(host, "" | "*") {
            return Ok(Place::Everywhere(port));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut found: Vec<SocketAddr> = (bare, port)
            .to_socket_addrs()
            .map_err(|cause| StartError::Resolve {
                option,
                host: host.to_owned(),
                cause,
            })?
            .collect();
        // Who connects to this name takes either address; for all others the first counts.
        if host != "localhost" {
            found.truncate(1);
        }
        found.dedup();
        Ok(Place::At(found))
    }

    /// Opens it: TCP listeners in as many copies as there are workers.
    pub(super) fn open(
        &self,
        options: &'static str,
        workers: usize,
    ) -> Result<Vec<Door>, StartError> {
        let listen = |cause: ListenError| {
            let taken = cause_of(&cause) == Some(Errno::ADDRINUSE);
            let hint = match (taken, self) {
                (true, Place::Unix(_)) => {
                    "the socket file is there already: if no process has it, remove it"
                }
                (true, _) => "another process listens there: end it, or choose another port",
                (false, _) => "no listener can be opened there",
            };
            StartError::Listen {
                options,
                hint,
                cause,
            }
        };
        let opened = match self {
            Place::Unix(path) => listen::open_unix(path).map(|socket| vec![Door::Unix(socket)]),
            Place::Everywhere(port) => everywhere(*port, workers),
            Place::At(addresses) => each(addresses, workers),
        };
        opened.map_err(listen)
    }
}

fn everywhere(port: u16, workers: usize) -> Result<Vec<Door>, ListenError> {
    let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let opened = match listen::open_tcp(&[both], workers) {
        Err(error) if is_absent(&error) => {
            let old = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
            listen::open_tcp(&[old], workers)
        }
        opened => opened,
    };
    Ok(opened?.into_iter().map(Door::Tcp).collect())
}

/// A machine without IPv6 may still resolve a name to such an address.
fn each(addresses: &[SocketAddr], workers: usize) -> Result<Vec<Door>, ListenError> {
    let mut doors = Vec::new();
    let mut failed = None;
    for address in addresses {
        match listen::open_tcp(&[*address], workers) {
            Ok(opened) => doors.extend(opened.into_iter().map(Door::Tcp)),
            Err(error) if addresses.len() > 1 && is_absent(&error) => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    match failed {
        Some(error) if doors.is_empty() => Err(error),
        _ => Ok(doors),
    }
}

fn is_absent(error: &ListenError) -> bool {
    matches!(
        cause_of(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

fn cause_of(error: &ListenError) -> Option<Errno> {
    std::error::Error::source(error)?
        .downcast_ref::<io::Error>()
        .and_then(Errno::from_io_error)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Everywhere(port) => write!(f, "*:{port}"),
            Place::At(addresses) => match addresses.first() {
                Some(address) => write!(f, "{address}"),
                None => f.write_str("nowhere"),
            },
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a door says of itself: the port too, where any free one was asked for.
pub(super) fn shown(place: &Place, doors: &[Door]) -> String {
    let port = doors.iter().find_map(|door| match door {
        Door::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
        Door::Unix(_) => None,
    });
    match (place, port) {
        (Place::Everywhere(_), Some(port)) => Place::Everywhere(port).to_string(),
        (Place::At(addresses), Some(port)) => {
            let with_port = |address: &SocketAddr| SocketAddr::new(address.ip(), port);
            Place::At(addresses.iter().map(with_port).collect()).to_string()
        }
        _ => place.to_string(),
    }
}

/// A socket file of ours, taken away when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// The file of a place that was opened just now.
    pub(super) fn of(place: &Place) -> Option<SocketFile> {
        let Place::Unix(path) = place else {
            return None;
        };
        Some(SocketFile {
            identity: identity(path).ok()?,
            path: path.clone(),
        })
    }
}

impl Drop for SocketFile {
    /// A file that somebody else put there meanwhile stays.
    fn drop(&mut self) {
        let ours = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "The socket file {} stays", self.path.display());
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.st_dev(), meta.st_ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_a_star_are_every_interface() {
        for host in ["", "*"] {
            assert_eq!(Place::tcp("--ip", host, 80).unwrap(), Place::Everywhere(80));
        }
        for (host, shown) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
        ] {
            assert_eq!(Place::tcp("--ip", host, 80).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_socket_file_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Unix(dir.path().join("s"));
        let Place::Unix(path) = &place else { return };
        fs::write(path, "").unwrap();
        let ours = SocketFile::of(&place).unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "").unwrap();
        fs::rename(&other, path).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(SocketFile::of(&place).unwrap());
        assert!(!path.exists());
    }
}
