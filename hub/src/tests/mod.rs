//! The hub from outside, in process: the real router on a real store in memory, with servers that only pretend.

mod api;
mod api_users;
mod harness;
mod links;
mod login;
mod not_running;
mod oauth;
mod pages;
mod pretend;
mod replicas;
mod sign_in;
mod visitors;
