//! Holds the house rules over the tracked files.
