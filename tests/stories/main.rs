//! Stories: what people, operators and attackers do with a whole Holt, and what they must find.
//!
//! One hub each, one after another (`--test-threads=1`): they share a machine and its engine.

mod bad_input;
mod broker;
mod browser;
mod crash;
mod dumps;
mod fetch;
mod first_steps;
mod images;
mod inside;
mod isolation;
mod lifecycle;
mod operator;
mod process_spawner;
mod providers;
mod replicas;
mod sessions;
mod single_user;
mod situations;
mod stock_jupyterhub;
mod trouble;
mod wiki;
