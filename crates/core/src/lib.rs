//! What gantry decides, and nothing else: ids, what can be asked, who may ask it, what will happen, and
//! the states an operation goes through. Pure: no clock, no network, no database, no runtime.

pub mod action;
pub mod advice;
pub mod alert;
pub mod audit;
pub mod board;
pub mod dns;
pub mod document;
pub mod forward;
pub mod id;
pub mod image;
pub mod migrate;
pub mod near;
pub mod network;
pub mod notify;
pub mod operation;
pub mod plan;
pub mod pod;
pub mod policy;
pub mod report;
pub mod service;
pub mod set;
pub mod snapshot;
pub mod world;
