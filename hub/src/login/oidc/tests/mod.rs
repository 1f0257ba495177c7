//! Sign-ins against servers that speak the real protocol.
