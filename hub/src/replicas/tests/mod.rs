//! The way to the gateway, tried with one that only pretends but speaks the real protocol.
