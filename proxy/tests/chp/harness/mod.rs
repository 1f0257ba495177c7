//! What facts are looked at with: both programs, both ends of a connection, and the list that judges.

mod answer;
mod backend;
mod certificates;
mod facts;
mod peer;
mod ports;
mod program;
mod running;
mod stage;
mod wire;

pub(crate) use answer::{Answer, Told, header};
pub(crate) use backend::{Backend, Seen};
pub(crate) use certificates::{Certificates, PASSPHRASE};
pub(crate) use facts::{Fact, check, check_on, differs, ours, same};
pub(crate) use ports::{Ports, free_ports};
pub(crate) use program::{Program, Start, filled};
pub(crate) use running::{Running, plain};
pub(crate) use stage::Stage;
pub(crate) use wire::{Client, Nothing, PATIENCE, SILENCE, eventually, websocket_request};
