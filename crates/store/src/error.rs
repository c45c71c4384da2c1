//! What can go wrong with the database, told apart by what has to be done about it.
//!
//! Every text names what was attempted and on which file or server, and never holds the address's
//! password: causes are kept as text, with anything secret struck out before it gets here.

use gantry_core::id::OperationId;
use gantry_core::operation::OpState;

/// A failed call to the store. `Display` is the whole story, cause included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The address is not one gantry understands.
    #[error("the database address is not usable: {why}")]
    Address {
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// Another process works on this SQLite file.
    #[error(
        "the database file {path} is in use by another gantry process. Stop that one first, or use PostgreSQL to run several."
    )]
    InUse {
        /// The database file.
        path: String,
    },
    /// The database has been changed by a newer gantry.
    #[error(
        "{place} was made by a newer gantry: it has migration {found}, this one knows migrations up to {known}. Run that newer gantry, or restore a backup made before."
    )]
    Newer {
        /// Which database.
        place: String,
        /// The newest migration in it.
        found: i64,
        /// The newest migration in this binary.
        known: i64,
    },
    /// A migration was applied with another text than this binary has.
    #[error(
        "{place} was made with another version of migration {name} than this gantry has. Run the gantry that made it, or restore a backup."
    )]
    Altered {
        /// Which database.
        place: String,
        /// The migration.
        name: String,
    },
    /// The tables are not there yet, or not all.
    #[error(
        "could not {what}: {place} is not set up for this gantry ({cause}). Run `gantry migrate`."
    )]
    NotSetUp {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The database's own words.
        cause: String,
    },
    /// No room left.
    #[error(
        "could not {what}: {place} has no room left ({cause}). Nothing was changed. Make room on its disk; gantry goes on by itself."
    )]
    Full {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The database's own words.
        cause: String,
    },
    /// Locked, or every connection taken, for longer than gantry waits.
    #[error(
        "could not {what}: {place} was busy for too long ({cause}). Nothing was changed. Try again; if it stays so, look for another program that holds it."
    )]
    Busy {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The database's own words.
        cause: String,
    },
    /// No answer in time: a write may or may not have been kept.
    #[error(
        "could not {what}: {place} did not answer within {waited_s} s, so nobody can say whether it was kept. gantry looks again by itself; check that the database is well."
    )]
    Late {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// How long gantry waited, seconds.
        waited_s: u64,
    },
    /// The database cannot be reached, or the connection broke: a write may or may not have been kept.
    #[error(
        "could not {what}: no connection to {place} ({cause}). Check that it runs and can be reached; gantry tries again by itself."
    )]
    Lost {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The cause in words.
        cause: String,
    },
    /// The database refuses us: password, rights, read-only.
    #[error(
        "could not {what}: {place} refused ({cause}). Check its user, password, owner and rights."
    )]
    Denied {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The database's own words.
        cause: String,
    },
    /// The file or what is in it cannot be trusted.
    #[error(
        "could not {what}: {place} is damaged ({cause}). Stop gantry, keep a copy of it, and restore a backup."
    )]
    Damaged {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// What does not fit.
        cause: String,
    },
    /// An operation was to move where its state does not lead. A mistake of ours; nothing was changed.
    #[error("operation {operation} cannot go from {} to {}; nothing was changed", from.as_str(), to.as_str())]
    IllegalMove {
        /// Which operation.
        operation: OperationId,
        /// The state it is in.
        from: OpState,
        /// The state that was asked for.
        to: OpState,
    },
    /// Something of that kind is there already: an id, or a VMID that another open operation has reserved.
    #[error("could not {what}: {place} has that already ({cause}). Nothing was changed.")]
    Taken {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The database's own words.
        cause: String,
    },
    /// Anything else.
    #[error("could not {what}: {place} said: {cause}")]
    Other {
        /// What was attempted.
        what: String,
        /// Which database.
        place: String,
        /// The database's own words.
        cause: String,
    },
}

impl StoreError {
    /// Locked or overloaded; nothing was changed, a later try may do.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// No room left; nothing was changed, reads go on.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// The file, or a row in it, cannot be trusted.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// The connection broke or no answer came: what was written may or may not have been kept.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Late { .. })
    }

    /// That id or VMID is taken; nothing was changed.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. })
    }

    /// Whether the same call may succeed later without anybody changing gantry: busy, full or out of reach.
    pub fn is_passing(&self) -> bool {
        self.is_busy() || self.is_full() || self.is_lost()
    }
}
