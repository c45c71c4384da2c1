//! The twin tried from outside with plain clients: every promise of its README has a test here.

mod contract;
mod control;
mod forms;
mod gateway;
mod harness;
mod interactions;
mod messages;
mod rest;
