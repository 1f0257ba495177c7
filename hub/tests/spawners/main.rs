//! Every spawner against what it really drives. The container engine is required: a missing one fails these tests.
//!
//! `behaviour` holds what all spawners promise; the other files what is particular to one.

mod behaviour;
mod docker;
mod image;
mod isolation;
mod process;
mod support;
