//! The Discord side against a stub of Discord on loopback: real sockets, real serenity.

mod canary;
mod front;
mod gateway;
mod stub;
mod twin;
