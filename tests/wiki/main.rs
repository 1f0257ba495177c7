//! The wiki for tests, held against what the real one was seen to do, and against what sign-ins need of it.

mod client;
mod dance;
mod names;
mod oauth2;
mod recording;
mod replay;
mod signing;
mod trouble;
