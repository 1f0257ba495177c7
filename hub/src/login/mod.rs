//! Ways to sign in: `local`, names and passwords that Holt keeps itself; and providers, which say who somebody is.

pub mod local;
pub mod password;
pub mod provider;
pub mod wire;
