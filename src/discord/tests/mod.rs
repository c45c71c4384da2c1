//! The Discord side against a stub of Discord.
