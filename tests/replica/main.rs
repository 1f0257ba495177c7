//! The replica gateway, as its users meet it: the binary `holt replicas` between real clients and real MariaDB servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod clients;
mod database;
mod hostile;
mod limits;
mod operator;
mod people;
mod raw;
mod routing;
mod trouble;
mod world;
