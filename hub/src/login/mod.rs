//! Ways to sign in: `local`, names and passwords that Holt keeps itself; and providers, which say who somebody is.
//!
//! `sign_in` tells the story of a provider's sign-in, `admission` decides who may come in, `provider` is what each has to do.

pub mod admission;
pub mod fuzz;
pub mod local;
pub mod mediawiki;
pub mod oidc;
pub mod password;
pub mod provider;
pub mod sign_in;
pub mod wire;
