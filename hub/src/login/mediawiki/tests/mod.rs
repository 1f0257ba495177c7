//! The provider against what a real wiki was seen to say.

mod vectors;
