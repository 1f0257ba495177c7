//! The provider against what a real wiki was seen to say, and against what nobody should say.

mod hostile;
mod signing;
mod vectors;
