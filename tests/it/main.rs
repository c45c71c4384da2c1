//! Every test that needs the built process or the whole tree, in one binary.

mod tidy;
