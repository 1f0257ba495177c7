//! The replica gateway, as its users meet it: the binary `holt replicas` between real clients and real MariaDB servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod certificates;
mod clients;
mod database;
mod doors;
mod hostile;
mod late;
mod limits;
mod maps;
mod operator;
mod people;
mod raw;
mod routing;
mod several;
mod shown;
mod trouble;
mod turns;
mod world;
